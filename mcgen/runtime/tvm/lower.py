"""Statements to one function: parallel over (batch, head), rows of the chunk table in order, each statement a loop nest.

Requires a builder whose kernel function has run; ensures a PrimFunc, and by name the functions that it calls. Its arguments are
int64: the address of every parameter in order of declaration, the table's address, then B, T, H, R, N, M and how many tokens sequences
lie apart: T, or 0 when they are packed into one row of tokens and the table's starts tell them apart.
"""
from __future__ import annotations

from . import statements as st
from .ahead import share_out
from .blocks import bounds, lower_blocks
from .channels import lower_channels, lower_pair
from .columns import lower_columns
from .compile import lanes
from .dot import lower_dot
from .dense_solve import lower_dense_solve
from .emit import Emitter, Value
from .lifetimes import shared, statements_with
from .memory import Scope
from .product import lower_product
from .reduce import lower_cumsum, lower_map, lower_recurrence, lower_reduce, lower_topk
from .rowwise import lower_rowwise
from .solve import lower_solve
from .tokens import lower_load, lower_store

EXTENTS = ("B", "T", "H", "R", "N", "M", "apart")
ROW = ("start", "count", "segment", "offset")
SHORT = 32           # statements


def lower(builder, sizes: dict[str, int], options, name: str = "main"):
    em = Emitter(lanes() == 16)
    arguments = [em.argument(p.name) for p in builder.params] + [em.argument("table")] + [em.argument(e) for e in EXTENTS]
    buffers = {p.name: em.address(a, p.name, p.dtype) for p, a in zip(builder.params, arguments)}
    table = em.address(arguments[len(builder.params)], "table", "i32")
    extents = dict(zip(EXTENTS, arguments[-len(EXTENTS):]))
    for statement in builder.body:
        if not isinstance(statement, st.Sequences):
            raise ValueError("statements belong inside k.sequences()")
        with em.loop(0, extents["B"] * extents["H"], "PARALLEL", "bh") as index:
            _sequence(em, builder, sizes, options, buffers, table, extents, index, statement)
    return em.function(arguments, name), em.parts.functions


def _sequence(em: Emitter, builder, sizes, options, buffers, table, extents, index, statement) -> None:
    """The work of one (batch, head)."""
    b = em.bind_index(em.floordiv(index, extents["H"]), name="b")
    h = em.bind_index(index - b * extents["H"], name="h")
    scope = Scope(em, sizes, options=options, extents={**extents, "b": b, "h": h})
    for name in ("N", "M"):
        scope.scalars[name] = em.bind(em.from_index(extents[name]))
    for param in builder.params:
        if param.kind == "position":
            scope.scalars["position"] = em.bind(em.cast(em.load(buffers[param.name], b, "i64"), "i32"))
        else:
            scope.place_param(param, buffers[param.name], b, h)
    owners = shared(builder)
    scope.uses = statements_with(builder)
    for tile in builder.tiles:
        if tile.name not in owners:
            scope.make_tile(tile)
    for name, owner in owners.items():
        scope.places[name] = scope.places[owner]
    scope.table = table
    run(scope, statement.body)


def run(scope: Scope, body: list) -> None:
    """Statements in order, each a function of its own unless it holds others; short loops of simple ones are one with what they hold."""
    for statement in body:
        if scope.em.parts.inside or isinstance(statement, st.Rows | st.When | st.Loop) and not _short(statement):
            _one(scope, statement)
        else:
            with scope.em.parts.part():
                _one(scope, statement)


def _short(statement) -> bool:
    """Whether it is a loop over few maps and sums: calls in there would take a share of its time that shows."""
    held = list(st.leaves(statement.body))
    return isinstance(statement, st.Loop) and len(held) <= SHORT and all(isinstance(s, st.Map | st.Reduce) for s in held)


def _one(scope: Scope, statement) -> None:
    match statement:
        case st.Rows():
            _rows(scope, statement)
        case st.When():
            with scope.em.when(scope.integer(statement.condition)):
                run(scope, statement.body)
        case st.Loop():
            _loop(scope, statement)
        case st.Map():
            lower_map(scope, statement)
        case st.Reduce():
            lower_reduce(scope, statement)
        case st.Cumsum():
            lower_cumsum(scope, statement)
        case st.Dot():
            lower_dot(scope, statement)
        case st.Product():
            lower_product(scope, statement)
        case st.Solve():
            lower_solve(scope, statement)
        case st.Cumprod() | st.Decayed():
            lower_recurrence(scope, statement)
        case st.Pair():
            lower_pair(scope, statement)
        case st.Channels():
            lower_channels(scope, statement)
        case st.DenseSolve():
            lower_dense_solve(scope, statement)
        case st.Load():
            lower_load(scope, statement)
        case st.Store():
            lower_store(scope, statement)
        case st.Topk():
            lower_topk(scope, statement)
        case _:
            raise TypeError(f"{type(statement).__name__} inside k.sequences()")


def _rows(scope: Scope, s: st.Rows) -> None:
    em, extents = scope.em, scope.extents
    with em.loop(0, extents["R"], name="r") as step:
        row = em.bind_index(extents["R"] - 1 - step, name="row") if s.reverse else step
        at = em.bind_index((extents["b"] * extents["R"] + row) * len(ROW), name="entry")
        for position, name in enumerate(ROW):
            scope.scalars[name] = em.bind(em.load(scope.table, at + position, "i32"))
        scope.scalars["row"] = em.bind(em.from_index(row))
        scope.beside = share_out(scope, s)
        with em.when(em.binary("gt", scope.scalars["count"], em.const(0, "i32"))):
            run(scope, s.body)
        for name in (*ROW, "row"):
            del scope.scalars[name]


def _loop(scope: Scope, s: st.Loop) -> None:
    em = scope.em
    if s.name in scope.loops:
        raise ValueError(f"k.loop({s.name!r}) inside a loop of that name")
    if lower_columns(scope, s):
        return
    low, high = bounds(scope, s)
    if lower_blocks(scope, s, low, high):
        return
    with em.loop(low, high, name=s.name) as step:
        index = em.bind_index(low + high - 1 - step, name=s.name + "_back") if s.reverse else step
        scope.loops[s.name] = index
        if not lower_rowwise(scope, s.body):
            run(scope, s.body)
        del scope.loops[s.name]


__all__ = ["lower", "run", "Value"]
