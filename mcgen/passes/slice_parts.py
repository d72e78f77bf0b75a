"""Cutting, third part: kernels over rows that compute many products of matrices, or fill registers, become several."""
from __future__ import annotations

import math
from dataclasses import replace
from typing import Iterable, Sequence

from ..ir.naming import stem
from ..ir.nodes import AXIS_ORDER, Param, Result, Value, is_dim, order
from .arrange import pressure
from .rewrite import Rebuilder
from .slice_kernel import TILES, Kernel, Slice, products
from .stages import is_product

MOST = 12                        # products of matrices of one kernel over rows, where it can be cut
WHOLE = 9                        # of one that has a dim whole, where kernels without one can compute more than half of them
LESS = 0.9                       # of a kernel's load, at most, is left for each part by a cut for its sake


def parts(kernel: Kernel) -> list[Slice]:
    """The slices of a kernel, later ones first: one, or several where it computes many products."""
    return _Parts(kernel).of(kernel.slice())


class _Parts:
    def __init__(self, kernel: Kernel):
        self.kernel, self.cutter = kernel, kernel.cutter

    def of(self, whole: Slice) -> list[Slice]:
        """The kernel, or several, later ones first."""
        if whole.kind != "rows" or whole.kept or (whole.fold and whole.fold.loops):
            return [whole]
        count, load = products(whole.program.order()), whole.load()
        if load <= 1 and (whole.fold is None or count <= (WHOLE if whole.whole else MOST)):
            return [whole]
        found = self.divided(whole, count, TILES) if load > 1 else []
        if not found[1:] and whole.fold is not None:
            found = self.by_blocks(whole, count, load)
        if not found[1:]:
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
        if found and load > 1 and max(s.load() for s in found) <= LESS * load:
            return found
        found = [part for s in found or [] for part in ([s] if products(s.program.order()) < count else self.divided(s, count))]
        if not found or any(products(s.program.order()) >= count for s in found):
            found = self.divided(whole, count)
        return [] if count <= MOST and 2 * sum(products(s.program.order()) for s in found if s.whole) >= count else found

    def divided(self, whole: Slice, count: int, tiles: float = math.inf) -> list[Slice]:
        """Kernels of few products each, and of so many tiles at once, for some of the results, where that computes little twice."""
        groups: list[list[Result]] = []
        roots = lambda results: [v for r in results for v, _ in r.parts]
        alive = lambda results: 0.0 if tiles == math.inf else pressure(roots(results), whole.folded)
        needs = lambda results: products(order(roots(results)))
        for r in whole.program.results:
            able = [g for g in groups if needs([*g, r]) <= MOST and alive([*g, r]) <= max(tiles, alive(g), alive([r]))]
            if able:
                max(able, key=lambda g: needs(g) + needs([r]) - needs([*g, r])).append(r)         # what most is shared with
            else:
                groups.append([r])
        made = [whole.part(results, whole.program.params, self.cutter.b) for results in groups]
        return made if 2 * sum(products(s.program.order()) for s in made) <= 3 * count else [whole]

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


def until(roots: Iterable[Value], known: Iterable[Value]) -> list[Value]:
    """Those of the known values that something else below the roots is made of."""
    kept, seen, stack = {id(v): v for v in known}, set(), list(roots)
    while stack:
        v = stack.pop()
        if id(v) not in seen:
            seen.add(id(v))
            stack += () if id(v) in kept else v.args
    return [v for i, v in kept.items() if i in seen]
