"""Products over selected rows only: the rows are gathered, multiplied as a short matrix, and scattered back."""
from __future__ import annotations

from . import statements as st
from .dot import is_one, matrix_of, operand
from .elementwise import Nest
from .expr import Expr, binary, const, where
from .gemm import Matrix, multiply
from .memory import Scope
from .reduce import free_axes, lower_map


def lower_grouped(scope: Scope, s: st.Dot, m: str, n: str, k: str, dense) -> None:
    """A product of matrices with `rows`; `dense` lowers the same without rows, for selections along the contiguous axis."""
    em = scope.em
    if not s.accumulate:
        lower_map(scope, st.Map(s.dst, const(0.0)))
    axis = free_axes(scope, s.rows.attr.index)[0]
    nest = Nest(scope)
    order, count = _selected(scope, s, axis)
    with em.when(em.binary("gt", count, em.const(0, "i32"))):
        number = em.bind_index(em.as_index(count))
        a, b = (s.a, s.b) if m in s.a.axes else (s.b, s.a)
        if axis == m:
            left = _gather(scope, nest, a, m, k, order, number, s.scale)
            right = operand(scope, nest, b, k, n, contiguous=True)
            made = _rows_like(scope, m, n)
            multiply(em, made, left, right, number, scope.extent(n), scope.extent(k), False, scope.options)
            _scatter_add(scope, nest, s.dst, m, n, made, order, number)
        elif axis == k:
            left = _gather(scope, nest, a, k, m, order, number, s.scale)
            right = _gather(scope, nest, b, k, n, order, number, None)
            left.row, left.column = left.column, left.row
            target = matrix_of(scope, nest, s.dst, m, n)
            multiply(em, target, left, right, scope.extent(m), scope.extent(n), number, True, scope.options)
        else:
            chosen = where(binary("ne", s.rows, 0), b if s.scale is None else binary("mul", b, s.scale), 0.0)
            dense(scope, st.Dot(s.dst, a, chosen, s.over, True), m, n, k)


def _selected(scope: Scope, s: st.Dot, axis: str):
    """(buffer of the selected positions in order, their number as i32)."""
    em = scope.em
    place = scope.places[scope.temporary(axis, dtype="i32").attr.storage.name]
    count = em.local(1, "i32")
    em.store(count, 0, em.const(0, "i32"))
    nest = Nest(scope)
    with nest.loop(axis) as position:
        so_far = em.bind(em.load(count, 0, "i32"))
        em.store(place.buffer, em.as_index(so_far), em.from_index(position))
        chosen = em.cast(nest.value(binary("ne", s.rows, 0)), "i32")
        em.store(count, 0, em.binary("add", so_far, chosen))
    return place.buffer, em.bind(em.load(count, 0, "i32"))


def _rows_like(scope: Scope, axis: str, columns: str) -> Matrix:
    """Scratch of as many rows as the axis has, up to whole register tiles."""
    tile = scope.options.rows
    ref = scope.temporary((scope.extent(axis) + tile - 1) // tile * tile, columns)
    place = scope.places[ref.attr.storage.name]
    return Matrix(place.buffer, 0, place.strides[0], 1, True)


def _gather(scope: Scope, nest: Nest, expr: Expr, axis: str, columns: str, order, number, scale: Expr | None) -> Matrix:
    """Row i of the result is row order[i] of the operand over (axis, columns), times its scale."""
    em = scope.em
    made = _rows_like(scope, axis, columns)
    lanes_of = Nest(scope)
    if expr.op != "ref":
        ref = scope.temporary(axis, columns)
        lower_map(scope, st.Map(ref, expr))
        expr = ref
    source = matrix_of(scope, nest, expr, axis, columns)
    with em.loop(0, number, name="i") as i:
        at = em.bind_index(em.as_index(em.load(order, i, "i32")))
        factor = None
        if scale is not None:
            with lanes_of._frame(axis, at):
                factor = lanes_of.value(scale)
        for blocks, lanes, first in lanes_of.sections(columns):
            with em.loop(0, blocks, name="x") as step:
                j = step * lanes + first
                value = em.bind(em.load(source.buffer, source.offset + at * source.row + j * source.column, "f32", lanes, source.column))
                if factor is not None:
                    value = em.binary("mul", factor, value)
                em.store(made.buffer, made.offset + i * made.row + j, value)
    return made


def _scatter_add(scope: Scope, nest: Nest, dst: Expr, m: str, n: str, made: Matrix, order, number) -> None:
    em = scope.em
    target = matrix_of(scope, nest, dst, m, n)
    assert is_one(target.column)
    with em.loop(0, number, name="i") as i:
        at = em.bind_index(em.as_index(em.load(order, i, "i32")))
        for blocks, lanes, first in nest.sections(n):
            with em.loop(0, blocks, name="x") as step:
                j = step * lanes + first
                place = em.bind_index(target.offset + at * target.row + j)
                total = em.binary("add", em.load(target.buffer, place, "f32", lanes),
                                  em.load(made.buffer, made.offset + i * made.row + j, "f32", lanes))
                em.store(target.buffer, place, total)
