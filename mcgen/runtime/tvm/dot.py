"""Products of tiles."""
from __future__ import annotations

from . import statements as st
from .elementwise import Nest, choose_vector
from .expr import Expr, binary, cast, const, where
from .memory import Scope
from .reduce import free_axes, lower_map, lower_reduce


def lower_dot(scope: Scope, s: st.Dot) -> None:
    a, b = s.a, s.b
    value = binary("mul", a, b)
    if s.scale is not None:
        value = binary("mul", value, s.scale)
    if s.rows is not None:
        value = where(binary("ne", s.rows, 0), value, 0.0)
    lower_reduce(scope, st.Reduce("sum", s.dst, value, s.over, s.accumulate, s.upto))
    if s.then is not None:
        lower_map(scope, st.Map(s.dst, substitute(s.then, cast(s.dst, "f32")), False, s.upto))
    if s.lower:
        keep = binary("ge", Expr("iota", (), "c", "i32"), Expr("iota", (), "d", "i32"))
        lower_map(scope, st.Map(s.dst, where(keep, s.dst, const(0.0)), False, s.upto))


def substitute(expr: Expr, acc: Expr) -> Expr:
    """The expression with `acc` in place of "acc"."""
    if expr.op == "acc":
        return acc
    if not expr.args:
        return expr
    args = tuple(substitute(arg, acc) for arg in expr.args)
    return Expr(expr.op, args, expr.attr, expr.dtype) if any(x is not y for x, y in zip(args, expr.args)) else expr


def lower_solve(scope: Scope, s: st.Solve) -> None:
    """Forward substitution, row by row: x_c += sum over d < c of L_cd x_d (transposed: backward, sum over d > c of L_dc x_d)."""
    em = scope.em
    row, column = s.matrix.attr.index
    extent = scope.extent(row)
    others = [a for a in free_axes(scope, s.x.attr.index) if a != row]
    vector = choose_vector(scope, others, s.x, [s.x])
    read = st.Expr("ref", (), st.Access(s.x.attr.storage, tuple(column if a == row else a for a in s.x.attr.index), s.x.attr.at), s.x.dtype)
    nest = Nest(scope)
    matrix = s.matrix
    with em.loop(0, extent) as step:
        at = extent - 1 - step if s.transposed else step
        if s.transposed:
            matrix = Expr("ref", (), st.Access(matrix.attr.storage, (column, row), matrix.attr.at), matrix.dtype) if matrix is s.matrix else matrix
        with nest._frame(row, at), nest.loops([a for a in others if a != vector]):
            for section in nest.sections(vector):
                with nest.section(vector, *section):
                    total = em.local(section[1])
                    em.store(total, 0, em.bind(nest.read(s.x)))
                    with nest.loop(column, at + 1 if s.transposed else 0, extent if s.transposed else at):
                        part = em.binary("mul", nest.value(matrix), nest.value(read))
                        em.store(total, 0, em.binary("add", em.bind(em.load(total, 0, "f32", section[1])), part))
                    nest.write(s.x, em.bind(em.load(total, 0, "f32", section[1])))


__all__ = ["lower_dot", "lower_solve", "substitute"]
