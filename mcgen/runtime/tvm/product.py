"""Products that are never stored: what is made of each element happens while it is still in a register."""
from __future__ import annotations

from typing import Iterator

from . import statements as st
from .dot import operand, substitute
from .elementwise import LANES, Nest
from .emit import Value
from .expr import Expr, cast, const
from .gemm import multiply
from .memory import DYNAMIC, Scope
from .reduce import across, combine, free_axes, lower_map, lower_reduce


def lower_product(scope: Scope, s: st.Product) -> None:
    rows, columns = s.axes
    if not fits(scope, s):
        _stored(scope, s)
        return
    for inner in s.body:
        if isinstance(inner, st.Reduce) and not inner.accumulate:
            lower_map(scope, st.Map(inner.dst, const(0.0)))
    k = free_axes(scope, s.over)[0]
    a, b = (s.a, s.b) if rows in s.a.axes else (s.b, s.a)
    nest = Nest(scope)
    left = operand(scope, nest, a, rows, k, contiguous=False)
    right = operand(scope, nest, b, k, columns, contiguous=True)

    def take(row, vectors: list[tuple[object, int, Value]]) -> None:
        _row(scope, s, row, vectors)

    multiply(scope.em, take, left, right, scope.extent(rows), scope.extent(columns), scope.extent(k), False, scope.options,
             beside=scope.beside.get(id(s)))


def fits(scope: Scope, s: st.Product) -> bool:
    """Whether it is a product of matrices of fixed size in float32, with vectors along its second axis."""
    (rows, columns), over = s.axes, free_axes(scope, s.over)
    if len(over) != 1 or DYNAMIC.keys() & {rows, columns, *over} or scope.extent(columns) < LANES:
        return False
    of_a, of_b = (set(free_axes(scope, sorted(x.axes))) for x in (s.a, s.b))
    if {frozenset(of_a), frozenset(of_b)} != {frozenset({rows, *over}), frozenset({columns, *over})}:
        return False
    return all(i.dst.dtype == "f32" for i in s.body) and s.a.dtype == s.b.dtype == "f32"


def _row(scope: Scope, s: st.Product, row, vectors) -> None:
    """The statements on one row of a register tile."""
    nest = Nest(scope)
    rows, columns = s.axes
    with nest._frame(rows, row):
        for inner in s.body:
            parts = []
            for column, lanes, value in vectors:
                with nest._frame(columns, column):
                    nest.vector, nest.lanes, nest.acc = columns, lanes, value
                    found = nest.value(inner.value)
                    if isinstance(inner, st.Map):
                        nest.write(inner.dst, found, inner.accumulate)
                    else:
                        parts.append(nest.em.bind(nest.em.spread(found, lanes)))
                    nest.vector, nest.lanes = None, 1
            if parts:
                nest.write(inner.dst, _total(nest, parts), True)


def _total(nest: Nest, parts: list[Value]) -> Value:
    """The sum over all lanes of all vectors: vectors of one width are added first."""
    merged: dict[int, Value] = {}
    for part in parts:
        merged[part.lanes] = combine(nest, "sum", merged[part.lanes], part) if part.lanes in merged else part
    result: Value | None = None
    for part in merged.values():
        one = across(nest, "sum", part)
        result = one if result is None else combine(nest, "sum", result, one)
    assert result is not None
    return result


def _stored(scope: Scope, s: st.Product) -> None:
    """Sizes that no register tile takes: through scratch."""
    from .dot import lower_dot

    ref = scope.temporary(*s.axes)
    lower_dot(scope, st.Dot(ref, s.a, s.b, s.over))
    for inner in _with(s.body, cast(ref, "f32")):
        (lower_map if isinstance(inner, st.Map) else lower_reduce)(scope, inner)


def _with(body: list, acc: Expr) -> Iterator[st.Map | st.Reduce]:
    for inner in body:
        value = substitute(inner.value, acc)
        yield st.Map(inner.dst, value, inner.accumulate) if isinstance(inner, st.Map) else \
            st.Reduce("sum", inner.dst, value, inner.over, inner.accumulate)
