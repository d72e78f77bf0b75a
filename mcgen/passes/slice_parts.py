"""Cutting, third part: kernels over rows that compute many products of matrices, or fill registers, become several."""
from __future__ import annotations

import math
from dataclasses import replace
from typing import Iterable, Sequence

from ..ir.naming import stem
from ..ir.nodes import AXIS_ORDER, Param, Result, Value, is_dim, order
from .rewrite import Rebuilder
from .slice_kernel import Kernel, Slice, products
from .stages import is_product, over_rows

MOST = 12                        # products of matrices of one kernel over rows, where it can be cut
WHOLE = 9                        # of one that has a dim whole, where kernels without one can compute more than half of them
TRIED = 8                        # values of which one is stored for the sake of load
LESS = 0.9                       # of a kernel's load, at most, is left for each part by a cut for its sake


def parts(kernel: Kernel) -> list[Slice]:
    """The slices of a kernel, later ones first: one, or several where it computes many products."""
    return _Parts(kernel).of(kernel.slice())


class _Parts:
    def __init__(self, kernel: Kernel):
        self.kernel, self.cutter = kernel, kernel.cutter

    def of(self, whole: Slice) -> list[Slice]:
        """The kernel, or several, later ones first."""
        if whole.kind != "rows" or whole.kept:
            return [whole]
        count, load = whole.products, whole.load
        if load <= 1 and (whole.fold is None or count <= (WHOLE if whole.whole else MOST)):
            return [whole]
        found = self.divided(whole, count, full=1) if load > 1 else []
        if (not found[1:] or again(whole, found)) and whole.fold is not None:
            found = self.by_blocks(whole, count, load)
        if (not found[1:] or again(whole, found)) and load > 1:
            found = self.at_one(whole, load)
        if not found[1:] or again(whole, found):
            return [whole]
        known = {p.name for p in (*self.cutter.scratch, *whole.program.params)} | {r.name for r in whole.program.results}
        self.cutter.scratch += {p.name: p for s in found for p in s.program.params if p.name not in known}.values()
        return [part for s in found for part in self.of(s)]

    def by_blocks(self, whole: Slice, count: int, load: float) -> list[Slice]:
        """What adds up over the blocks of its fold is stored by one that goes over them, and read by one for the rest; what is added up
        there of products is stored by one before it. Tiles as long as a dim fill registers."""
        axis, results = whole.fold.axis, whole.program.results
        along, rest = ([r for r in results if (axis in r.parts[0][0].axes) == have] for have in (True, False))
        sums = until([r.parts[0][0] for r in rest], whole.fold.sums)
        found = None
        if all(v in sums for r in rest for v, _ in r.parts):                 # stored sums already
            found = self.apart(whole, list(results), summands(axis, sums))
        elif all("r" in v.axes and v.dtype == "f" for v in sums):
            found = self.apart(whole, rest, sums, along)
        if found and load > 1 and max(s.load for s in found) <= LESS * load:
            return found
        found = [part for s in found or [] for part in ([s] if s.products < count else self.divided(s, count))]
        if not found or any(s.products >= count for s in found):
            found = self.divided(whole, count)
        return [] if count <= MOST and 2 * sum(s.products for s in found if s.whole) >= count else found

    def at_one(self, whole: Slice, load: float) -> list[Slice]:
        """One product or sum is stored by a kernel for it alone, the one that leaves least in both, of those with about half of all below."""
        values = whole.program.order()
        able = [v for v in values if v.op in ("dot", "sum") and "r" in v.axes and v.dtype == "f" and not over_rows(v)]
        of_rows = sorted(able, key=lambda v: abs(2 * len(order([v])) - len(values)))[:TRIED]
        found = [self.apart(whole, list(whole.program.results), [v]) for v in of_rows]
        most, best = min(((max(s.load for s in slices), slices) for slices in found), key=lambda f: f[0], default=(load, []))
        return best if most <= LESS * load else []

    def divided(self, whole: Slice, count: int, full: float = math.inf) -> list[Slice]:
        """Kernels of few products each, which fill registers so far, for some of the results, where that computes little twice."""
        groups: list[list[Result]] = []
        roots = lambda results: [v for r in results for v, _ in r.parts]
        filled = lambda results: 0.0 if full == math.inf else whole.filled(results)
        needs = lambda results: products(order(roots(results)))
        for r in whole.program.results:
            able = [g for g in groups if needs([*g, r]) <= MOST and filled([*g, r]) <= max(full, filled(g), filled([r]))]
            if able:
                max(able, key=lambda g: needs(g) + needs([r]) - needs([*g, r])).append(r)         # what most is shared with
            else:
                groups.append([r])
        made = [whole.part(results, whole.program.params, self.cutter.b) for results in groups]
        return made if 2 * sum(s.products for s in made) <= 3 * count else [whole]

    def apart(self, whole: Slice, results: list[Result], values: list[Value], more: Sequence[Result] = ()) -> list[Slice]:
        """A kernel for the results, which reads the values, and the one before it, for them and for what else it shall give."""
        stored = {}
        for v in values:
            axes = [a for a in v.axes if a in AXIS_ORDER and a != "r"] + [a for a in v.axes if is_dim(a)]
            stored[id(v)] = v, Param(self.cutter.fresh(f"stored.{stem(v)}"), "starts", tuple(axes))
        params = (*whole.program.params, *(p for _, p in stored.values()))
        again = Rebuilder(self.cutter.b, {i: self.cutter.b.param(p) for i, (_, p) in stored.items()})
        results = [replace(r, parts=tuple((again.rebuild([v])[0], s) for v, s in r.parts)) for r in results]
        made = [*more, *(Result(p.name, p.kind, p.axes, ((v, 0),)) for v, p in stored.values())]
        return [whole.part(results, params, self.cutter.b) for results in (results, made) if results]


def summands(axis: str, sums: Iterable[Value]) -> list[Value]:
    """What is made of products and has the axis, of what the sums add up, without the numbers that scale it."""
    found: dict[int, Value] = {}
    dear: dict[int, bool] = {}
    sums = list(sums)
    for v in order(sums):
        dear[id(v)] = "r" in v.axes and ((v.op == "dot" and is_product(v)) or any(dear[id(a)] for a in v.args))
    stack = [a for v in sums for a in v.args]
    while stack:
        v = stack.pop()
        mine = [a for a in v.args if dear[id(a)]]
        if v.op == "rename" or (v.op == "map" and v["fn"] == "mul" and len(mine) == 1 and axis in mine[0].axes):
            stack += mine
        elif dear[id(v)] and axis in v.axes and v.dtype == "f":
            found[id(v)] = v
    return list(found.values())


def again(whole: Slice, found: Iterable[Slice]) -> bool:
    """Whether kernels found for one would run a loop of its twice."""
    loops = lambda s: sum(v.op in ("slots", "scan") for v in s.program.order())
    return sum(map(loops, found)) > loops(whole)


def until(roots: Iterable[Value], known: Iterable[Value]) -> list[Value]:
    """Those of the known values that something else below the roots is made of."""
    kept, seen, stack = {id(v): v for v in known}, set(), list(roots)
    while stack:
        v = stack.pop()
        if id(v) not in seen:
            seen.add(id(v))
            stack += () if id(v) in kept else v.args
    return [v for i, v in kept.items() if i in seen]
