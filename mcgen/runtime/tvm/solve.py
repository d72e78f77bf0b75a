"""Triangular systems: x <- (1 - L)^-1 x in place, blocks of rows by products, the rows of a block one after another."""
from __future__ import annotations

from .dot import is_one, matrix_of
from .elementwise import Nest, choose_vector
from .expr import Access, Expr
from .gemm import Matrix, multiply
from .levels import LEVEL, each
from .memory import Scope
from .merge import merged_solve
from .reduce import free_axes
from .statements import Solve

BLOCK = 16


def lower_solve(scope: Scope, s: Solve) -> None:
    """x_c += sum over d < c of L_cd x_d, upwards in c (transposed: sum over d > c of L_dc x_d, downwards)."""
    if LEVEL in free_axes(scope, s.x.attr.index):
        each(scope, lambda: lower_solve(scope, s))
        return
    s = merged_solve(scope, s)
    em, (row, column) = scope.em, s.matrix.attr.index
    nest, extent = Nest(scope), scope.extent(row)
    others = [a for a in free_axes(scope, s.x.attr.index) if a != row]
    blocked = None
    if len(others) == 1:
        x = matrix_of(scope, nest, s.x, row, others[0])
        if is_one(x.column):
            blocked = x, matrix_of(scope, nest, s.matrix, row, column), scope.extent(others[0])
    block = BLOCK if blocked else extent
    full, rest = divmod(extent, block)
    parts = [(full, block, 0)] * bool(full) + [(1, rest, full * block)] * bool(rest)
    for count, height, base in reversed(parts) if s.transposed else parts:
        with em.loop(0, count, name="block") as step:
            first = (count - 1 - step if s.transposed else step) * height + base
            if blocked:
                _earlier_blocks(scope, s, *blocked, first, height, extent)
            _rows(scope, s, nest, row, column, others, first, height)


def _earlier_blocks(scope: Scope, s: Solve, x: Matrix, L: Matrix, width: int, first, height: int, extent: int) -> None:
    """What the rows solved before contribute to the block's rows."""
    target = Matrix(x.buffer, x.offset + first * x.row, x.row, 1, x.padded)
    if s.transposed:
        after = first + height
        left = Matrix(L.buffer, L.offset + first * L.column + after * L.row, L.column, L.row)
        right, k = Matrix(x.buffer, x.offset + after * x.row, x.row, 1, x.padded), extent - after
    else:
        left, right, k = Matrix(L.buffer, L.offset + first * L.row, L.row, L.column), x, first
    multiply(scope.em, target, left, right, height, width, k, True, scope.options)


def _rows(scope: Scope, s: Solve, nest: Nest, row: str, column: str, others: list[str], first, height: int) -> None:
    """Substitution inside a block."""
    em = scope.em
    vector = choose_vector(scope, others, s.x, [s.x])
    access = s.x.attr
    solved = Expr("ref", (), Access(access.storage, tuple(column if a == row else a for a in access.index), access.at), s.x.dtype)
    matrix = Expr("ref", (), Access(s.matrix.attr.storage, (column, row), s.matrix.attr.at), "f32") if s.transposed else s.matrix
    with em.loop(0, height, name="s") as step:
        at = first + (height - 1 - step if s.transposed else step)
        with nest._frame(row, at), nest.loops([a for a in others if a != vector]):
            for section in nest.sections(vector):
                with nest.section(vector, *section):
                    total = em.local(section[1])
                    em.store(total, 0, em.bind(nest.read(s.x)))
                    low, high = (at + 1, first + height) if s.transposed else (first, at)
                    with nest.loop(column, low, high):
                        em.store(total, 0, em.fma(nest.value(matrix), nest.value(solved), em.load(total, 0, "f32", section[1])))
                    nest.write(s.x, em.bind(em.load(total, 0, "f32", section[1])))
