"""Matrices that all rows share leave sums over the rows: what one of them makes of every token's vector, it makes of the sum.

    sum over r, c of (M x) (w N y)^T     ->     M E N^T,  E = sum over r, c of x (w y)^T

A loop over rows then adds up products of tokens alone, often the same sum for several results, and its matrices are used once.
"""
from __future__ import annotations

from dataclasses import dataclass, replace

from ..ir.builder import Builder
from ..ir.nodes import Program, Value, free_axis, is_dim
from .rewrite import Rebuilder, rebuild_program

TOKENS = ("r", "c")


def leave_rows(program: Program, b: Builder) -> Program:
    """Ensures: the same results; no sum over rows of an outer product has a side that is a matrix of no row times a token's vector."""
    def hook(rebuilder: Rebuilder, value: Value, args: list[Value]) -> Value | None:
        if value.op != "dot" or value["over"] != TOKENS:
            return None
        left, right = (_side(b, x) for x in args)
        if left is None or right is None or not (left.steps or right.steps):
            return None
        return _total(b, left, right)

    return rebuild_program(program, b, hook)


@dataclass(frozen=True)
class _Side:
    """One factor of an outer product: a vector of every token over `own`, and the matrices that take it in turn over `wanted`, each as
    (matrix, the axis that is summed, the one that stays)."""

    base: Value
    own: str
    wanted: str
    steps: tuple[tuple[Value, str, str], ...] = ()


def _side(b: Builder, x: Value) -> _Side | None:
    dims = [a for a in x.axes if is_dim(a)]
    if len(dims) != 1 or not set(TOKENS) <= set(x.axes):
        return None
    own, = dims
    if x.op == "rename" and (side := _side(b, x.args[0])):
        return replace(side, wanted=own)
    if x.op == "map" and x["fn"] == "mul":
        for scale, y in (x.args, x.args[::-1]):
            if not any(map(is_dim, scale.axes)) and (side := _side(b, y)) and side.steps:
                return replace(side, base=b.map("mul", scale, side.base))
    if x.op == "dot" and all(map(is_dim, x["over"])):
        for matrix, y in (x.args, x.args[::-1]):
            if not set(TOKENS) & set(matrix.axes) and sum(map(is_dim, matrix.axes)) == 2 and (side := _side(b, y)):
                return replace(side, wanted=own, steps=(*side.steps, (matrix, *x["over"], own)))
    return _Side(x, own, own)


def _total(b: Builder, left: _Side, right: _Side) -> Value:
    if len(right.steps) < len(left.steps):                     # its steps may be all that another sum takes
        left, right = right, left
    names = [left.own, free_axis(right.own, {left.own})]
    total = b.dot(left.base, b.rename(right.base, {right.own: names[1]}), TOKENS)
    for i, side in enumerate((left, right)):
        for matrix, over, own in side.steps:
            other = free_axis(names[1 - i], {over, own})
            total = b.dot(matrix, b.rename(total, {names[i]: over, names[1 - i]: other}), [over])
            names[i], names[1 - i] = own, other
    return b.rename(total, dict(zip(names, (left.wanted, right.wanted))))
