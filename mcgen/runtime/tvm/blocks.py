"""A loop along the rows of matrices, for a block of columns at a time: sums over the rows stay in registers until the last row, what is
the same in every row is read once, and a number of a row serves the whole block.

    for K { p[V] += q[K] S[K, V]; w[K] = sum(S[K, V] u[V] over V) }
    ->   for blocks of V { P = p[block]; U = u[block]; for K { P += q[K] S[K, block]; part[K] += S[K, block] U }; p[block] = P }
         w[K] = the lanes of part[K], added up

A block is a value of many lanes, so that the dependent steps of several vectors take turns in the machine's pipes.
"""
from __future__ import annotations

from contextlib import contextmanager

from . import statements as st
from .elementwise import LANES, Nest
from .emit import Value
from .expr import Expr
from .memory import DYNAMIC, Scope
from .pack import sums_of_lanes
from .reduce import across, combine, finish
from .rowwise import MOST, Keeping, elementwise, needed, on_axes, touched, written

WIDTHS = (32, 16, 8)
SHORT = frozenset({"ref", "const", "scalar", "iota", "cast", "add", "sub", "mul", "neg", "lt", "le", "gt", "ge", "eq", "ne", "and", "or", "not",
                   "select", "minimum", "maximum", "relu", "abs", "sign"})


def lower_blocks(scope: Scope, loop: st.Loop, low, high) -> bool:
    """Lowers the loop, low to high, if no column depends on another in it but for sums that it only hands out; else does nothing and
    says so."""
    axis = _column(scope, loop)
    if axis is None:
        return False
    em, nest, body = scope.em, Block(scope, loop, axis, low, high), loop.body
    sections = nest.blocks(body)
    once = len(sections) == 1 and sections[0][0] == 1 and sections[0][1] >= LANES
    totals = {id(s): _Total(nest, s, once) for s in body if isinstance(s, st.Reduce)}
    for total in totals.values():
        total.begin()
    for section in sections:
        with nest.section(axis, *section), nest.carrying(), nest.row():
            nest.held = {}
            for j, s in enumerate(body):
                if isinstance(s, st.Map):
                    nest.put(s, needed(scope, body, j))
                else:
                    totals[id(s)].add(em.spread(nest.value(s.value), section[1]))
    for total in totals.values():
        total.end()
    return True


def _column(scope: Scope, loop: st.Loop) -> str | None:
    """The axis whose positions do not depend on each other."""
    body = loop.body
    if not (0 < len(body) <= MOST and elementwise(body)) or loop.name in DYNAMIC or loop.name in scope.loops:
        return None
    axes = {a for s in body for a in on_axes(scope, s)} - {loop.name}
    if len(axes) != 1:
        return None
    axis, = axes
    refs = [r for s in body for r in (s.dst, *s.value.refs())]
    if axis in DYNAMIC or any(r.dtype == "f64" for r in refs) or any(s.dst.dtype != "f32" for s in body):
        return None
    if any(_has(s.value, "scalar", "index:" + loop.name) for s in body):
        return None
    for r in refs:
        if r.attr.index.count(axis) > 1 or axis in r.attr.index[:-1] or (r.attr.at is not None and loop.name in r.attr.at.axes):
            return None
    for s in body:
        met = {r.attr.index for t in body for r in (t.dst, *t.value.refs()) if r.attr.storage.name in written(s)}
        if isinstance(s, st.Reduce):
            alone = not any(written(s) & (touched(t) if t is not s else {r.attr.storage.name for r in s.value.refs()}) for t in body)
            if not alone or axis not in s.over or (loop.name not in s.dst.attr.index and not s.accumulate):
                return None
        elif axis not in s.dst.attr.index or len(met) > 1:
            return None
    return axis


def _has(value: Expr, op: str, attr) -> bool:
    return value.op == op and value.attr == attr or any(_has(a, op, attr) for a in value.args)


class Block(Keeping):
    """A nest around one loop along rows, whose references to what the loop writes change from row to row."""

    def __init__(self, scope: Scope, loop: st.Loop, axis: str, low, high) -> None:
        super().__init__(scope)
        self.rows, self.axis, self.low, self.high = loop, axis, low, high
        self.changing = {name for s in loop.body for name in written(s)}
        self.held = {}
        self.carried: dict[tuple, object] = {}         # what the next row takes from the one before -> its register
        self.first: dict[tuple, Expr] = {}             # what no row changes: the reference that stands for all equal ones

    def blocks(self, body: list) -> list[tuple[int, int, int]]:
        """(how many, lanes, first position) for these statements, the widest ones first."""
        found, done, extent = [], 0, self.extent(self.axis)
        for lanes in WIDTHS[WIDTHS.index(_width(body, self.scope.options.lanes)):]:
            if count := (extent - done) // lanes:
                found.append((count, lanes, done))
                done += count * lanes
        return found + ([(1, extent - done, done)] if done < extent else [])

    @contextmanager
    def row(self):
        with self.em.loop(self.low, self.high, name=self.rows.name) as step:
            index = self.em.bind_index(self.low + self.high - 1 - step, name=self.rows.name + "_back") if self.rows.reverse else step
            with self._frame(self.rows.name, index):
                yield index

    @contextmanager
    def carrying(self):
        """Around the rows: what they hand on, in registers."""
        em = self.em
        places = {self.key(s.dst): s.dst for s in self.rows.body if isinstance(s, st.Map) and self.hands_on(s)}
        for key, ref in places.items():
            self.carried[key] = em.local(self.lanes)
            em.store(self.carried[key], 0, self.read(ref))
        yield
        for key, ref in places.items():
            self.write(ref, em.bind(em.load(self.carried.pop(key), 0, "f32", self.lanes)))

    def hands_on(self, s: st.Map) -> bool:
        """Whether a row takes what s writes from the row before."""
        first = next(t for t in self.rows.body if written(s) & touched(t))
        fills = not first.accumulate and written(s) == written(first) and all(r.attr.storage.name not in written(s) for r in first.value.refs())
        plain = all(t.value.dtype == "f32" for t in self.rows.body if written(s) & written(t))
        return self.rows.name not in s.dst.attr.index and s.dst.attr.at is None and not fills and plain

    def level_of(self, expr: Expr) -> int:
        level = super().level_of(expr)
        changes = self.rows.name in self.depth and any(r.attr.storage.name in self.changing for r in expr.refs())
        return max(level, self.depth[self.rows.name]) if changes else level

    def value(self, expr: Expr) -> Value:
        if expr.op == "ref" and expr.attr.at is None and expr.attr.storage.name not in self.changing:
            expr = self.first.setdefault((expr.attr.storage.name, expr.attr.index), expr)
        return super().value(expr)

    def read(self, ref: Expr) -> Value:
        register = self.carried.get(self.key(ref))
        return super().read(ref) if register is None or self.rows.name not in self.vars else self.em.load(register, 0, "f32", self.lanes)

    def write(self, ref: Expr, value: Value, accumulate: bool = False) -> None:
        register = self.carried.get(self.key(ref))
        if register is None or self.rows.name not in self.vars:
            super().write(ref, value, accumulate)
        else:
            self.em.store(register, 0, self.em.spread(value, self.lanes))


def _width(body: list, lanes: int) -> int:
    """Lanes of a block: as many as hide the length of a polynomial; two vectors where arithmetic is short and registers are what counts;
    few where a function is computed lane by lane."""
    return 2 * lanes if short(body) else 8 if "pow" in set().union(*(_ops(s.value) for s in body)) else 32


def short(body: list) -> bool:
    """Whether what statements compute is arithmetic only."""
    return set().union(*(_ops(s.value) for s in body)) <= SHORT


def _ops(value: Expr) -> set[str]:
    return {value.op}.union(*map(_ops, value.args))


def folded(nest: Nest, value: Value, lanes: int = LANES) -> Value:
    """At most so many lanes that have the sum of all: halves added up."""
    em = nest.em
    while value.lanes > lanes:
        half = value.lanes // 2
        low, high = (em.shuffle([em.bind(value)], list(range(i * half, (i + 1) * half))) for i in (0, 1))
        value = combine(nest, "sum", em.bind(low), em.bind(high))
    return em.bind(value)


def bounds(scope: Scope, loop: st.Loop) -> tuple:
    """The first position of a loop and the one after its last, known now: numbers or indices."""
    em = scope.em
    low, high = (x.attr if x.op == "const" else em.bind_index(em.as_index(scope.integer(x))) for x in (loop.low, loop.high))
    return low, max(low, high) if isinstance(low, int) and isinstance(high, int) else em.tir.Max(em._index(low), em._index(high))


class _Total:
    """A sum over the columns: a vector of parts for every row, or one vector for a sum over all rows."""

    def __init__(self, nest: Block, s: st.Reduce, once: bool) -> None:
        self.nest, self.em, self.s, self.once = nest, nest.em, s, once
        self.by_row = nest.rows.name in s.dst.attr.index
        self.parts = nest.scope.places[nest.scope.temporary(nest.rows.name, LANES).attr.storage.name].buffer if self.by_row else nest.em.local(LANES)

    def place(self):
        return self.nest.vars[self.nest.rows.name] * LANES if self.by_row else 0

    def begin(self) -> None:
        zero = self.em.const(0.0, "f32", LANES)
        if not self.by_row:
            self.em.store(self.parts, 0, zero)
        elif not self.once:
            with self.nest.row():
                self.em.store(self.parts, self.place(), zero)

    def add(self, value: Value) -> None:
        em, nest = self.em, self.nest
        value = folded(nest, value)
        if not (self.by_row and self.once):
            value = combine(nest, "sum", em.bind(em.load(self.parts, self.place(), "f32", value.lanes)), value)
        em.store(self.parts, self.place(), value)

    def end(self) -> None:
        em, nest, name = self.em, self.nest, self.nest.rows.name
        if not self.by_row:
            finish(nest, self.s, across(nest, "sum", em.bind(em.load(self.parts, 0, "f32", LANES))))
            return
        groups = nest.high // LANES if nest.low == 0 and isinstance(nest.high, int) else 0
        with em.loop(0, groups, name="x") as step:      # none: an empty loop
            rows = [em.bind(em.load(self.parts, (step * LANES + i) * LANES, "f32", LANES)) for i in range(LANES)]
            with nest.lanes_at(name, step * LANES, len(em.frames) - 1, []):
                finish(nest, self.s, sums_of_lanes(em, rows))
        low = nest.low + groups * LANES
        if not (isinstance(low, int) and low == nest.high):
            with em.loop(low, nest.high, name="i") as index, nest._frame(name, index):
                finish(nest, self.s, across(nest, "sum", em.bind(em.load(self.parts, index * LANES, "f32", LANES))))


__all__ = ["Block", "bounds", "folded", "lower_blocks", "short"]
