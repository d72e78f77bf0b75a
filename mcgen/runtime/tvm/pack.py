"""Copies of matrices in the layout that a product wants."""
from __future__ import annotations

from .elementwise import LANES
from .emit import Emitter, Value
from .gemm import Matrix


def transpose(em: Emitter, source: Matrix, target: Matrix, m: int, n: int) -> None:
    """target[j, i] = source[i, j] for i < m, j < n, eight by eight in registers.

    Requires source contiguous along j, target contiguous along i; the ragged edges go element by element.
    """
    with em.loop(0, m // LANES, name="tm") as i, em.loop(0, n // LANES, name="tn") as j:
        block = [em.bind(em.load(source.buffer, source.offset + (i * LANES + x) * source.row + j * LANES, "f32", LANES)) for x in range(LANES)]
        for x, column in enumerate(eight_by_eight(em, block)):
            em.store(target.buffer, target.offset + (j * LANES + x) * target.row + i * LANES, column)
    for low_i, high_i, low_j, high_j in ((0, m, n // LANES * LANES, n), (m // LANES * LANES, m, 0, n // LANES * LANES)):
        if high_i > low_i and high_j > low_j:
            with em.loop(low_i, high_i) as i, em.loop(low_j, high_j) as j:
                one = em.load(source.buffer, source.offset + i * source.row + j, "f32")
                em.store(target.buffer, target.offset + j * target.row + i, one)


def eight_by_eight(em: Emitter, rows: list[Value]) -> list[Value]:
    """The columns of eight vectors of eight: pairs, fours, halves."""
    def mix(a: Value, b: Value, picks: list[int]) -> Value:
        return em.bind(em.shuffle([a, b], picks))

    low, high = [0, 8, 1, 9, 4, 12, 5, 13], [2, 10, 3, 11, 6, 14, 7, 15]
    pairs = [mix(rows[i], rows[i + 1], picks) for i in range(0, 8, 2) for picks in (low, high)]
    front, back = [0, 1, 8, 9, 4, 5, 12, 13], [2, 3, 10, 11, 6, 7, 14, 15]
    fours = []
    for half in (0, 4):
        a, b, c, d = pairs[half:half + 4]
        fours += [mix(a, c, front), mix(a, c, back), mix(b, d, front), mix(b, d, back)]
    first, second = [0, 1, 2, 3, 8, 9, 10, 11], [4, 5, 6, 7, 12, 13, 14, 15]
    return [mix(fours[i], fours[i + 4], first) for i in range(4)] + [mix(fours[i], fours[i + 4], second) for i in range(4)]


def sums_of_lanes(em: Emitter, vectors: list[Value], lanes: int = LANES) -> Value:
    """The sum over the lanes of each of up to `lanes` vectors, 0 for those that lack: halves are added while they turn."""
    vectors = vectors + [em.const(0.0, "f32", lanes)] * (lanes - len(vectors))
    for step in range(lanes.bit_length() - 1):
        vectors = [half_summed(em, a, b, step) for a, b in zip(vectors[::2], vectors[1::2])]
    return vectors[0]


def half_summed(em: Emitter, a: Value, b: Value, step: int) -> Value:
    """Two vectors as one, half as far from sums over lanes: after three steps of eight vectors of eight, four of sixteen of sixteen, these
    are sums, in order."""
    return em.bind(em.binary("add", *(em.shuffle([a, b], picks) for picks in turn(a.lanes, step))))


def turn(lanes: int, step: int) -> tuple[list[int], list[int]]:
    """What two vectors give to the two that are added, by position in both: entries of quarters, pairs of entries, then quarters, as
    x86 moves them by one instruction each.

    >>> turn(8, 0)
    ([0, 8, 1, 9, 4, 12, 5, 13], [2, 10, 3, 11, 6, 14, 7, 15])
    >>> turn(8, 2)
    ([0, 1, 2, 3, 8, 9, 10, 11], [4, 5, 6, 7, 12, 13, 14, 15])
    """
    starts = range(0, lanes, 4)
    if step == 0:
        low, high = ([x for s in starts for i in at for x in (s + i, lanes + s + i)] for at in ((0, 1), (2, 3)))
    elif step == 1:
        low, high = ([x for s in starts for v in (0, lanes) for x in (v + s + at, v + s + at + 1)] for at in (0, 2))
    else:
        low, high = ([x for s in range(first, 2 * lanes, 8) for x in range(s, s + 4)] for first in (0, 4))
    return low, high
