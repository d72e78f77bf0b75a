"""Axes along which a value is constant, given to it for the sake of its derivative (`Builder.spread`), go where they are not needed.

    f(spread(x), y) -> f(x, y)                  where y has the axis
                    -> spread(f(x, y))          where it has not; so do sums and products over other axes
    spread(x)       -> x                        where x has the axis: the derivative of a spread

Exact: the branch that `spread` writes beside x is never taken.
"""
from __future__ import annotations

from ..ir.builder import Builder
from ..ir.nodes import Program, Value
from .rewrite import Rebuilder, rebuild_program, remake


def narrow(program: Program, b: Builder) -> Program:
    """Ensures: the same results, with the same axes."""
    def hook(rebuilder: Rebuilder, value: Value, args: list[Value]) -> Value | None:
        if (axis := _along(b, value.op, value.get("fn"), args)) is not None:
            return args[1] if axis in args[1].axes else None
        if value.op not in ("map", "sum", "dot"):
            return None
        over = () if value.op == "map" else value["over"]
        bare = [_without(b, x, over) for x in args]
        if all(x is y for x, y in zip(bare, args)):
            return None
        found = remake(b, value, bare)
        for axis in remake(b, value, args).axes:
            found = b.spread(found, axis)
        return found

    return rebuild_program(program, b, hook)


def _along(b: Builder, op: str, fn: str | None, args: list[Value] | tuple[Value, ...]) -> str | None:
    """The axis of `where(iota(axis) >= 0, ..)`, which is true."""
    if op == "map" and fn == "where" and len(args[0].axes) == 1 and args[0] is b.map("ge", b.iota(args[0].axes[0]), b.zero()):
        return args[0].axes[0]
    return None


def _without(b: Builder, x: Value, over: tuple[str, ...]) -> Value:
    """x without the axes that it was spread along, but those that are summed over."""
    axis = _along(b, x.op, x.get("fn"), x.args)
    return x if axis is None or axis in over else _without(b, x.args[1], over)
