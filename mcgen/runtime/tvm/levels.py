"""Statements over levels, one level after the other: each is then one of matrices of fixed size."""
from __future__ import annotations

from dataclasses import replace
from typing import Callable

from . import statements as st
from .expr import binary, const
from .memory import Scope
from .reduce import lower_map

LEVEL = "l"


def dot_by_level(scope: Scope, s: st.Dot, lower: Callable[[Scope, st.Dot], None]) -> bool:
    """Lowers a product that has levels, by `lower`; else does nothing and says so."""
    if LEVEL in scope.loops or LEVEL not in (*s.dst.attr.index, *s.over):
        return False
    if LEVEL in s.over:
        if s.then is not None or s.lower:
            return False
        if not s.accumulate:
            lower_map(scope, st.Map(s.dst, const(0.0)))
        s = replace(s, over=tuple(a for a in s.over if a != LEVEL), accumulate=True)
    if s.over:
        each(scope, lambda: lower(scope, s))
    else:
        value = binary("mul", s.a, s.b) if s.scale is None else binary("mul", binary("mul", s.a, s.b), s.scale)
        each(scope, lambda: lower_map(scope, st.Map(s.dst, value, s.accumulate)))
    return True


def each(scope: Scope, lower: Callable[[], None]) -> None:
    """For every level."""
    with scope.em.loop(0, scope.extent(LEVEL), name=LEVEL) as level:
        scope.loops[LEVEL] = level
        lower()
        del scope.loops[LEVEL]
