"""Triangular systems of a row's tokens as products with inverse matrices, which GPUs multiply faster than they substitute.

With one value a token x = (1 - L)^-1 r is such a product. With several steps a token, L consists of blocks L[i][j] over c and
d, from step j to step i, and the steps are eliminated one after the other:

    x[k] = N[k] (r[k] + sum over j > k of L[k][j] x[j]),    N[k] = (1 - L[k][k])^-1

put into the rows of the later steps, which are a system of the same kind. What is eliminated is strictly lower again.
"""
from __future__ import annotations

from ..ir.builder import Builder
from ..ir.nodes import Value


def solved(b: Builder, matrix: Value, x: Value, transposed: bool) -> Value:
    """The solution over c, of one value a token."""
    return times(b, b.inverse(matrix), x, transposed)


def solved_steps(b: Builder, blocks: list[list[Value]], right: list[Value], transposed: bool) -> list[Value]:
    """The solution, step by step. blocks: over c and d, 0 unless d is before c, or the same token in an earlier step."""
    inverses, lower, upper = _eliminate(b, blocks)
    steps = range(len(blocks))
    if transposed:
        lower, upper = _flip(upper), _flip(lower)
    found = list(right)
    for k in steps:
        for i in steps[k + 1:]:
            found[i] = b.map("add", found[i], times(b, lower[i][k], found[k], transposed))
    for k in reversed(steps):
        later = (times(b, upper[k][j], found[j], transposed) for j in steps[k + 1:])
        found[k] = b.add(times(b, inverses[k], found[k], transposed), *later)
    return found


def _eliminate(b: Builder, blocks: list[list[Value]]) -> tuple[list[Value], list[list[Value]], list[list[Value]]]:
    """N; what is added to later steps' right sides; what later steps' solutions add to a step's own."""
    steps = range(len(blocks))
    left = [list(row) for row in blocks]
    lower, upper = ([[b.zero() for _ in steps] for _ in steps] for _ in range(2))
    inverses = []
    for k in steps:
        inverses.append(b.called(b.inverse(left[k][k]), f"inverse_{k}"))
        for i in steps[k + 1:]:
            lower[i][k] = b.called(_product(b, left[i][k], inverses[k]), f"lower_{i}_{k}")
            upper[k][i] = b.called(_product(b, inverses[k], left[k][i]), f"upper_{k}_{i}")
        for i in steps[k + 1:]:
            for j in steps[k + 1:]:
                left[i][j] = b.map("add", left[i][j], _product(b, lower[i][k], left[k][j]))
    return inverses, lower, upper


def _flip(blocks: list[list[Value]]) -> list[list[Value]]:
    return [list(row) for row in zip(*blocks)]


def _product(b: Builder, x: Value, y: Value) -> Value:
    """The product of two matrices over c and d."""
    return b.dot(b.rename(x, {"d": "mid"}), b.rename(y, {"c": "mid"}), ["mid"])


def times(b: Builder, matrix: Value, x: Value, transposed: bool) -> Value:
    """A matrix over c and d, or its transposed, times x over c."""
    x = b.spread(x, "c")
    if transposed:
        return b.rename(b.dot(matrix, x, ["c"]), {"d": "c"})
    return b.dot(matrix, b.rename(x, {"c": "d"}), ["d"])
