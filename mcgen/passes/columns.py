"""Loops over tokens whose columns go their own ways run column by column: what one loop leaves of a column for the next, an element
of the state for every token and row, is then as small as the nearest caches.

    tokens { along K { s[K, V] = f(s); y[c, V] += s; p[c, K] = sum(s) over V } }
    ->   p[c, K] = 0; along V { tokens { along K { s[K, V] = f(s); y[c, V] += s; p[c, K] += s } } }
"""
from __future__ import annotations

from dataclasses import replace
from typing import Sequence

from ..ir import kernel as kr
from .join import reads_of
from .leave_tokens import ZERO, used
from .share_rows import clash


def by_columns(kernel: kr.Kernel) -> kr.Kernel:
    """In place. Ensures: the same values, up to the order of sums over columns; loops whose columns agree are in one loop over
    columns, with what stood between them before it or behind it."""
    rows: list = []
    for s in kernel.rows:
        axis = _column([s]) if isinstance(s, kr.Loop) and s.kind.startswith("tokens") else None
        if axis is None:
            rows.append(s)
            continue
        at = max((i for i, t in enumerate(rows) if isinstance(t, kr.Along)), default=None)
        sides = None if at is None or _column([*rows[at].body, s]) is None else _sides(rows[at], rows[at + 1:], s)
        if sides is None:
            rows.append(kr.Along(axis, (s,)))
        else:
            rows[at:] = [*sides[0], kr.Along(axis, (*rows[at].body, s)), *sides[1]]
    kernel.rows = []
    for s in rows:
        kernel.rows += _summed(s, kernel.rows) if isinstance(s, kr.Along) else [s]
    return kernel


def _column(loops: Sequence[kr.Loop]) -> str | None:
    """The axis along which nothing in these loops depends on another position, but for sums over it that they only hand out."""
    if not all(len(loop.body) == 1 and isinstance(loop.body[0], kr.Along) for loop in loops):
        return None
    rows = {loop.body[0].axis for loop in loops}
    body = [s for loop in loops for s in loop.body[0].body]
    if len(rows) > 1 or not all(isinstance(s, (kr.Map, kr.Reduce)) for s in body):
        return None
    axes = {a for s in body for a in (*s.dst.axes, *(s.over if isinstance(s, kr.Reduce) else ()))} - {"c", *rows}
    if len(axes) != 1 or axes & {"n", "l", "m"}:
        return None
    axis, = axes
    sums = [s.dst.storage for s in body if isinstance(s, kr.Reduce)]
    changed = {s.dst.storage for s in body if isinstance(s, kr.Map)}
    for s in body:
        if isinstance(s, kr.Reduce) and (s.kind != "sum" or s.over != (axis,) or sums.count(s.dst.storage) > 1 or s.dst.storage in changed):
            return None
        for ref in (s.dst, *reads_of(s)):
            given = ref.storage in sums and ref is not s.dst
            if given or ref.precise or axis in ref.axes[:-1] or ref.storage in changed and axis not in ref.axes:
                return None
    return axis


def _sides(one: kr.Along, between: Sequence, other: kr.Loop) -> tuple[list, list] | None:
    """What can stand before the first loop, and what can stand behind the other one; None if something has to stay between them."""
    early: list = []
    late: list = []
    for s in between:
        if not clash(s, one) and not any(clash(s, t) for t in late):
            early.append(s)
        elif not clash(s, other):
            late.append(s)
        else:
            return None
    return early, late


def _summed(loop: kr.Along, before: list) -> list:
    """A loop over columns in which a sum over them is added to, column by column, from zero on."""
    zeros: list = []

    def added(s):
        if not isinstance(s, kr.Reduce):
            return s
        start = kr.Map(s.dst, ZERO)
        if not s.accumulate:
            if start in before and used(before)[s.dst.storage] == 1:
                before.remove(start)
            zeros.append(start)
        return kr.Map(s.dst, s.value, True)
    body = tuple(replace(t, body=(replace(t.body[0], body=tuple(map(added, t.body[0].body))),)) for t in loop.body)
    return [*zeros, replace(loop, body=body)]
