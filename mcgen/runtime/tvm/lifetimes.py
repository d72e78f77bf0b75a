"""Which tiles may share memory: those that a row fills anew, and is done with before the next one is filled.

Two threads of one core share its caches; a kernel with thirty tiles works from a third of their memory this way.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator

from . import statements as st
from .expr import Expr


@dataclass
class _Life:
    first: int
    last: int
    fresh: bool          # filled before it is read, and not only under a condition


def shared(builder) -> dict[str, str]:
    """tile -> the earlier declared or used tile, of the same axes and dtype, whose memory it takes."""
    sequences = [s for s in builder.body if isinstance(s, st.Sequences)]
    rows = [s for sequence in sequences for s in sequence.body if isinstance(s, st.Rows)]
    if len(sequences) != 1 or len(rows) != 1:
        return {}
    outside = {name for s in sequences[0].body if s is not rows[0] for name, _, _ in _accesses(s, False)}
    lives: dict[str, _Life] = {}
    for position, statement in enumerate(rows[0].body):
        for name, writes, certain in _accesses(statement, True):
            life = lives.setdefault(name, _Life(position, position, writes and certain))
            life.last = position
    tiles = {t.name: t for t in builder.tiles}
    owners: dict[str, str] = {}
    free: dict[tuple, list[tuple[int, str]]] = {}        # axes and dtype -> (busy until, tile) of the memory there is
    for name, life in sorted(lives.items(), key=lambda item: item[1].first):
        if name not in tiles or name in outside or not life.fresh:
            continue
        places = free.setdefault((tiles[name].dims, tiles[name].dtype), [])
        idle = [place for place in places if place[0] < life.first]
        owner = name
        if idle:
            place = max(idle)                            # the one used last is the one in the cache
            places.remove(place)
            owner = place[1]
            owners[name] = owner
        places.append((life.last, owner))
    return owners


def statements_with(builder) -> dict[str, int]:
    """tile -> how many statements read or write it, those inside loops counted one by one."""
    found: dict[str, int] = {}

    def count(body) -> None:
        for s in body:
            inside = getattr(s, "body", None)
            own = {t for e in vars(s).values() if isinstance(e, Expr) for t in _tiles(e)} if inside is not None else {t for t, _, _ in _accesses(s, True)}
            for name in own:
                found[name] = found.get(name, 0) + 1
            count(inside or ())

    count(builder.body)
    return found


def _accesses(statement, certain: bool) -> Iterator[tuple[str, bool, bool]]:
    """(tile, whether it is written, whether that surely happens) in order of execution."""
    if isinstance(statement, (st.When, st.Loop, st.Rows, st.Product)):
        inside = certain and not isinstance(statement, st.When)
        for part in vars(statement).values():
            if isinstance(part, Expr):
                yield from ((name, False, certain) for name in _tiles(part))
        for inner in statement.body:
            yield from _accesses(inner, inside)
        return
    if isinstance(statement, st.Channels):
        targets = [x for x in (statement.dq, statement.dk, statement.df) if x is not None]
    else:
        targets = [statement.x if isinstance(statement, st.Solve) else statement.dst]
    reads = [value for value in vars(statement).values() if isinstance(value, Expr) and all(value is not t for t in targets)]
    reads += [bound for _, bound in getattr(statement, "upto", ())]
    for value in reads:
        yield from ((name, False, certain) for name in _tiles(value))
    if getattr(statement, "accumulate", False) or isinstance(statement, st.Solve):
        yield from ((name, False, certain) for target in targets for name in _tiles(target))
    yield from ((name, True, certain) for target in targets for name in _tiles(target))


def _tiles(value: Expr) -> Iterator[str]:
    for ref in value.refs():
        if ref.attr.storage.kind == "tile":
            yield ref.attr.storage.name
