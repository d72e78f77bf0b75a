"""Tokens in and out of tiles: row c of a chunk is token start + c - shift."""
from __future__ import annotations

from .elementwise import Nest, choose_vector
from .memory import Scope
from .reduce import free_axes
from .statements import Load, Store


def lower_load(scope: Scope, s: Load) -> None:
    """The source's token is always a real one of the call: clamped to the row's last valid token and into [0, T)."""
    em = scope.em
    row_axis = s.source.attr.index[0]
    axes = [a for a in free_axes(scope, s.dst.attr.index) if a != row_axis]
    vector = choose_vector(scope, axes, s.dst, [s.source])
    nest = Nest(scope)
    start, count, shift = _row(nest, scope, s)
    tokens = scope.extents["T"] + s.source.attr.storage.delay
    with nest.loop(row_axis) as c:
        inside = em.tir.Min(c, count - 1)
        nest.token_row = em.bind_index(em.clamp(start + inside, 0, tokens - 1))
        exists = None
        if s.fill is not None:
            tir = em.tir
            wanted = start + c
            exists = em.bind(_bool(tir.And(c < count, tir.And(wanted >= 0, wanted < tokens))))
        with nest.loops([a for a in axes if a != vector]):
            for section in nest.sections(vector):
                with nest.section(vector, *section):
                    found = em.bind(nest.read(s.source))
                    if exists is not None:
                        found = em.select(em.spread(exists, found.lanes), found, em.const(s.fill, found.dtype, found.lanes))
                    nest.write(s.dst, found)


def lower_store(scope: Scope, s: Store) -> None:
    em = scope.em
    row_axis = s.dst.attr.index[0]
    axes = [a for a in free_axes(scope, s.dst.attr.index) if a != row_axis]
    vector = choose_vector(scope, axes, s.dst, [s.value])
    nest = Nest(scope)
    start, count, _ = _row(nest, scope, s)
    tokens = scope.extents["T"] + s.dst.attr.storage.delay
    with nest.loop(row_axis, 0, em.clamp(count, 0, scope.extent(row_axis))) as c:
        token = nest.token_row = em.bind_index(start + c)
        with em.when(_bool(em.tir.And(token >= 0, token < tokens))):
            with nest.loops([a for a in axes if a != vector]):
                for section in nest.sections(vector):
                    with nest.section(vector, *section):
                        nest.write(s.dst, nest.value(s.value), s.accumulate)


def _row(nest: Nest, scope: Scope, s):
    """start - shift, count and shift as indices."""
    em = scope.em
    shift = em.as_index(nest.value(s.shift))
    start = em.bind_index(em.as_index(scope.scalars["start"]) - shift)
    return start, em.bind_index(em.as_index(scope.scalars["count"])), shift


def _bool(node):
    from .emit import Value
    return Value(node, "bool")
