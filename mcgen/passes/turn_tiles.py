"""Tiles that steps over tokens meet across are stored the other way round, so that a matrix is walked along rows everywhere.

    loop tokens { s[K, V] = f(s); t[V, K] += g[V] * s[K, V] }     ->     .. t[K, V] += g[V] * s[K, V]
"""
from __future__ import annotations

from collections import Counter
from dataclasses import fields, is_dataclass, replace
from typing import Any, Iterator

from ..ir import kernel as kr
from ..ir.nodes import Param, Result
from .join import reads_of, writes_of


def turn_tiles(kernel: kr.Kernel) -> kr.Kernel:
    """In place. Ensures: the same values; matrices over the same two dims that loops over tokens use lie one way, that of parameters
    among them, which can't be turned, else of most."""
    steps = [s for row in kernel.rows if isinstance(row, kr.Loop) and row.kind.startswith("tokens") for s in _held(row.body)]
    refs = {ref for s in steps for ref in (*writes_of(s), *reads_of(s)) if len(set(_order(ref))) == 2}
    lying = {ref.storage: (_order(ref), ref.kind != "tile") for ref in refs}
    votes: Counter = Counter()
    for order, fixed in lying.values():
        votes[order] += len(lying) if fixed else 1
    turned = {name for name, (order, fixed) in lying.items() if not fixed and votes[order] < votes[order[::-1]]}
    turned -= {ref.storage for ref in refs if ref.axes != _order(ref)}
    if turned:
        kernel.tiles = [replace(t, axes=t.axes[::-1]) if t.name in turned else t for t in kernel.tiles]
        kernel.before, kernel.rows, kernel.after = (_turned(part, turned) for part in (kernel.before, kernel.rows, kernel.after))
    return kernel


def _order(ref: kr.Ref) -> tuple[str, ...]:
    """The axes of a matrix, whatever stands before them."""
    return tuple(a for a in ref.axes if a not in ("c", "n", "l"))


def _held(body: tuple) -> Iterator:
    for s in body:
        if isinstance(s, (kr.Map, kr.Reduce)):
            yield s
        else:
            yield from _held(getattr(s, "body", ()))


def _turned(x: Any, names: set[str]) -> Any:
    """A statement, an expression or several of them, with the axes of these tiles the other way round."""
    if isinstance(x, (tuple, list)):
        return type(x)(_turned(y, names) for y in x)
    if isinstance(x, kr.Ref):
        return replace(x, axes=x.axes[::-1]) if x.kind == "tile" and x.storage in names else x
    if not is_dataclass(x) or isinstance(x, (type, Param, Result)):
        return x
    return replace(x, **{f.name: _turned(getattr(x, f.name), names) for f in fields(x)})
