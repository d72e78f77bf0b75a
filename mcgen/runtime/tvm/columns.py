"""A loop along columns around loops over tokens and rows, for a block of columns at a time: what a token adds up over its rows stays in
registers until the last row, and what only this loop uses has the columns of one block, so that it lies close together.

    for V { for c { for K { S[K, V] += a[c, K] b[c, V]; y[c, V] += q[c, K] S[K, V]; w[c, K] += S[K, V] u[c, V] } } }
    ->   for blocks of V { for c { Y = y[c, block]; for groups of K { their rows: ..; w[c, group] += their sums over the block }; y[c, block] = Y } }
"""
from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Iterator

from . import statements as st
from .blocks import Block, bounds, folded, short
from .elementwise import LANES
from .emit import Value
from .expr import Expr
from .memory import DYNAMIC, Place, Scope, padded
from .pack import half_summed, sums_of_lanes
from .reduce import across, combine
from .rowwise import needed, touched, written


def lower_columns(scope: Scope, loop: st.Loop) -> bool:
    """Lowers a loop over columns, if it holds loops over tokens, these each one along rows, and that one maps of single columns and sums
    over columns that nothing in the loop reads; else does nothing and says so."""
    if not _fit(loop):
        return False
    nest, ask = _Columns(scope, loop), scope.beside.get(id(loop))
    tokens = [bounds(scope, t) for t in loop.body]
    for section in nest.blocks(nest.inner):
        with nest.section(loop.name, *section), nest.places():
            for t, (low, high) in zip(loop.body, tokens):
                nest.turn_to(t.body[0])
                with nest.keeping(t, low, high), nest.tokens(t, low, high) as token, nest.carrying():
                    if ask is not None and t is loop.body[0]:
                        ask(token + scope.em.floordiv(nest.vars[loop.name], section[1]) * scope.extent("c"))
                    nest.all_rows()
    return True


def visits(scope: Scope, loop: st.Loop) -> tuple[float, int] | None:
    """The elements that a loop over columns changes, and how often its first loop meets a token; None for other loops."""
    if not _fit(loop):
        return None
    nest = _Columns(scope, loop)
    rows = sum(t.body[0].high.attr for t in loop.body)
    return rows * scope.extent("c") * scope.extent(loop.name), scope.extent("c") * sum(count for count, *_ in nest.blocks(nest.inner))


def _fit(loop: st.Loop) -> bool:
    inner = [t.body[0] for t in loop.body if isinstance(t, st.Loop) and len(t.body) == 1 and isinstance(t.body[0], st.Loop)]
    return 0 < len(inner) == len(loop.body) and all(_fits(loop.name, rows) for rows in inner)


def _fits(axis: str, rows: st.Loop) -> bool:
    refs = [r for s in rows.body if isinstance(s, st.Map) for r in (s.dst, *s.value.refs())]
    return all(isinstance(s, st.Map) and not s.upto and s.dst.dtype == "f32" and s.dst.attr.at is None and
               (axis in s.dst.attr.index or s.accumulate) for s in rows.body) and \
        axis not in DYNAMIC and rows.low.op == rows.high.op == "const" and rows.low.attr == 0 and not rows.reverse and \
        all(r.dtype != "f64" and axis not in r.attr.index[:-1] and (r.attr.at is None or not r.attr.at.axes) for r in refs)


@dataclass(frozen=True)
class _Kept:
    """The statement that keeps a state as it is before a token, the state's name, and where it is kept, of the first token."""

    statement: st.Map
    state: str
    place: Place

    @property
    def token(self) -> str:
        return self.statement.dst.attr.index[0]

    def before(self, token) -> Place:
        """Where the state lies before a token."""
        return replace(self.place, base=self.place.base + token * self.place.strides[0], axes=self.place.axes[1:], strides=self.place.strides[1:])


class _Columns(Block):
    """The nest: blocks of columns, tokens, rows."""

    def __init__(self, scope: Scope, loop: st.Loop) -> None:
        super().__init__(scope, loop.body[0].body[0], loop.name, 0, 0)
        self.inner = [s for t in loop.body for s in t.body[0].body]
        self.own: set[str] = set()               # tiles that only this loop uses
        self.group = LANES                       # rows whose sums are added up together
        self.kept: _Kept | None = None

    def turn_to(self, rows: st.Loop) -> None:
        self.rows, self.low, self.high, self.first = rows, 0, rows.high.attr, {}
        self.changing = {s.dst.attr.storage.name for s in rows.body}

    @contextmanager
    def places(self) -> Iterator[None]:
        """Inside: tiles that only these loops use, with the columns of one block."""
        outer, scope = dict(self.scope.places), self.scope
        start = self.em.bind_index(self.vars[self.axis], name="column")
        for ref in {r.attr.storage.name: r for s in self.inner for r in (s.dst, *s.value.refs())}.values():
            tile = ref.attr.storage
            inside = sum(tile.name in touched(s) for s in self.inner)
            if tile.kind == "tile" and ref.attr.index[-1:] == (self.axis,) and inside == scope.uses.get(tile.name):
                lengths = [*map(scope.extent, tile.dims[:-1]), self.lanes]
                strides = tuple(math.prod(lengths[i + 1:]) for i in range(len(lengths)))
                scope.places[tile.name] = replace(outer[tile.name], base=0 - start, strides=strides)
                self.own.add(tile.name)
        yield
        scope.places = outer

    @contextmanager
    def keeping(self, loop: st.Loop, low, high) -> Iterator[None]:
        """Inside: a state of which the loop keeps what it is before each token lies where that is kept."""
        places, kept = self.scope.places, None if loop.reverse else self.find_kept(loop.name)
        if kept is not None:
            outer = places[kept.state]
            self.copy(kept, outer, kept.before(low))
            self.kept = kept
            yield
            self.kept = None
            places[kept.state] = outer
            self.copy(kept, kept.before(high), outer)
        else:
            yield

    def find_kept(self, token: str) -> _Kept | None:
        """What a token keeps of a state before it changes it, if the memory has room for one token more."""
        for s in self.rows.body:
            state, kept = s.value.attr, s.dst.attr
            if s.value.op != "ref" or s.accumulate or kept.storage.name not in self.own or kept.index != (token, *state.index):
                continue
            name, place = state.storage.name, self.scope.places[kept.storage.name]
            uses = [t for t in self.rows.body if name in touched(t)]
            refs = [r for t in uses for r in (t.dst, *t.value.refs()) if r.attr.storage.name == name]
            room = padded(self.scope.extent(self.axis)) * self.scope.extent(token) >= self.lanes * (self.scope.extent(token) + 1)
            changed = any(name in written(t) for t in uses) and all(t.value.dtype == "f32" for t in uses)
            if s is uses[0] and changed and all(r.attr.index == state.index for r in refs) and self.rows.name in state.index and \
                    state.storage.kind == "tile" and room and sum(kept.storage.name in written(t) for t in self.rows.body) == 1:
                return _Kept(s, name, place)
        return None

    def copy(self, kept: _Kept, source: Place, target: Place) -> None:
        with self.em.loop(0, self.high, name="i") as row, self._frame(self.rows.name, row):
            self.scope.places[kept.state] = source
            value = self.em.bind(self.read(kept.statement.value))
            self.scope.places[kept.state] = target
            super().write(kept.statement.value, value)

    def write(self, ref: Expr, value: Value, accumulate: bool = False) -> None:
        if self.kept is not None and ref.attr.storage.name == self.kept.state:
            self.scope.places[self.kept.state] = self.kept.before(self.vars[self.kept.token] + 1)
            super().write(ref, value, accumulate)
            self.scope.places[self.kept.state] = self.kept.before(self.vars[self.kept.token])
        else:
            super().write(ref, value, accumulate)

    @contextmanager
    def tokens(self, loop: st.Loop, low, high) -> Iterator[None]:
        with self.em.loop(low, high, name=loop.name) as step:
            index = self.em.bind_index(low + high - 1 - step, name=loop.name + "_back") if loop.reverse else step
            with self._frame(loop.name, index):
                if self.kept is not None:
                    self.scope.places[self.kept.state] = self.kept.before(index)
                yield step

    def all_rows(self) -> None:
        """As many rows at a time as a vector has lanes, where their sums are added up together, all others one by one."""
        em, wide = self.em, self.scope.options.lanes
        self.group = wide if self.lanes % wide == 0 and self.high >= wide else LANES
        group, lanes = self.group, min(self.lanes, self.group)
        sums = [s for s in self.rows.body if self.is_sum(s)]
        self.overall = {id(s): em.local(lanes) for s in sums if self.rows.name not in s.dst.attr.index}
        for register in self.overall.values():
            em.store(register, 0, em.const(0.0, "f32", lanes))
        groups = self.high // group if self.lanes % group == 0 and len(sums) > len(self.overall) else 0
        if groups:
            with em.loop(0, groups, name="x") as step:
                for s, total in (self.at_once if short(self.rows.body) else self.in_turn)(step * group):
                    with self.lying(self.rows.name, step * group):
                        self.add(s, total)
        if groups * group < self.high:
            with em.loop(groups * group, self.high, name="i") as row:
                for s, value in self.one_row(row):
                    with self.lying(None, 0), self._frame(self.rows.name, row):
                        self.add(s, across(self, "sum", value))
        for s in sums:
            if id(s) in self.overall:
                with self.lying(None, 0):
                    self.add(s, across(self, "sum", em.bind(em.load(self.overall[id(s)], 0, "f32", lanes))))

    def at_once(self, first) -> Iterator[tuple[st.Map, Value]]:
        """Emits a group of rows. Gives their sums, each with its statement; halves are added as soon as there are two."""
        waiting: dict[int, list[Value]] = {}
        for i in range(self.group):
            for s, value in self.one_row(first + i):
                found, turn = waiting.setdefault(id(s), []), 0
                while i >> turn & 1:
                    value, turn = half_summed(self.em, found.pop(), value, turn), turn + 1
                found.append(value)
        return ((s, *waiting[id(s)]) for s in self.rows.body if id(s) in waiting)

    def in_turn(self, first) -> Iterator[tuple[st.Map, Value]]:
        """The same for rows with so much to compute that they are a loop."""
        em, group = self.em, self.group
        parts = [em.local(group, count=group) for s in self.rows.body if self.is_sum(s) and id(s) not in self.overall]
        with em.loop(0, group) as i:
            found = self.one_row(first + i)
            for register, (_, value) in zip(parts, found):
                em.store(register, i * group, value)
        return ((s, sums_of_lanes(em, [em.bind(em.load(register, i * group, "f32", group)) for i in range(group)], group))
                for register, (s, _) in zip(parts, found))

    def one_row(self, index) -> list[tuple]:
        """Emits a row. Gives what it has for sums over columns, each with its statement."""
        em, found = self.em, []
        with self._frame(self.rows.name, index):
            self.held = {}
            for j, s in enumerate(self.rows.body):
                if self.kept is not None and s is self.kept.statement:
                    self.held[self.key(s.dst)] = self.value(s.value)
                elif not self.is_sum(s):
                    self.put(s, needed(self.scope, self.rows.body, j))
                else:
                    value = folded(self, em.spread(self.value(s.value), self.lanes), self.group)
                    if id(s) in self.overall:
                        register = self.overall[id(s)]
                        em.store(register, 0, combine(self, "sum", em.bind(em.load(register, 0, "f32", value.lanes)), value))
                    else:
                        found.append((s, value))
        return found

    def add(self, s: st.Map, value: Value) -> None:
        self.write(s.dst, combine(self, "sum", self.em.bind(self.read(s.dst)), value))

    def hands_on(self, s: st.Map) -> bool:
        return not self.is_sum(s) and super().hands_on(s)

    def is_sum(self, s: st.Map) -> bool:
        return self.axis not in s.dst.attr.index

    @contextmanager
    def lying(self, axis: str | None, first) -> Iterator[None]:
        """Inside: the lanes of a group from one position of the axis on, or one lane, in the place of the block's."""
        outer = self.vector, self.lanes
        self.vector, self.lanes = axis, 1 if axis is None else self.group
        if axis is None:
            yield
        else:
            with self._frame(axis, first):
                yield
        self.vector, self.lanes = outer


__all__ = ["lower_columns"]
