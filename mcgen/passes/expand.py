"""Operations that differentiation wants whole, in terms of simpler ones: after it."""
from __future__ import annotations

from ..ir.builder import Builder
from ..ir.nodes import Program, Value
from .rewrite import Rebuilder, rebuild_program


def expand(program: Program, b: Builder) -> Program:
    """segsum -> a difference of running sums (in float64: see precision)."""
    return rebuild_program(program, b, _expand)


def _expand(rebuilder: Rebuilder, value: Value, args: list[Value]) -> Value | None:
    if value.op != "segsum":
        return None
    b = rebuilder.b
    running = b.cumsum(args[0], "c")
    reader = b.cumsum(args[0], "c", exclusive=True) if value["exclusive"] else running
    b.called(running, "G")
    return b.map("sub", reader, b.rename(running, {"c": "d"}))
