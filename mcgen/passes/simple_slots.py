"""Loops over slots take what lies in memory slot by slot: arithmetic on it moves into the body."""
from __future__ import annotations

from ..ir.builder import Builder
from ..ir.nodes import Param, Program, Result, Value, slot_axis, sort_axes
from .rewrite import Rebuilder, rebuild_program, remake


def simple_slots(program: Program, b: Builder) -> Program:
    """Ensures: the first arguments of every slots loop are parameters or iota, the others do not have its axis."""
    def hook(rebuilder: Rebuilder, value: Value, args: list[Value]) -> Value | None:
        return _Body(b, value, args).loop() if value.op == "slots" else None
    return rebuild_program(program, b, hook)


class _Body:
    def __init__(self, b: Builder, loop: Value, args: list[Value]):
        self.b, self.old, self.args, self.axis = b, loop, args, slot_axis(loop)
        self.xs: dict[int, tuple[Param, Value]] = {}
        self.consts: dict[int, tuple[Param, Value]] = {}
        self.done: dict[int, Value] = {}

    def loop(self) -> Value:
        body: Program = self.old["body"]
        bound = {id(self.b.param(p)): self.inner(a) for p, a in zip(body.params, self.args)}
        roots = iter(Rebuilder(self.b, bound).rebuild(body.roots()))
        results = tuple(Result(r.name, r.kind, r.axes, ((next(roots), 0),)) for r in body.results)
        every = [*self.xs.values(), *self.consts.values()]
        made = Program(body.name, tuple(p for p, _ in every), results)
        return self.b.make("slots", [v for _, v in every], (), "f", **{**dict(self.old.attrs), "body": made, "xs": len(self.xs)})

    def inner(self, v: Value) -> Value:
        """v for one slot."""
        if id(v) not in self.done:
            self.done[id(v)] = self._inner(v)
        return self.done[id(v)]

    def _inner(self, v: Value) -> Value:
        if v.op in ("const", "size", "row") or (v.op == "iota" and v["axis"] != self.axis):
            return v
        if self.axis in v.axes and v.args:
            return remake(self.b, v, [self.inner(a) for a in v.args])
        kind = self.xs if self.axis in v.axes else self.consts
        if id(v) not in kind:
            name = f"{self.old['body'].name}_{'x' if kind is self.xs else 'k'}{len(kind)}"
            kind[id(v)] = (Param(name, "value", tuple(a for a in sort_axes(v.axes) if a != self.axis), dtype=v.dtype), v)
        return self.b.param(kind[id(v)][0])
