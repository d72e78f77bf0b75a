"""Systems of one cached memory share its inverse: every row of tokens solves them, and a derivative solves each both ways.

    solve(A, x), solve(A.T, y)     ->     B = solve(A, 1);  B @ x, B.T @ y

An inverse costs about as much as one row's system with as many right sides as it has columns; products with it are cheap, and a loop over
rows holds no system. Its error, as a solution's, is that of the matrix times its condition (Higham, Accuracy and Stability of Numerical
Algorithms, 14.1).
"""
from __future__ import annotations

from ..ir.builder import Builder
from ..ir.nodes import Program, Value, free_axis
from .rewrite import Rebuilder, rebuild_program


def invert(program: Program, b: Builder) -> Program:
    """Ensures: the same results; no two systems of tokens, one matrix for every cached memory."""
    systems: dict[int, list[Value]] = {}
    for v in program.order():
        if v.op == "dense_solve" and "c" in v.args[1].axes and "n" in v.args[0].axes and not {"r", "c"} & set(v.args[0].axes):
            systems.setdefault(id(v.args[0]), []).append(v)
    first = {i: found[0] for i, found in systems.items() if len(found) > 1}

    def hook(rebuilder: Rebuilder, value: Value, args: list[Value]) -> Value | None:
        if value.op != "dense_solve" or id(value.args[0]) not in first:
            return None
        one = first[id(value.args[0])]
        return b.dot(_inverse(b, args[0], one["row"], one["column"], one["definite"]), args[1], [value["row"]])

    return rebuild_program(program, b, hook)


def _inverse(b: Builder, matrix: Value, row: str, column: str, definite: bool) -> Value:
    """Over the same axes: what gives y over `column` for x over `row`, and the other way round for the transposed matrix."""
    own = free_axis(row, (row, column))
    one = b.where(b.map("eq", b.iota(row), b.iota(own)), b.const(1.0))
    return b.rename(b.dense_solve(matrix, one, row, column, definite), {own: row})
