"""Products of tiles: which operand is which, in what layout, and what happens to the result."""
from __future__ import annotations

from . import statements as st
from .elementwise import LANES, Nest
from .expr import Expr, binary, cast, const, where
from .gemm import Bounds, Matrix, multiply
from .levels import dot_by_level
from .memory import DYNAMIC, Scope
from .merge import merged_dot
from .pack import transpose
from .reduce import free_axes, lower_map, lower_reduce


def lower_dot(scope: Scope, s: st.Dot) -> None:
    if dot_by_level(scope, s, lower_dot):
        return
    joint = merged_dot(scope, s)
    if joint is not None and (shape := matrix_shape(scope, joint)) is not None:
        _matrix(scope, joint, *shape)
        finish(scope, s)
        return
    shape = matrix_shape(scope, s)
    if s.rows is not None and (s.then is not None or s.lower or s.over_lower):
        raise ValueError("a dot with rows= takes no then, lower or over_lower")
    if shape is None:
        _plain(scope, s)
    elif s.rows is not None:
        from .grouped import lower_grouped
        lower_grouped(scope, s, *shape, dense=_matrix)
    else:
        _matrix(scope, s, *shape)
    finish(scope, s)


def matrix_shape(scope: Scope, s: st.Dot):
    """(m, n, k) if the product is one of matrices of fixed size in float32, n the axis along which the result is contiguous."""
    axes, over = free_axes(scope, s.dst.attr.index), free_axes(scope, s.over)
    if len(axes) != 2 or len(over) != 1 or s.upto or s.dst.dtype != "f32":
        return None
    of_a, of_b = (set(free_axes(scope, sorted(x.axes))) for x in (s.a, s.b))
    if s.a.dtype != "f32" or s.b.dtype != "f32" or DYNAMIC.keys() & {*axes, *over}:
        return None
    n = next((axis for axis, stride in scope.axis_strides(s.dst.attr) if axis in axes and isinstance(stride, int) and stride == 1), None)
    m = next(axis for axis in axes if axis != n)
    k = over[0]
    if n is None or not ((of_a == {m, k} and of_b == {k, n}) or (of_b == {m, k} and of_a == {k, n})):
        return None
    return (m, n, k) if scope.extent(n) >= 4 else None


def _matrix(scope: Scope, s: st.Dot, m: str, n: str, k: str) -> None:
    a, b = (s.a, s.b) if m in s.a.axes else (s.b, s.a)
    if s.scale is not None:
        if s.scale.axes & {m, k} == s.scale.axes & {m, n, k}:
            a = binary("mul", a, s.scale)
        else:
            b = binary("mul", b, s.scale)
    nest = Nest(scope)
    left = operand(scope, nest, a, m, k, contiguous=False)
    right = operand(scope, nest, b, k, n, contiguous=True)
    target = matrix_of(scope, nest, s.dst, m, n)
    bounds = Bounds()
    if s.lower and {m, n} == {"c", "d"}:
        bounds.keep = "lower" if m == "c" else "upper"
    if s.lower:
        scope.triangles[s.dst.attr.storage.name] = "lower" if s.dst.attr.index[:2] == ("c", "d") else "upper"
    if s.over_lower:
        for triangle, other in ((a, m), (b, n)):
            lead = _larger_axis(scope, triangle, {other, k})
            if lead is not None:
                name = "m" if other == m else "n"
                if lead == other:
                    bounds.high = name
                else:
                    bounds.low = name
                break
    multiply(scope.em, target, left, right, scope.extent(m), scope.extent(n), scope.extent(k), s.accumulate, scope.options, bounds,
             scope.beside.get(id(s)))


def _larger_axis(scope: Scope, operand: Expr, axes: set[str]) -> str | None:
    """Of the axes c and d of a triangular operand: the one that is at least the other wherever it is not 0."""
    ref = next((r for r in operand.refs() if set(r.attr.index) == axes == {"c", "d"}), None)
    if ref is None:
        return None
    return ref.attr.index[0 if scope.triangles.get(ref.attr.storage.name, "lower") == "lower" else 1]


def matrix_of(scope: Scope, nest: Nest, ref: Expr, rows: str, columns: str) -> Matrix:
    """A reference as a matrix over two axes."""
    access = ref.attr
    position = None if access.at is None else scope.em.as_index(nest.value(access.at))
    place = scope.places[access.storage.name]
    offset = scope.base_of(access, position)
    strides = {rows: 0, columns: 0}
    for axis, stride in scope.axis_strides(access):
        if axis in strides:
            strides[axis] = stride
        else:
            offset = scope.loops[axis] * stride + offset
    if not isinstance(offset, int):
        offset = scope.em.bind_index(offset)
    return Matrix(place.buffer, offset, strides[rows], strides[columns], place.scratch and access.index[-1] == columns)


def operand(scope: Scope, nest: Nest, expr: Expr, rows: str, columns: str, contiguous: bool) -> Matrix:
    """The operand over (rows, columns), computed or transposed into scratch where it must be."""
    em = scope.em
    if expr.op == "ref":
        found = matrix_of(scope, nest, expr, rows, columns)
        ragged = scope.extent(columns) % LANES and not found.padded
        if not contiguous or (is_one(found.column) and not ragged):
            return found
        if is_one(found.row):
            made = temporary(scope, rows, columns)
            turned = Matrix(found.buffer, found.offset, found.column, found.row)
            transpose(em, turned, made, scope.extent(columns), scope.extent(rows))
            return made
    made_axes = (rows, columns) if contiguous or not _prefers(scope, expr, rows) else (columns, rows)
    ref = scope.temporary(*made_axes)
    lower_map(scope, st.Map(ref, expr))
    return matrix_of(scope, nest, ref, rows, columns)


def _prefers(scope: Scope, expr: Expr, axis: str) -> bool:
    """Whether the expression's references are contiguous along this axis."""
    return any(name == axis and is_one(stride) for ref in expr.refs() for name, stride in scope.axis_strides(ref.attr) if len(ref.attr.index) > 1)


def is_one(stride) -> bool:
    return isinstance(stride, int) and stride == 1


def temporary(scope: Scope, rows: str | int, columns: str) -> Matrix:
    place = scope.places[scope.temporary(rows, columns).attr.storage.name]
    return Matrix(place.buffer, 0, place.strides[0], 1, True)


def _plain(scope: Scope, s: st.Dot) -> None:
    """As a sum of products: vectors, small or dynamic extents, float64."""
    value = binary("mul", s.a, s.b)
    if s.scale is not None:
        value = binary("mul", value, s.scale)
    if s.rows is not None:
        value = where(binary("ne", s.rows, 0), value, 0.0)
    lower_reduce(scope, st.Reduce("sum", s.dst, value, s.over, s.accumulate, s.upto))


def finish(scope: Scope, s: st.Dot) -> None:
    """`then` on the sums, and zeros above the diagonal."""
    value = s.dst if s.then is None else substitute(s.then, cast(s.dst, "f32"))
    axes = free_axes(scope, s.dst.attr.index)
    if not s.lower:
        if s.then is not None:
            lower_map(scope, st.Map(s.dst, value, False, s.upto))
        return
    keep = binary("ge", Expr("iota", (), "c", "i32"), Expr("iota", (), "d", "i32"))
    value = where(keep, value, const(0.0))
    refs = [s.dst, *value.refs()]
    aligned = len(axes) == 2 and set(axes) == {"c", "d"} and all(
        scope.places[r.attr.storage.name].scratch or axes[1] not in r.attr.index for r in refs) and s.dst.attr.index[-1] == axes[1]
    if not aligned or not all(is_one(st_) or ax != axes[1] for r in refs for ax, st_ in scope.axis_strides(r.attr)):
        lower_map(scope, st.Map(s.dst, value))
        return
    _finish_triangle(scope, s.dst, value, *axes)


def _finish_triangle(scope: Scope, dst: Expr, value: Expr, row: str, column: str) -> None:
    """The value in the blocks of 8 x 8 that touch the wanted triangle, zeros in the others. Scratch rows hold whole vectors."""
    em, nest = scope.em, Nest(scope)
    full, rest = divmod(scope.extent(row), LANES)
    blocks = full + (rest > 0)
    for first, count, height in ((0, full, LANES), (full, 1 if rest else 0, rest)):
        if not count:
            continue
        with em.loop(first, first + count, name="y") as band:
            wanted, empty = ((0, band + 1), (band + 1, blocks)) if row == "c" else ((band, blocks), (0, band))
            for (low, high), zero in ((wanted, False), (empty, True)):
                with em.loop(low, high, name="x") as step, nest.loop(row, band * LANES, band * LANES + height):
                    with nest._frame(column, step * LANES):
                        nest.vector, nest.lanes = column, LANES
                        nest.write(dst, em.const(0.0, "f32", LANES) if zero else nest.value(value))
                        nest.vector, nest.lanes = None, 1


def substitute(expr: Expr, acc: Expr) -> Expr:
    """The expression with `acc` in place of "acc"."""
    if expr.op == "acc":
        return acc
    if not expr.args:
        return expr
    args = tuple(substitute(arg, acc) for arg in expr.args)
    return Expr(expr.op, args, expr.attr, expr.dtype) if any(x is not y for x, y in zip(args, expr.args)) else expr


__all__ = ["lower_dot", "matrix_of", "operand", "substitute"]
