"""Products whose elements are used once and at once: what is made of them joins the product, which is then never stored.

    p = dot(x, y); m += w * p; s = sum(p * q)      ->      product(x, y) { m += w * acc; s = sum(acc * q) }
    m += w * dot(x, y), w a number a row           ->      product(x, y) { m += w * acc }        no scaled copy of x
"""
from __future__ import annotations

from collections import Counter
from typing import Iterator

from ..ir import kernel as kr


def join_products(kernel: kr.Kernel) -> kr.Kernel:
    """In place. Requires: tiles that are written once unless accumulated. Ensures: the same values up to rounding."""
    reads = Counter(r.storage for s in (*kernel.before, *kernel.rows, *kernel.after) for r in reads_of(s))
    gone: set[str] = set()
    kernel.before, kernel.rows, kernel.after = (_block(list(part), reads, gone) for part in (kernel.before, kernel.rows, kernel.after))
    kernel.tiles = [t for t in kernel.tiles if t.name not in gone]
    return kernel


def _block(block: list, reads: Counter, gone: set[str]) -> list:
    made: list = []
    while block:
        s = block.pop(0)
        if isinstance(s, (kr.When, kr.Loop, kr.Saving)):
            s = type(s)(*(_inner(part, reads, gone) for part in vars(s).values()))
        elif isinstance(s, kr.Dot) and s.dst.kind == "tile" and s.dst.at is None and len(_own(s.dst)) == 2 and _plain(s):
            s = _scaled(s) if s.accumulate else _consumed(s, block, reads, gone)
        made.append(s)
    return made


def _inner(part, reads: Counter, gone: set[str]):
    return tuple(_block(list(part), reads, gone)) if isinstance(part, tuple) else part


def _plain(s: kr.Dot) -> bool:
    """A sum over the slots is none: it stops at the row's segment, beyond which operands hold nothing."""
    return s.then is None and not s.lower and not s.over_lower and s.rows is None and not s.dst.precise and "n" not in s.over


def _own(ref: kr.Ref) -> tuple[str, ...]:
    return tuple(a for a in ref.axes if a not in ("n", "m"))


def _acc(axes: tuple[str, ...]) -> kr.Expr:
    return kr.Expr("ref", attr=kr.sum_at_hand(axes))


def _factors(s: kr.Dot) -> set[str]:
    return {r.storage for x in (s.left, s.right) for r in kr.refs_in(x)}


def _scaled(s: kr.Dot) -> kr.Dot | kr.Product:
    """A product that is added to a tile with a factor a row."""
    axes = s.dst.axes
    if s.scale is None or {"n", "m"} & set(axes) or s.dst.storage in _factors(s) or not kr.axes_in(s.scale) <= {axes[0], "n"}:
        return s
    return kr.Product(axes, s.left, s.right, s.over, (kr.Map(s.dst, kr.Expr("mul", (s.scale, _acc(axes))), True),))


def _consumed(s: kr.Dot, rest: list, reads: Counter, gone: set[str]) -> kr.Dot | kr.Product:
    """A product into a tile that only statements further down this block read, element by element."""
    if {"n", "m"} & set(s.dst.axes) or s.scale is not None:
        return s
    users = [i for i, other in enumerate(rest) if s.dst.storage in {r.storage for r in reads_of(other)}]
    count = sum(r.storage == s.dst.storage for i in users for r in reads_of(rest[i]))
    if {rest[i].dst.storage for i in users if isinstance(rest[i], (kr.Map, kr.Reduce))} & _factors(s):
        return s                                     # in the product, one element would be written while others need it
    if not users or count != reads[s.dst.storage] or not all(_takes(rest[i], s.dst) and _moves_up(rest, i, users) for i in users):
        return s
    body = tuple(_replaced(rest[i], s.dst) for i in users)
    for i in reversed(users):
        del rest[i]
    gone.add(s.dst.storage)
    return kr.Product(s.dst.axes, s.left, s.right, s.over, body)


def _takes(user, tile: kr.Ref) -> bool:
    """Whether a statement can be part of the product that makes the tile."""
    if any(r.storage == tile.storage and r.axes != tile.axes for r in reads_of(user)):
        return False
    if isinstance(user, kr.Map):
        return set(_own(user.dst)) == set(tile.axes) and not user.dst.precise
    return isinstance(user, kr.Reduce) and user.kind == "sum" and user.over == tile.axes[1:] and not user.dst.precise and \
        set(_own(user.dst)) == {tile.axes[0]}


def _moves_up(rest: list, i: int, users: list[int]) -> bool:
    """Whether statement i may run before all that stands above it, but for the other users."""
    wanted, made = {r.storage for r in reads_of(rest[i])}, rest[i].dst.storage
    for j in range(i):
        written = {r.storage for r in writes_of(rest[j])}
        if j in users:
            if made in written or wanted & written:
                return False
        elif wanted & written or made in written or made in {r.storage for r in reads_of(rest[j])}:
            return False
    return True


def _replaced(user: kr.Map | kr.Reduce, tile: kr.Ref) -> kr.Map | kr.Reduce:
    def swap(e: kr.Expr) -> kr.Expr:
        if e.op == "ref" and e.attr.storage == tile.storage:
            return _acc(tile.axes)
        return kr.Expr(e.op, tuple(map(swap, e.args)), e.attr, e.dtype) if e.args else e
    if isinstance(user, kr.Map):
        return kr.Map(user.dst, swap(user.value), user.accumulate)
    return kr.Reduce(user.kind, user.dst, swap(user.value), user.over, user.accumulate)


def reads_of(s) -> Iterator[kr.Ref]:
    """What a statement and those inside it read; what is accumulated into counts as written only."""
    for part in vars(s).values():
        if isinstance(part, kr.Expr):
            yield from kr.refs_in(part)
        elif isinstance(part, tuple) and part and not isinstance(part[0], str):
            for inner in part:
                yield from reads_of(inner)
    given = {kr.Topk: ("score",), kr.Solve: ("x", "matrix"), kr.Pair: ("q", "k", "factor"), kr.Channels: ("matrix", "q", "k", "factor")}
    yield from (ref for name in given.get(type(s), ()) if (ref := getattr(s, name)) is not None)


def writes_of(s) -> Iterator[kr.Ref]:
    made = {kr.Solve: ("x",), kr.Channels: ("dq", "dk", "df")}
    yield from (ref for name in made.get(type(s), ("dst",)) if isinstance(ref := getattr(s, name, None), kr.Ref))
    for part in vars(s).values():
        if isinstance(part, tuple) and part and not isinstance(part[0], str):
            for inner in part:
                yield from writes_of(inner)
