"""Operations that differentiation wants whole, in terms of simpler ones: after it."""
from __future__ import annotations

from ..ir.builder import Builder
from ..ir.nodes import Program, Value, bodies
from .rewrite import Rebuilder, rebuild_program


def expand(program: Program, b: Builder) -> Program:
    """segsum -> a difference of running sums (in float64: see precision); choose -> where."""
    return rebuild_program(program, b, _expand)


def _expand(rebuilder: Rebuilder, value: Value, args: list[Value]) -> Value | None:
    b = rebuilder.b
    if value.op == "map" and value["fn"] == "choose":
        return b.where(*args)
    for old in bodies(value):
        body = expand(old, b)
        return None if body.roots() == old.roots() else b.make(value.op, args, (), "f", **{**dict(value.attrs), "body": body})
    if value.op != "segsum":
        return None
    running = b.cumsum(args[0], "c")
    reader = b.cumsum(args[0], "c", exclusive=True) if value["exclusive"] else running
    b.called(running, "G")
    return b.map("sub", reader, b.rename(running, {"c": "d"}))
