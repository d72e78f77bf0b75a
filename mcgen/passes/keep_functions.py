"""Functions of every entry of a state that loops over the tokens of a column compute alike are kept by the first for the others.

    along V { tokens { t[c, K, V] = s; s = s * exp(a[c, V] * b[K, V]) }; tokens_back { g = exp(a[c, V] * b[K, V]) * g } }
    ->   along V { tokens { t = s; e[c, K, V] = exp(..); s = s * e }; tokens_back { g = e * g } }

What a column has of such a tile lies in the nearest caches (`columns`): reading it takes less time than a polynomial.
"""
from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Callable, Iterator, Sequence

from ..ir import kernel as kr
from ..ir.functions import TABLE
from ..ir.naming import fresh
from .join import writes_of

DEAR = {name for name, f in TABLE.items() if not f.cheap} - {"div", "sqrt"}          # those two are instructions


def keep_functions(kernel: kr.Kernel) -> kr.Kernel:
    """In place. Ensures: the same values."""
    for at, loop in enumerate(kernel.rows):
        while isinstance(loop, kr.Along) and (made := _kept(kernel, loop)):
            kernel.rows[at] = loop = made
    return kernel


def _kept(kernel: kr.Kernel, loop: kr.Along) -> kr.Along | None:
    """The loop with one function more that its first loop over tokens keeps; None where there is none."""
    if len(loop.body) < 2:
        return None
    first, *others = [tokens.body[0] for tokens in loop.body]
    written = Counter(r.storage for rows in (first, *others) for s in rows.body for r in writes_of(s))
    copies = {s.dst.storage for rows in (first, *others) for s, _ in _states(rows.body)}
    changed = {name for name, times in written.items() if name not in copies or times > 1}
    own, *later = [_functions(rows, loop.axis, changed) for rows in (first, *others)]
    value = max((e for e in own if any(e in found for found in later)), key=_size, default=None)
    if value is None:
        return None
    taken = {x.name for x in (*kernel.tiles, *kernel.params, *kernel.results)}
    tile = kr.Tile(fresh(f"each_{value.op}", taken), ("c", first.axis, loop.axis))
    kernel.tiles.append(tile)
    ref = kr.Expr("ref", attr=kr.Ref(tile.name, "tile", tile.axes))
    bodies = [_each(rows.body, lambda known, e: ref if known == value else None) for rows in (first, *others)]
    at = next(i for i, (s, t) in enumerate(zip(first.body, bodies[0])) if s != t)
    bodies[0] = (*bodies[0][:at], kr.Map(ref.attr, own[value]), *bodies[0][at:])
    return replace(loop, body=tuple(replace(tokens, body=(replace(rows, body=body),))
                                    for tokens, rows, body in zip(loop.body, (first, *others), bodies)))


def _functions(rows: kr.Along, axis: str, changed: set[str]) -> dict[kr.Expr, kr.Expr]:
    """Functions of every entry of what no token of these or the other loops changes, as they read where a copy of a state stands for it ->
    as they are written."""
    found: dict[kr.Expr, kr.Expr] = {}

    def note(known: kr.Expr, e: kr.Expr) -> None:
        if known.op in DEAR and kr.axes_in(known) == {"c", rows.axis, axis} and not any(r.storage in changed or r.precise for r in kr.refs_in(known)):
            found.setdefault(known, e)

    _each(rows.body, note)
    return found


def _states(body: Sequence) -> Iterator[tuple[kr.Map, kr.Ref]]:
    """The statements that keep what a state is before a token, with the state."""
    for i, s in enumerate(body):
        if isinstance(s, kr.Map) and not s.accumulate and s.value.op == "ref" and s.dst.axes == ("c", *s.value.attr.axes) and \
                sum(r.storage == s.dst.storage for t in body for r in writes_of(t)) == 1 and \
                not any(r.storage == s.value.attr.storage for t in body[:i] for r in writes_of(t)):
            yield s, s.value.attr


def _each(body: Sequence, change: Callable[[kr.Expr, kr.Expr], kr.Expr | None]) -> tuple:
    """The statements with every expression replaced for which `change` gives another: of it as it reads with copies in the place of
    states, and as it is."""
    copies = {state: s.dst for s, state in _states(body)}
    known: dict[kr.Ref, kr.Ref] = {}
    made = []

    def read(e: kr.Expr) -> kr.Expr:
        if e.op == "ref":
            return replace(e, attr=known.get(e.attr, e.attr))
        return replace(e, args=tuple(map(read, e.args))) if e.args else e

    def changed(e: kr.Expr) -> kr.Expr:
        new = change(read(e), e)
        return new if new is not None else replace(e, args=tuple(map(changed, e.args))) if e.args else e

    for s in body:
        made.append(replace(s, value=changed(s.value)))
        written = {r.storage for r in writes_of(s)}
        known = {state: copy for state, copy in known.items() if state.storage not in written}
        if isinstance(s, kr.Map) and s.value.op == "ref" and copies.get(s.value.attr) == s.dst:
            known[s.value.attr] = s.dst
    return tuple(made)


def _size(e: kr.Expr) -> int:
    return 1 + sum(map(_size, e.args))
