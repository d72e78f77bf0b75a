"""The product of two matrices as register tiles.

D[m,n] += sum over k of A[m,k] B[k,n]: a tile of `rows` x `columns` of D stays in vector registers while k runs; B is loaded in
vectors along n, A one element at a time into all lanes. So B and D must be contiguous along n, A may lie anyhow.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

from .elementwise import LANES
from .emit import Emitter, Value


@dataclass
class Matrix:
    """A matrix in memory: element (i, j) at offset + i * row + j * column. `padded`: whole vectors along j may be touched."""

    buffer: object
    offset: object
    row: object
    column: object
    padded: bool = False


Sink = Callable[[object, "list[tuple[object, int, Value]]"], None]


@dataclass
class Bounds:
    """Which part of the product is wanted.

    keep: "all", or "lower" / "upper": tiles wholly outside n <= m / n >= m are skipped.
    low, high: k runs from low to high, given as ("m" | "n") for the tile's first row or column, its end, or None for all.
    """

    keep: str = "all"
    low: str | None = None
    high: str | None = None


def multiply(em: Emitter, d: "Matrix | Sink", a: Matrix, b: Matrix, m, n: int, k, accumulate: bool, options, bounds: Bounds = Bounds(),
             beside: Callable[[object], None] | None = None) -> None:
    """m and k may be index expressions; then rows up to the next multiple of options.rows must exist in A and D.

    d may be a function that takes the result instead: a row's index, and (first column, lanes, value) for its vectors.
    beside: what every register tile does before its work, given its number; where m is a number.
    """
    width = options.columns
    panels, rest = divmod(n, width)
    if panels:
        with em.loop(0, panels, name="p") as panel:
            _panel(em, d, a, b, m, n, k, panel * width, _vectors(width, options), accumulate, options, bounds, beside)
    if rest:
        vectors = _vectors(rest, options)
        if rest % LANES:
            vectors.append(LANES if isinstance(d, Matrix) and d.padded and b.padded else rest % LANES)
        _panel(em, d, a, b, m, n, k, panels * width, vectors, accumulate, options, bounds, beside)


def _vectors(width: int, options) -> list[int]:
    """Lanes of the whole vectors in so many columns, the widest first."""
    wide, rest = divmod(width, options.lanes)
    return [options.lanes] * wide + [LANES] * (rest // LANES)


def tiles(m: int, n: int, options) -> int:
    """How many register tiles a product has, when all of its result is wanted."""
    return -(-m // options.rows) * -(-n // options.columns)


def _panel(em: Emitter, d, a, b, m, n, k, first, vectors, accumulate, options, bounds: Bounds, beside) -> None:
    """All rows of the columns from `first` on."""
    rows, width = options.rows, sum(vectors)
    if not isinstance(m, int):
        with em.loop(0, em.floordiv(m + rows - 1, rows), name="t") as tile:
            _tile(em, d, a, b, tile * rows, rows, first, vectors, k, accumulate, options, bounds, m, beside)
        return
    full, rest = divmod(m, rows)
    low, high = 0, full
    if bounds.keep == "lower":
        low = _least(em, em.floordiv(first, rows), full)
    elif bounds.keep == "upper":
        end = first + width + rows - 1
        high = _least(em, em.floordiv(end, rows), full)
    if full:
        with em.loop(low, high, name="t") as tile:
            _tile(em, d, a, b, tile * rows, rows, first, vectors, k, accumulate, options, bounds, m, beside)
    if rest:
        _tile(em, d, a, b, full * rows, rest, first, vectors, k, accumulate, options, bounds, m, beside)


def _least(em: Emitter, x, y):
    return min(x, y) if isinstance(x, int) and isinstance(y, int) else em.tir.Min(em._index(x), em._index(y))


def _tile(em: Emitter, d: "Matrix | Sink", a: Matrix, b: Matrix, row, rows: int, first, vectors, k, accumulate, options, bounds: Bounds, m, beside) -> None:
    """One register tile: D[row : row + rows, first : first + sum(vectors)]."""
    width = sum(vectors)
    if beside is not None:
        beside(em.floordiv(first, options.columns) * -(-m // options.rows) + em.floordiv(row, options.rows))
    starts = [sum(vectors[:v]) for v in range(len(vectors))]
    d_at = [em.bind_index(d.offset + (row + i) * d.row + first) for i in range(rows)] if isinstance(d, Matrix) else []
    sums = [[em.local(lanes) for lanes in vectors] for _ in range(rows)]
    for i in range(rows):
        for j, lanes in enumerate(vectors):
            em.store(sums[i][j], 0, em.load(d.buffer, d_at[i] + starts[j], "f32", lanes) if accumulate else em.const(0.0, "f32", lanes))
    low = {None: 0, "m": row, "n": first}[bounds.low]
    high = {None: k, "m": row + rows, "n": first + width}[bounds.high]
    if bounds.high is not None:
        high = _least(em, high, k)

    def step(at) -> None:
        line = [em.bind(em.load(b.buffer, b.offset + at * b.row + (first + starts[j]), "f32", lanes)) for j, lanes in enumerate(vectors)]
        for i in range(rows):
            scalar = em.bind(em.load(a.buffer, a.offset + (row + i) * a.row + at * a.column, "f32"))
            for j, lanes in enumerate(vectors):
                em.store(sums[i][j], 0, em.fma(scalar, line[j], em.load(sums[i][j], 0, "f32", lanes)))

    unroll = options.unroll
    if isinstance(low, int) and isinstance(high, int):
        steps, rest = divmod(high - low, unroll)
        with em.loop(0, steps, name="k") as block:
            for u in range(unroll):
                step(block * unroll + (low + u))
        for u in range(rest):
            step(em.int(low + steps * unroll + u))
    else:
        with em.loop(low, high, name="k") as at:
            step(at)
    for i in range(rows):
        made = [em.load(sums[i][j], 0, "f32", lanes) for j, lanes in enumerate(vectors)]
        if isinstance(d, Matrix):
            for j, value in enumerate(made):
                em.store(d.buffer, d_at[i] + starts[j], value)
        else:
            d(em.bind_index(em.int(0) + (row + i)), [(em.bind_index(em.int(0) + (first + starts[j])), v.lanes, em.bind(v)) for j, v in enumerate(made)])
