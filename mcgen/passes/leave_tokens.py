"""What a loop over tokens only hands on leaves the loop: vectors of a token become tiles over all of them.

    p[c, V] = 0; tokens { y = 0; along K { y[V] += s[K, V] q[c, K] }; p[c, V] = -y[V] }
    ->   y[c, V] = 0; tokens { along K { y[c, V] += s[K, V] q[c, K] } }; p[c, V] = -y[c, V]      and y itself is p where it is p
"""
from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Iterable, Iterator

from ..ir import kernel as kr
from .join import reads_of, writes_of

ZERO = kr.Expr("num", attr=0.0)


def leave_tokens(kernel: kr.Kernel) -> kr.Kernel:
    """In place. Ensures: the same values, zero past a row's tokens as before."""
    made: list = []
    for s in kernel.rows:
        made += _left(kernel, s, made) if isinstance(s, kr.Loop) and s.kind.startswith("tokens") else [s]
    kernel.rows = made
    return kernel


def _left(kernel: kr.Kernel, loop: kr.Loop, before: list) -> list:
    """The loop and what stands around it now. Zeros that nothing reads any more are taken out of `before`."""
    body, behind, spread = list(loop.body), [], {}
    while body and (source := _handed_on(body[-1])) and _fresh(kernel, loop, source) and not used(body[:-1])[body[-1].dst.storage]:
        behind.insert(0, body.pop())
        spread[source.storage] = ("c", *source.axes)
    if not spread:
        return [loop]
    zeros = [kr.Map(kr.Ref(name, "tile", axes), ZERO) for name, axes in spread.items()]
    loop = replace(loop, body=tuple(s for s in (_spread(s, spread) for s in body) if s not in zeros))
    behind = [_spread(s, spread) for s in behind]
    for s in behind:
        start = kr.Map(s.dst, ZERO)
        if start in before and used(before)[s.dst.storage] == 1:
            before.remove(start)
    kernel.tiles = [replace(t, axes=spread.get(t.name, t.axes)) for t in kernel.tiles]
    same = {s.value.attr.storage: s.dst.storage for s in behind if s.value.op == "ref" and used(behind)[s.value.attr.storage] == 1}
    kernel.tiles = [t for t in kernel.tiles if t.name not in same]
    return [each_ref(s, lambda r: replace(r, storage=same.get(r.storage, r.storage)))
            for s in (*zeros, loop, *behind) if not (s in behind and s.value.op == "ref" and s.value.attr.storage in same)]


def _handed_on(s) -> kr.Ref | None:
    """The vector that a token's last statement hands on, as it is or times a number: zeros stay zeros."""
    if not (isinstance(s, kr.Map) and not s.accumulate and s.dst.kind == "tile" and s.dst.axes[:1] == ("c",) and not s.dst.precise):
        return None
    value = s.value
    while value.op == "neg" or value.op == "mul" and value.args[0].op == "num":
        value = value.args[-1]
    ref = value.attr if value.op == "ref" else None
    return ref if ref and ref.kind == "tile" and ref.axes == s.dst.axes[1:] and len(ref.axes) < 2 and not ref.precise else None


def _fresh(kernel: kr.Kernel, loop: kr.Loop, ref: kr.Ref) -> bool:
    """Whether every token fills the tile anew, by maps and sums, and nothing outside the loop uses it."""
    uses = [(s, axis) for s, axis in _flat(loop.body) if used([s])[ref.storage]]
    first, axis = uses[0]
    if not all(isinstance(s, (kr.Map, kr.Reduce)) for s, _ in uses):
        return False
    filled = first.dst == ref and not first.accumulate and all(r.storage != ref.storage for r in reads_of(first)) and axis in (None, *ref.axes)
    whole = all(r == ref for s, _ in uses for r in (*reads_of(s), *writes_of(s)) if r.storage == ref.storage)
    return filled and whole and used([*kernel.before, *kernel.rows, *kernel.after])[ref.storage] == used([loop])[ref.storage]


def _flat(body: Iterable, axis: str | None = None) -> Iterator[tuple]:
    """Statements, each with the axis that the loop around it runs along."""
    for s in body:
        yield from _flat(s.body, s.axis) if isinstance(s, kr.Along) else [(s, axis)]


def used(statements: Iterable) -> Counter:
    """How often each tile or tensor is read or written."""
    return Counter(r.storage for s in statements for r in (*reads_of(s), *writes_of(s)))


def _spread(s, spread: dict[str, tuple[str, ...]]):
    """The statement with tiles over all tokens in the place of those of one."""
    return each_ref(s, lambda r: replace(r, axes=spread[r.storage]) if r.storage in spread else r)


def each_ref(s, change):
    """A map, a sum, or a loop of such, with every reference changed."""
    def expr(e: kr.Expr) -> kr.Expr:
        if e.op == "ref":
            return replace(e, attr=change(e.attr))
        return replace(e, args=tuple(map(expr, e.args))) if e.args else e
    if isinstance(s, (kr.Along, kr.Loop)):
        return replace(s, body=tuple(each_ref(x, change) for x in s.body))
    return replace(s, dst=change(s.dst), value=expr(s.value)) if isinstance(s, (kr.Map, kr.Reduce)) else s
