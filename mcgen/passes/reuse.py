"""What one kernel stores, later ones read instead of computing it again.

What kernels hand on is chosen before those of many products are divided (`slice_parts`), and their parts store more. Of that, a kernel
that is no part of them may compute something itself, in tiles of which a dim is whole for it. A read costs less than a product, and the
kernel that reads may be free to be cut along that dim.
"""
from __future__ import annotations

from dataclasses import replace
from typing import Mapping, Sequence

from ..ir.builder import Builder
from ..ir.nodes import Param, Program, Value, order
from .rewrite import Rebuilder
from .slice_kernel import Slice, products


def reuse(slices: Sequence[Slice], scratch: Sequence[Param], b: Builder) -> list[Slice]:
    """Requires: slices in order. Ensures: the same results from slices in that order, without what nobody reads any more."""
    own = {p.name for p in scratch if p.kind == "starts" and "n" not in p.axes}
    meaning: dict[str, Value] = {}                       # of what is stored, in terms of what kernels over rows do not store
    stored: dict[tuple[int, bool], Param] = {}           # by that and by whether there is a program for every level
    made: list[Slice] = []
    for s in slices:
        if s.kind == "rows" and not s.kept:
            s = _reading(s, meaning, stored, b)
            full = _full(s.program, meaning, b)
            for r, v in zip(s.program.results, full.rebuild(s.program.roots())):
                if r.name in own and "r" in v.axes:
                    meaning[r.name] = v
                    stored.setdefault((id(v), s.levels), Param(r.name, r.kind, r.axes))
        made.append(s)
    return _wanted(made, own)


def _full(program: Program, meaning: Mapping[str, Value], b: Builder) -> Rebuilder:
    return Rebuilder(b, {id(b.param(p)): meaning[p.name] for p in program.params if p.name in meaning})


def _reading(s: Slice, meaning: Mapping[str, Value], stored: Mapping[tuple[int, bool], Param], b: Builder) -> Slice:
    """The slice with what is stored already, where that spares products of matrices, or is read from another place."""
    values = s.program.order()
    found = {id(v): stored.get((id(whole), s.levels)) for v, whole in zip(values, _full(s.program, meaning, b).rebuild(values))}
    read = {id(v): b.param(p) for v in values if (p := found[id(v)]) is not None and (v.op == "param" or products(order([v])))}
    if all(id(v) == id(read.get(id(v), v)) for v in values):
        return s
    again = iter(Rebuilder(b, read).rebuild(s.program.roots()))
    results = [replace(r, parts=tuple((next(again), shift) for _, shift in r.parts)) for r in s.program.results]
    return s.part(results, {p.name: p for p in (*s.program.params, *found.values()) if p is not None}.values())


def _wanted(slices: Sequence[Slice], own: set[str]) -> list[Slice]:
    """The slices without what they store for nobody."""
    read: set[str] = set()
    made: list[Slice] = []
    for s in reversed(slices):
        if s.kind == "rows" and not s.kept:
            results = [r for r in s.program.results if r.name not in own or r.name in read]
            if not results:
                continue
            s = s if len(results) == len(s.program.results) else s.part(results, s.program.params)
        made.append(s)
        read |= {p.name for p in s.program.params}
    return made[::-1]
