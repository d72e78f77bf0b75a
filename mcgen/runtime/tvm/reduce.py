"""map, sum, max, cumsum and top-k as loop nests."""
from __future__ import annotations

from .elementwise import LANES, Nest, choose_vector
from .emit import Value
from .memory import Scope
from .statements import Cumprod, Cumsum, Decayed, Map, Reduce, Topk

TOGETHER = 64     # sums that are added up side by side
START = {"sum": 0.0, "max": float("-inf")}


def lower_map(scope: Scope, s: Map) -> None:
    axes = free_axes(scope, s.dst.attr.index)
    vector = choose_vector(scope, axes, s.dst, [s.value])
    nest = Nest(scope, s.upto)
    with nest.loops([a for a in axes if a != vector]):
        for section in nest.sections(vector):
            with nest.section(vector, *section):
                nest.write(s.dst, nest.value(s.value), s.accumulate)


def lower_reduce(scope: Scope, s: Reduce) -> None:
    axes, over = free_axes(scope, s.dst.attr.index), free_axes(scope, s.over)
    vector = choose_vector(scope, [*axes, *over], s.dst, [s.value])
    nest, em = Nest(scope, s.upto), scope.em
    dtype = "f64" if "f64" in (s.dst.dtype, s.value.dtype) else s.dst.dtype
    with nest.loops([a for a in axes if a != vector]):
        if vector in over:
            sections = nest.sections(vector)
            totals = [start(em, s.kind, dtype, lanes) for _, lanes, _ in sections]
            with nest.loops([a for a in over if a != vector]):
                for total, section in zip(totals, sections):
                    with nest.section(vector, *section):
                        collect(nest, s.kind, total, dtype, section[1], s.value)
            parts = [across(nest, s.kind, em.bind(em.load(t, 0, dtype, lanes))) for t, (_, lanes, _) in zip(totals, sections)]
            result = parts[0]
            for part in parts[1:]:
                result = combine(nest, s.kind, result, part)
            finish(nest, s, result)
        else:
            for blocks, lanes, first in nest.sections(vector):
                done, most = 0, max(TOGETHER // lanes, 1)
                if vector is not None and isinstance(blocks, int) and blocks >= most > 1:
                    done = blocks // most
                    _several(nest, s, vector, over, dtype, done, first, lanes)
                if not done or blocks % most:
                    rest = blocks - done * most
                    with nest.section(vector, rest, lanes, first + done * most * lanes if done else first):
                        total = start(em, s.kind, dtype, lanes)
                        with nest.loops(over):
                            collect(nest, s.kind, total, dtype, lanes, s.value)
                        finish(nest, s, em.bind(em.load(total, 0, dtype, lanes)))


def _several(nest: Nest, s: Reduce, vector: str, over, dtype: str, groups: int, first, lanes: int) -> None:
    """Several vectors of results at once, so that additions need not wait for one another."""
    em = nest.em
    with em.loop(0, groups, name="x") as step:
        places = [step * TOGETHER + (u + first) for u in range(0, TOGETHER, lanes)]
        totals = [start(em, s.kind, dtype, lanes) for _ in places]
        outer = nest.memo
        mine: list[dict] = []
        for place in places:                       # what depends on the vector alone is computed once, out here
            with nest.lanes_at(vector, place, len(em.frames) - 1, [], lanes):
                nest.known_outside(s.value, set(over))
                mine.append(nest.memo[-1][1])
        depth = len(em.frames) - 1
        with nest.loops(over):
            nest.known_outside(s.value, {vector})
            inner = nest.memo[len(outer):]
            for place, total, memo in zip(places, totals, mine):
                nest.memo = [*outer, (depth, memo), *((d, dict(m)) for d, m in inner)]
                with nest.lanes_at(vector, place, depth, None, lanes):
                    collect(nest, s.kind, total, dtype, lanes, s.value)
            nest.memo = [*outer, *inner]
        for place, total in zip(places, totals):
            with nest.lanes_at(vector, place, depth, [], lanes):
                finish(nest, s, em.bind(em.load(total, 0, dtype, lanes)))


def start(em, kind: str, dtype: str, lanes: int):
    total = em.local(lanes, dtype)
    em.store(total, 0, em.const(START[kind], dtype, lanes))
    return total


def collect(nest: Nest, kind: str, total, dtype: str, lanes: int, value) -> None:
    em = nest.em
    product = nest.product(value, len(em.frames) - 1) if kind == "sum" and value.dtype == dtype else None
    if product is not None:
        sign, a, b = product
        a, b = nest.value(a), nest.value(b)
        added = em.fma(nest.negative(a) if sign < 0 else a, b, em.bind(em.load(total, 0, dtype, lanes)))
        em.store(total, 0, em.spread(added, lanes))
        return
    found = em.spread(em.cast(nest.value(value), dtype), lanes)
    em.store(total, 0, combine(nest, kind, em.bind(em.load(total, 0, dtype, lanes)), found))


def finish(nest: Nest, s: Reduce, result: Value) -> None:
    if s.accumulate:
        result = combine(nest, s.kind, nest.em.cast(nest.em.bind(nest.read(s.dst)), result.dtype), result)
    nest.write(s.dst, result)


def combine(nest: Nest, kind: str, a: Value, b: Value) -> Value:
    return nest.em.bind(nest.em.binary("add", a, b)) if kind == "sum" else nest.extreme("maximum", a, b)


def across(nest: Nest, kind: str, value: Value) -> Value:
    """One value out of all lanes, in a fixed order."""
    em = nest.em
    while value.lanes > 1:
        half = value.lanes // 2
        if value.lanes % 2:
            rest = em.bind(em.lane(value, value.lanes - 1))
            front = em.bind(em.shuffle([value], list(range(value.lanes - 1)))) if half > 0 else value
            return combine(nest, kind, across(nest, kind, front), rest)
        low = em.bind(em.shuffle([value], list(range(half))))
        high = em.bind(em.shuffle([value], list(range(half, value.lanes))))
        value = combine(nest, kind, low, high)
    return value


def lower_cumsum(scope: Scope, s: Cumsum) -> None:
    axes = [a for a in free_axes(scope, s.dst.attr.index) if a != s.axis]
    vector = choose_vector(scope, axes, s.dst, [s.value])
    nest, em = Nest(scope), scope.em
    dtype = s.dst.dtype
    with nest.loops([a for a in axes if a != vector]):
        for section in nest.sections(vector):
            with nest.section(vector, *section):
                total = start(em, "sum", dtype, section[1])
                extent = nest.extent(s.axis)
                with em.loop(0, extent) as step:
                    with nest._frame(s.axis, extent - 1 - step if s.reverse else step):
                        before = em.bind(em.load(total, 0, dtype, section[1]))
                        after = em.bind(em.binary("add", before, em.spread(em.cast(nest.value(s.value), dtype), section[1])))
                        em.store(total, 0, after)
                        nest.write(s.dst, before if s.exclusive else after)


def lower_recurrence(scope: Scope, s: Cumprod | Decayed) -> None:
    """What has come up to a token, before the token itself."""
    token = s.dst.attr.index[0]
    axes = [a for a in free_axes(scope, s.dst.attr.index) if a != token]
    vector = choose_vector(scope, axes, s.dst, [s.value])
    nest, em = Nest(scope), scope.em
    with nest.loops([a for a in axes if a != vector]):
        for section in nest.sections(vector):
            with nest.section(vector, *section):
                lanes, extent = section[1], nest.extent(token)
                total = em.local(lanes)
                em.store(total, 0, em.const(1.0 if isinstance(s, Cumprod) else 0.0, "f32", lanes))
                with em.loop(0, extent) as step:
                    with nest._frame(token, extent - 1 - step if s.reverse else step):
                        before = em.bind(em.load(total, 0, "f32", lanes))
                        value = em.spread(em.cast(nest.value(s.value), "f32"), lanes)
                        if isinstance(s, Cumprod):
                            em.store(total, 0, em.binary("mul", before, value))
                        else:
                            factor = em.spread(em.cast(nest.value(s.factor), "f32"), lanes)
                            em.store(total, 0, em.fma(before, factor, value))
                        nest.write(s.dst, before)


def lower_topk(scope: Scope, s: Topk) -> None:
    """`top` rounds a row: the largest score not yet taken, the first slot that has it."""
    em = scope.em
    row_axes = [a for a in free_axes(scope, s.dst.attr.index) if a != "n"]
    nest = Nest(scope, (("n", s.limit),))
    clear = Nest(scope)
    with clear.loops(row_axes):
        for section in clear.sections("n"):
            with clear.section("n", *section):
                clear.write(s.dst, em.const(0, s.dst.dtype))
    limit = nest.extent("n")
    rounds = em.bind_index(em.clamp(em.as_index(nest.value(s.top)), 0, limit))
    with nest.loops(row_axes), em.loop(0, rounds):
        best, place = em.local(1), em.local(1, "i32")
        em.store(best, 0, em.const(float("-inf"), "f32"))
        em.store(place, 0, em.const(-1, "i32"))
        with nest.loop("n") as slot:
            score = em.bind(em.cast(nest.read(s.score), "f32"))
            free = em.binary("eq", em.bind(nest.read(s.dst)), em.const(0, s.dst.dtype))
            if s.digits:
                free = em.binary("and", free, em.binary("ne", em.bits("and", scope.scalars["segment"], em.bits(
                    "shl", em.const(1, "i32"), em.from_index(slot))), em.const(0, "i32")))
            now, where = em.bind(em.load(best, 0, "f32")), em.bind(em.load(place, 0, "i32"))
            first = em.binary("and", em.binary("lt", where, em.const(0, "i32")), em.binary("eq", score, score))
            wins = em.bind(em.binary("and", free, em.binary("or", em.binary("ge" if s.digits else "gt", score, now), first)))
            em.store(best, 0, em.select(wins, score, now))
            em.store(place, 0, em.select(wins, em.from_index(slot), where))
        found = em.bind(em.load(place, 0, "i32"))
        with em.when(em.binary("ge", found, em.const(0, "i32"))):
            with nest._frame("n", em.as_index(found)):
                nest.write(s.dst, em.const(1, s.dst.dtype))


def free_axes(scope: Scope, names) -> list[str]:
    """The axes that a statement loops over itself: not those of an enclosing k.loop."""
    return [name for name in names if name not in scope.loops]


__all__ = ["LANES", "lower_cumsum", "lower_map", "lower_reduce", "lower_topk"]
