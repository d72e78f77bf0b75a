"""What one kernel over rows stores, or could store, later ones read instead of computing it again.

What kernels hand on is chosen before those of many products are divided (`slice_parts`), and their parts store more. Of that, a kernel
that is no part of them may compute something itself, in tiles of which a dim is whole for it. A read costs less than a product, and the
kernel that reads may be free to be cut along that dim. What nobody stores, but a kernel adds up over the blocks of its fold anyway, it
stores where a later kernel of many products, which has a dim whole, would make it again: such a kernel says how few tokens a row may have.
"""
from __future__ import annotations

from dataclasses import replace
from typing import Callable, Sequence

from ..ir.builder import Builder
from ..ir.naming import stem
from ..ir.nodes import AXIS_ORDER, Param, Program, Result, Value, dim_of, is_dim, order
from .rewrite import Rebuilder
from .slice_kernel import Slice, products

FEW = 3                          # products of a kernel that has a dim whole, with operands in registers all at once


def reuse(slices: Sequence[Slice], scratch: Sequence[Param], fresh: Callable[[str], str], b: Builder) -> tuple[list[Slice], list[Param]]:
    """Requires: slices in order; `fresh` makes a new name. Ensures: slices with the same results in that order, without what nobody reads
    any more; and the scratch tensors that they use."""
    made, more = _Shared(slices, scratch, fresh, b).run()
    own = {p.name for p in (*scratch, *more) if p.kind == "starts" and "n" not in p.axes}
    kept = _wanted(made, own, b)
    used = {r.name for s in kept for r in s.program.results} | {p.name for s in kept for _, p in s.kept}
    return kept, [p for p in (*scratch, *more) if p.name in used or p.name not in own]


def loaded(s: Slice) -> bool:
    """Whether it fills registers with tiles as long as a dim."""
    return bool(s.whole) and s.products > FEW


class _Shared:
    def __init__(self, slices: Sequence[Slice], scratch: Sequence[Param], fresh: Callable[[str], str], b: Builder):
        self.slices, self.fresh, self.b = list(slices), fresh, b
        self.own = {p.name for p in scratch if p.kind == "starts" and "n" not in p.axes}
        self.more: list[Param] = []
        self.meaning: dict[str, Value] = {}                          # of what is stored, in terms of what kernels over rows do not store
        self.stored: dict[tuple[int, bool], Param] = {}              # by meaning, and whether there is a program for every level
        self.sums: dict[tuple[int, bool], tuple[int, Value]] = {}    # the same: which slice has it, as what

    def run(self) -> tuple[list[Slice], list[Param]]:
        for at, s in enumerate(self.slices):
            if s.kind == "rows" and not s.kept:
                if loaded(s):
                    self.ask(s)
                self.slices[at] = s = self.reading(s)
                full = self.full(s.program)
                for r, v in zip(s.program.results, full.rebuild(s.program.roots())):
                    if r.name in self.own and "r" in v.axes:
                        self.meaning[r.name] = v
                        self.stored.setdefault((id(v), s.levels), Param(r.name, r.kind, r.axes))
                known = [v for v in s.fold.sums if "r" in v.axes and "n" not in v.axes and v.dtype == "f"] if s.fold else []
                for v, whole in zip(known, full.rebuild(known)):
                    self.sums.setdefault((id(whole), s.levels), (at, v))
        return self.slices, self.more

    def full(self, program: Program) -> Rebuilder:
        return Rebuilder(self.b, {id(self.b.param(p)): self.meaning[p.name] for p in program.params if p.name in self.meaning})

    def ask(self, s: Slice) -> None:
        """Earlier kernels store what this one would make of products again, of tiles that have a dim whole."""
        values = s.program.order()
        meant = dict(zip(map(id, values), self.full(s.program).rebuild(values)))
        stack, seen = s.program.roots(), set()
        while stack:
            v = stack.pop()
            key = id(meant[id(v)]), s.levels
            below = order([v])
            if id(v) in seen or key in self.stored or not products(below):
                continue
            seen.add(id(v))
            if key not in self.sums:
                stack += v.args
            elif any(is_dim(a) and dim_of(a) in s.whole for x in below for a in x.axes):
                self.store(*self.sums[key], key)

    def store(self, at: int, v: Value, key: tuple[int, bool]) -> None:
        axes = tuple(a for a in v.axes if a in AXIS_ORDER and a != "r") + tuple(a for a in v.axes if is_dim(a))
        param = Param(self.fresh(f"stored.{stem(v)}"), "starts", axes)
        host = self.slices[at]
        self.slices[at] = host.part([*host.program.results, Result(param.name, param.kind, axes, ((v, 0),))], host.program.params, self.b)
        self.more.append(param)
        self.own.add(param.name)
        self.stored[key] = param
        self.meaning[param.name] = self.full(host.program).rebuild([v])[0]

    def reading(self, s: Slice) -> Slice:
        """The slice with what is stored already, where that spares products of matrices, or is read from another place."""
        b, values = self.b, s.program.order()
        found = {id(v): self.stored.get((id(whole), s.levels)) for v, whole in zip(values, self.full(s.program).rebuild(values))}
        read = {id(v): b.param(p) for v in values if (p := found[id(v)]) is not None and (v.op == "param" or products(order([v])))}
        if all(id(v) == id(read.get(id(v), v)) for v in values):
            return s
        again = iter(Rebuilder(b, read).rebuild(s.program.roots()))
        results = [replace(r, parts=tuple((next(again), shift) for _, shift in r.parts)) for r in s.program.results]
        return s.part(results, {p.name: p for p in (*s.program.params, *found.values()) if p is not None}.values(), self.b)


def _wanted(slices: Sequence[Slice], own: set[str], b: Builder) -> list[Slice]:
    """The slices without what they store for nobody."""
    read: set[str] = set()
    made: list[Slice] = []
    for s in reversed(slices):
        if s.kind == "rows" and not s.kept:
            results = [r for r in s.program.results if r.name not in own or r.name in read]
            if not results:
                continue
            s = s if len(results) == len(s.program.results) else s.part(results, s.program.params, b)
        made.append(s)
        read |= {p.name for p in s.program.params}
    return made[::-1]
