"""What a row copies from a carry, changes, and copies back is changed where it is.

    a = s; saved = s; loop { a = f(a) }; s = a      ->      saved = s; loop { s = f(s) }
"""
from __future__ import annotations

from dataclasses import replace

from ..ir import kernel as kr
from .join import writes_of
from .leave_tokens import each_ref, used
from .share_rows import clash


def in_place(kernel: kr.Kernel) -> kr.Kernel:
    """In place. Ensures: the same values, and no tile that is not used."""
    for s in list(kernel.rows):
        rows = _without(kernel, s) if _copies(s) else None
        if rows is not None:
            name, other = s.dst.storage, s.value.attr.storage
            kernel.rows = [each_ref(t, lambda r: replace(r, storage=other) if r.storage == name else r) for t in rows]
            kernel.tiles = [t for t in kernel.tiles if t.name != name]
    return kernel


def _copies(s) -> bool:
    """Whether a statement copies a tile as it is."""
    return isinstance(s, kr.Map) and not s.accumulate and s.value.op == "ref" and s.dst.axes == s.value.attr.axes and \
        s.dst.kind == s.value.attr.kind == "tile" and not s.dst.precise and not s.value.attr.precise


def _without(kernel: kr.Kernel, copy: kr.Map) -> list | None:
    """The rows without a copy and the one back, with what still reads the carry moved before; None where it can't be."""
    back = kr.Map(copy.value.attr, kr.Expr("ref", attr=copy.dst, dtype=copy.value.dtype))
    name, carry = copy.dst.storage, copy.value.attr.storage
    if kernel.rows.count(copy) != 1 or kernel.rows.count(back) != 1:
        return None
    first, last = kernel.rows.index(copy), kernel.rows.index(back)
    before, between, behind = kernel.rows[:first], kernel.rows[first + 1:last], kernel.rows[last + 1:]
    if first > last or used([*kernel.before, *before, *behind, *kernel.after])[name]:
        return None
    moved, stay = [], []
    for s in between:
        if not used([s])[carry]:
            stay.append(s)
        elif any(r.storage == carry for r in writes_of(s)) or any(clash(s, t) for t in (copy, *stay)):
            return None
        else:
            moved.append(s)
    renamed = all(isinstance(t, (kr.Map, kr.Reduce)) for s in stay for t in _leaves(s) if used([t])[name])
    return [*before, *moved, *stay, *behind] if renamed else None


def _leaves(s):
    if isinstance(s, (kr.Along, kr.Loop)):
        for inner in s.body:
            yield from _leaves(inner)
    else:
        yield s
