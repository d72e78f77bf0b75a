"""Decay with a factor for each channel inside a row: products between tokens whose weights are products of factors.

    weight from token d to a later token c, in a channel = the product of the factors of the tokens between them

Blocks of BASE tokens are done token by token. Between two neighbouring blocks a weight is what is left of the first one
after d times what comes in the second one before c, so two neighbours meet in one product of matrices; then blocks of twice
the length, and so on. No factor exceeds what the decays themselves give, and a derivative by a factor does not divide by it.
"""
from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import Callable, Iterator

from .dot import matrix_of, temporary
from .elementwise import LANES, Nest
from .emit import Value
from .gemm import Matrix, multiply
from .levels import LEVEL, each
from .memory import Scope
from .pack import eight_by_eight, sums_of_lanes
from .reduce import across, free_axes, lower_map
from .statements import Channels, Map, Pair

BASE = 8
PANEL = 4                        # vectors of channels kept in registers at once


def lower_pair(scope: Scope, s: Pair) -> None:
    """dst[c, d] = sum over channels of q[c] k[d] weight where d is before c, else 0."""
    if LEVEL in free_axes(scope, s.dst.attr.index):
        alone = scope.temporary("c", "d")               # in memory rows of the result lie level beside level

        def of_level() -> None:
            lower_pair(scope, replace(s, dst=alone))
            lower_map(scope, Map(s.dst, alone))

        each(scope, of_level)
        return
    row, column = s.dst.attr.index
    work = _Work(scope, s.factor)
    q, k = work.matrix(s.q), work.matrix(s.k)
    out = matrix_of(scope, work.nest, s.dst, row, column)
    em, zero = scope.em, scope.em.const(0.0, "f32", LANES)
    with em.loop(0, work.tokens) as c, em.loop(0, (work.tokens + LANES - 1) // LANES) as x:      # rows of a tile are whole vectors
        em.store(out.buffer, out.offset + c * out.row + x * LANES, zero)
    work.bases(lambda first, size: _pair_inside(work, q, k, out, first, size))

    def meet(first, height: int, width: int) -> None:
        """The rows from first + height on with the columns from first on."""
        middle = first + height
        high, low = work.scratch("d", "high"), work.turned("d", "low")
        work.entering(middle, width, lambda c, j, at, p: work.put(high, j, at, work.mul(work.get(q, c, at), p)))
        work.leaving_turned(first, height, k, low)
        target = Matrix(out.buffer, out.offset + middle * out.row + first, out.row, 1, out.padded)
        tall = replace(scope.options, rows=max(scope.options.rows, scope.options.rows * scope.options.columns // height))   # as many sums for few columns
        multiply(em, target, high, low, width, height, work.channels, False, tall)

    work.neighbours(meet)


def lower_channels(scope: Scope, s: Channels) -> None:
    """dq[c] = sum over d before c of matrix[c, d] k[d] weight; dk[d] the same with q[c]; df the derivative by the factors."""
    given = [x for x in (s.matrix, s.q, s.k, s.factor) if x is not None]
    if any(LEVEL in free_axes(scope, x.attr.index) for x in given):
        each(scope, lambda: lower_channels(scope, s))
        return
    row, column = _of_level(s.matrix)
    work = _Work(scope, s.factor)
    em, nest = scope.em, work.nest
    matrix = matrix_of(scope, nest, s.matrix, row, column)
    q, k, dq, dk, df = (None if x is None else work.matrix(x) for x in (s.q, s.k, s.dq, s.dk, s.df))
    for out in (dq, dk, df):
        if out is not None:
            with em.loop(0, work.tokens) as c, work.vectors() as at:
                work.put(out, c, at, em.const(0.0, "f32", at[1]))
    work.bases(lambda first, size: _inside(work, matrix, q, k, dq, dk, df, first, size))

    def meet(first, height: int, width: int) -> None:
        middle = first + height
        block = Matrix(matrix.buffer, matrix.offset + middle * matrix.row + first * matrix.column, matrix.row, matrix.column)
        if dq is not None or df is not None:
            low, found, before = work.scratch("d", "low"), work.scratch("d", "met"), work.scratch("d", "weight")
            work.leaving(first, height, lambda d, j, at, p: work.put(low, j, at, work.mul(work.get(k, d, at), p)))
            multiply(em, found, block, low, width, work.channels, height, False, scope.options)

            def enter(c, j, at, p: Value) -> None:
                if dq is not None:
                    work.add(dq, c, at, work.mul(work.get(found, j, at), p))
                work.put(before, j, at, p)

            work.entering(middle, width, enter)
            if df is not None:
                work.running(middle, width, True, df, before, lambda c, j, at: (work.get(q, c, at), work.get(found, j, at)))
        if dk is not None or df is not None:
            high, sought, after = work.scratch("d", "low"), work.scratch("d", "met"), work.scratch("d", "weight")
            work.entering(middle, width, lambda c, j, at, p: work.put(high, j, at, work.mul(work.get(q, c, at), p)))
            turned = Matrix(block.buffer, block.offset, block.column, block.row)
            multiply(em, sought, turned, high, height, work.channels, width, False, scope.options)

            def leave(d, j, at, p: Value) -> None:
                if dk is not None:
                    work.add(dk, d, at, work.mul(work.get(sought, j, at), p))
                work.put(after, j, at, p)

            work.leaving(first, height, leave)
            if df is not None:
                work.running(first, height, False, df, after, lambda d, j, at: (work.get(k, d, at), work.get(sought, j, at)))

    work.neighbours(meet)


def _of_level(ref) -> list[str]:
    """The axes of one level of what a reference names."""
    return [axis for axis in ref.attr.index if axis != LEVEL]


def _pair_inside(work: "_Work", q: Matrix, k: Matrix, out: Matrix, first, size: int) -> None:
    """Row by row, back from its own token: a query meets a key, then the factor of that key's token. Eight sums over lanes are one vector."""
    em = work.em
    for c in range(1, size):
        sums = [{lanes: work.registers([(0, lanes)], lambda at: em.const(0.0, "f32", at[1]))[0] for lanes in work.widths()} for _ in range(c)]
        for panel in work.panels():
            sought = work.registers(panel, lambda at: work.get(q, first + c, at))
            for d in reversed(range(c)):
                for p, at in zip(sought, panel):
                    total = sums[d][at[1]]
                    em.store(total, 0, em.fma(work.held(p, at), work.get(k, first + d, at), work.held(total, at)))
                    if d:
                        em.store(p, 0, work.mul(work.held(p, at), work.get(work.factor, first + d, at)))
        found = None
        for lanes in work.widths():
            made = [em.bind(work.held(total[lanes], (0, lanes))) for total in sums]
            part = sums_of_lanes(em, made) if lanes == LANES else em.join([across(work.nest, "sum", x) for x in made] + [em.const(0.0, "f32")] * (LANES - c))
            found = part if found is None else em.binary("add", found, em.bind(part))
        em.store(out.buffer, out.offset + (first + c) * out.row + first, found)


def _inside(work: "_Work", matrix: Matrix, q, k, dq, dk, df, first, size: int) -> None:
    em = work.em
    entry = lambda c, d: em.bind(em.load(matrix.buffer, matrix.offset + (first + c) * matrix.row + (first + d) * matrix.column, "f32"))
    for panel in work.panels():
        if dq is not None:
            with em.loop(1, size, name="c") as c:
                sums = work.registers(panel, lambda at: em.const(0.0, "f32", at[1]))
                with em.loop(0, c, name="d") as d:
                    weight = entry(c, d)
                    for total, at in zip(sums, panel):
                        held = work.mul(work.held(total, at), work.get(work.factor, first + d, at))
                        em.store(total, 0, em.fma(weight, work.get(k, first + d, at), held))
                for total, at in zip(sums, panel):
                    work.add(dq, first + c, at, work.held(total, at))
        if dk is None and df is None:
            continue
        rest = work.scratch("d", "rest")
        with em.loop(0, size - 1, name="d") as d:
            sums = work.registers(panel, lambda at: em.const(0.0, "f32", at[1]))
            with em.loop(0, size - 1 - d, name="c") as back:
                c = em.bind_index(size - 1 - back)
                weight = entry(c, d)
                for total, at in zip(sums, panel):
                    if df is not None:
                        work.put(rest, c, at, work.held(total, at))
                    held = work.mul(work.held(total, at), work.get(work.factor, first + c, at))
                    em.store(total, 0, em.fma(weight, work.get(q, first + c, at), held))
            if dk is not None:
                for total, at in zip(sums, panel):
                    work.add(dk, first + d, at, work.held(total, at))
            if df is not None:
                kept = work.registers(panel, lambda at: work.get(k, first + d, at))
                with em.loop(d + 1, size, name="j") as j:
                    for p, at in zip(kept, panel):
                        work.add(df, first + j, at, work.mul(work.held(p, at), work.get(rest, j, at)))
                        em.store(p, 0, work.mul(work.held(p, at), work.get(work.factor, first + j, at)))


class _Work:
    """A row's factors, and loops over its tokens and channels. A place `at` among the channels is (first, lanes)."""

    def __init__(self, scope: Scope, factor):
        self.scope, self.em, self.nest = scope, scope.em, Nest(scope)
        self.row, self.axis = _of_level(factor)
        self.tokens, self.channels = scope.extent(self.row), scope.extent(self.axis)
        self.factor = self.matrix(factor)

    def matrix(self, ref) -> Matrix:
        rows, axis = _of_level(ref)
        return matrix_of(self.scope, self.nest, ref, rows, axis)

    def scratch(self, rows: str, name: str) -> Matrix:
        """Scratch over (rows, channels), one for each name and axis."""
        known = self.scope.scratch
        key = (name, rows, self.axis)
        if key not in known:
            known[key] = temporary(self.scope, rows, self.axis)
        return known[key]

    def turned(self, columns: str, name: str) -> Matrix:
        """Scratch over (channels, columns), whole vectors of channels."""
        known = self.scope.scratch
        key = (name, self.axis, columns)
        if key not in known:
            known[key] = temporary(self.scope, -(-self.channels // LANES) * LANES, columns)
        return known[key]

    # values
    def get(self, m: Matrix, row, at) -> Value:
        return self.em.bind(self.em.load(m.buffer, m.offset + row * m.row + at[0], "f32", at[1]))

    def put(self, m: Matrix, row, at, value: Value) -> None:
        self.em.store(m.buffer, m.offset + row * m.row + at[0], value)

    def add(self, m: Matrix, row, at, value: Value) -> None:
        self.put(m, row, at, self.em.binary("add", self.get(m, row, at), value))

    def mul(self, a: Value, b: Value) -> Value:
        return self.em.bind(self.em.binary("mul", a, b))

    def held(self, register, at) -> Value:
        return self.em.load(register, 0, "f32", at[1])

    def registers(self, panel, start: Callable) -> list:
        made = []
        for at in panel:
            register = self.em.local(at[1])
            self.em.store(register, 0, start(at))
            made.append(register)
        return made

    # loops
    def panels(self) -> Iterator[list[tuple[object, int]]]:
        """The channels in vectors, so many together as registers hold: what is made for a panel stands in a loop over them."""
        full, rest = divmod(self.channels, PANEL * LANES)
        if full:
            with self.em.loop(0, full, name="panel") as panel:
                first = self.em.bind_index(panel * (PANEL * LANES))
                yield [(first + i * LANES, LANES) for i in range(PANEL)]
        if rest:
            first = full * PANEL * LANES
            yield [(first + i, min(LANES, rest - i)) for i in range(0, rest, LANES)]

    def widths(self) -> list[int]:
        """The lanes of the vectors of channels."""
        return [LANES] * (self.channels >= LANES) + [self.channels % LANES] * (self.channels % LANES > 0)

    @contextmanager
    def vectors(self):
        """A loop over the channels. Scratch rows hold whole vectors, so the last one may reach past the end."""
        with self.em.loop(0, (self.channels + LANES - 1) // LANES, name="x") as x:
            yield x * LANES, LANES

    def bases(self, work: Callable) -> None:
        full, rest = divmod(self.tokens, BASE)
        if full:
            with self.em.loop(0, full, name="block") as block:
                work(self.em.bind_index(block * BASE), BASE)
        if rest > 1:
            work(full * BASE, rest)

    def neighbours(self, meet: Callable) -> None:
        """meet(first, height, width) for every two neighbouring blocks of BASE, of 2 BASE, .. tokens."""
        height = BASE
        while height < self.tokens:
            full, rest = divmod(self.tokens, 2 * height)
            if full:
                with self.em.loop(0, full, name="block") as block:
                    meet(self.em.bind_index(block * (2 * height)), height, height)
            if rest > height:
                meet(full * 2 * height, height, rest - height)
            height *= 2

    def entering(self, first, count: int, use: Callable) -> None:
        """use(token, its number, channels, product of the factors of the block's tokens before it)."""
        self._along(first, count, False, use)

    def leaving(self, first, count: int, use: Callable) -> None:
        """use(token, its number, channels, product of the factors of the block's tokens after it)."""
        self._along(first, count, True, use)

    def _along(self, first, count: int, backwards: bool, use: Callable) -> None:
        em = self.em
        with self.vectors() as at:
            product = em.local(at[1])
            em.store(product, 0, em.const(1.0, "f32", at[1]))
            with em.loop(0, count, name="j") as step:
                j = em.bind_index(count - 1 - step) if backwards else step
                p = em.bind(self.held(product, at))
                use(first + j, j, at, p)
                em.store(product, 0, em.binary("mul", p, self.get(self.factor, first + j, at)))

    def leaving_turned(self, first, count: int, x: Matrix, out: Matrix) -> None:
        """out[channel, number] = x times the product of the factors of the block's tokens after it. Requires: whole vectors of tokens."""
        em = self.em
        with self.vectors() as at:
            product = em.local(LANES)
            em.store(product, 0, em.const(1.0, "f32", LANES))
            with em.loop(0, count // LANES, name="j") as step:
                begin = em.bind_index(count - LANES - step * LANES)
                rows: list[Value] = []
                for i in reversed(range(LANES)):
                    p = em.bind(self.held(product, at))
                    rows.insert(0, self.mul(self.get(x, first + begin + i, at), p))
                    em.store(product, 0, em.binary("mul", p, self.get(self.factor, first + begin + i, at)))
                for i, column in enumerate(eight_by_eight(em, rows)):
                    em.store(out.buffer, out.offset + (at[0] + i) * out.row + begin, column)

    def running(self, first, count: int, backwards: bool, out: Matrix, weight: Matrix, terms: Callable) -> None:
        """out[j] += weight[j] times the sum over the block's earlier (backwards: later) tokens of a product of two terms,
        decayed up to j."""
        em = self.em
        with self.vectors() as at:
            total = em.local(at[1])
            em.store(total, 0, em.const(0.0, "f32", at[1]))
            with em.loop(0, count, name="j") as step:
                j = em.bind_index(count - 1 - step) if backwards else step
                held = em.bind(self.held(total, at))
                self.add(out, first + j, at, self.mul(self.get(weight, j, at), held))
                kept = self.mul(held, self.get(self.factor, first + j, at))
                em.store(total, 0, em.fma(*terms(first + j, j, at), kept))
