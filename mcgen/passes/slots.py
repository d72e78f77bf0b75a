"""Puts what is large per token and cached memory into loops over the memories, so that no [T, N, K] tensor exists.

A value is large when it has tokens, slots and a dimension of the spec, or rows, slots and two dimensions. Large values that
need no other loop's result first go into one loop; what leaves it is a sum over the slots, a stack of small values along
them, or what rows give to the memories that their digits stand for.
"""
from __future__ import annotations

from ..ir.builder import Builder
from ..ir.nodes import Param, Program, Result, Value, is_dim, sort_axes
from .rewrite import Rebuilder, remake


def large(value: Value) -> bool:
    dims = sum(map(is_dim, value.axes))
    return "n" in value.axes and (dims > 0 and bool({"c", "d"} & set(value.axes)) or dims > 1 and "r" in value.axes)


def summed(value: Value) -> bool:
    """Whether it is a sum over the slots."""
    return value.op in ("sum", "dot") and "n" in value["over"]


def loop_slots(program: Program, b: Builder) -> Program:
    """Ensures: no value outside a slots body is large."""
    values = program.order()
    depth: dict[int, int] = {}         # how many loops, one after the other, a value needs
    exits: dict[int, list[Value]] = {}
    for v in values:
        depth[id(v)] = max((depth[id(a)] for a in v.args), default=0)
        if not large(v) and any(map(large, v.args)):
            exits.setdefault(depth[id(v)], []).append(v)
            depth[id(v)] += 1
    done: dict[int, Value] = {}
    rebuilder = Rebuilder(b, done)
    rebuilder.done = done
    for stage in sorted(exits):
        _Loop(b, rebuilder, f"slots{stage}").take(exits[stage])
    roots = rebuilder.rebuild(program.roots())
    found = iter(roots)
    results = tuple(Result(r.name, r.kind, r.axes, tuple((next(found), s) for _, s in r.parts), r.delay) for r in program.results)
    return Program(program.name, program.params, results, program.level, program.segment)


class _Loop:
    """Builds one loop. Large values are computed inside, from whatever they need."""

    def __init__(self, b: Builder, rebuilder: Rebuilder, name: str):
        self.b, self.rebuilder, self.name = b, rebuilder, name
        self.xs: dict[int, tuple[Param, Value]] = {}
        self.consts: dict[int, tuple[Param, Value]] = {}
        self.body: dict[int, Value] = {}

    def take(self, exits: list[Value]) -> None:
        results = []
        for i, value in enumerate(exits):
            here = self.exit(value)
            kind = "give" if value.op == "give" else "stack" if "n" in value.axes else "sum"
            results.append(Result(f"out{i}", kind, here.axes, ((here, 0),)))
        params = tuple(p for p, _ in self.xs.values()) + tuple(p for p, _ in self.consts.values())
        body = Program(self.name, params, tuple(results))
        outs = self.b.slots(body, [v for _, v in self.xs.values()], [v for _, v in self.consts.values()])
        for value, out in zip(exits, outs):
            total = self.b.sum(out, ["r"]) if summed(value) and "r" in value["over"] else out
            self.rebuilder.done[id(value)] = self.b.called(total, value.name)

    def exit(self, value: Value) -> Value:
        if value.op == "give":
            return self.inner(value.args[0])
        args = [self.inner(a) for a in value.args]
        if summed(value):
            rest = [a for a in value["over"] if a not in ("n", "r")]         # rows are summed outside: a loop is one row's
            return self.b.sum(args[0], rest) if value.op == "sum" else self.b.dot(args[0], args[1], rest)
        return self.b.called(remake(self.b, value, args), value.name)

    def inner(self, value: Value) -> Value:
        """The value for one slot."""
        if id(value) not in self.body:
            if large(value):
                self.body[id(value)] = self.b.called(remake(self.b, value, [self.inner(a) for a in value.args]), value.name)
            else:
                self.body[id(value)] = self.enter(value)
        return self.body[id(value)]

    def enter(self, value: Value) -> Value:
        outer = self.rebuilder.rebuild([value])[0]
        if not value.args and "n" not in value.axes and value.op in ("const", "size", "iota", "row"):
            return outer
        kind = self.xs if "n" in outer.axes else self.consts
        if id(outer) not in kind:
            axes = tuple(a for a in sort_axes(outer.axes) if a != "n")
            name = f"{self.name}.{'x' if kind is self.xs else 'k'}{len(kind)}"
            kind[id(outer)] = (Param(name, "value", axes, dtype=outer.dtype), outer)
        return self.b.param(kind[id(outer)][0])
