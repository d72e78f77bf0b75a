"""The order of statements in which few tiles are alive at once: a GPU's registers hold a handful of them."""
from __future__ import annotations

from typing import Sequence

from ..ir.nodes import Value, dim_of, order, uses

SIDE = 64                                                # what an axis counts
_FREE = ("const", "size", "iota", "row", "rename", "param", "load")        # no statement, or read again where they are needed


def arrange(roots: Sequence[Value]) -> list[Value]:
    """Every value below the roots once, arguments first: whatever frees more than it makes comes at once, all else as late as
    the depth-first order has it."""
    values = order(roots)
    left = {i: len(u) for i, u in uses(values).items()}
    for root in roots:
        left[id(root)] = left.get(id(root), 0) + 1
    inner = {id(v): _inner(v) for v in values if v.op not in _FREE}
    place = {i: at for at, i in enumerate(inner)}
    makes = {id(v): v for v in values if id(v) in inner}
    users: dict[int, list[int]] = {i: [] for i in inner}
    missing = {i: 0 for i in inner}
    for i, args in inner.items():
        for a in {*map(id, args)}:
            users[a].append(i)
            missing[i] += 1
    grows = lambda i: (max(0, _growth(makes[i], inner[i], left)), place[i])         # the first of equals: depth first
    able = {i: grows(i) for i, count in missing.items() if not count}
    found: list[Value] = []
    while able:
        i = min(able, key=able.__getitem__)
        del able[i]
        found.append(makes[i])
        for a in inner[i]:
            left[id(a)] -= 1
        for user in users[i]:
            missing[user] -= 1
            if not missing[user]:
                able[user] = grows(user)
        for a in inner[i]:
            if left[id(a)] <= 1:
                able.update((user, grows(user)) for user in users[id(a)] if user in able)
    return _with_leaves(found, roots)


def pressure(roots: Sequence[Value], folded: Sequence[str] = ()) -> float:
    """How many tiles with sides of 64 are alive at once, where statements are arranged; of a folded axis there is half a side, and what
    is summed along it adds up all the while. What is read, or turned, counts where a product takes it."""
    values = [v for v in arrange(roots) if v.op not in _FREE]
    size = lambda v: _size(v) / (SIDE * SIDE) / 2 ** len(set(v.axes) & {*folded})
    last = {id(a): i for i, v in enumerate(values) for a in (v, *_inner(v))}
    alive, most = 0.0, 0.0
    for i, v in enumerate(values):
        alive += size(v)
        most = max(most, alive + sum(size(a) for a in v.args if v.op == "dot" and a.op in _FREE and len(a.axes) > 1))
        alive -= sum(size(a) for a in {id(a): a for a in (v, *_inner(v))}.values() if last[id(a)] == i)
    return max(most, sum(size(v) for v in values if set(v.get("over") or ()) & {*folded}))


def _inner(v: Value) -> list[Value]:
    """The arguments that take a statement, through renamings."""
    found = []
    for a in v.args:
        while a.op == "rename":
            a = a.args[0]
        if a.op not in _FREE:
            found.append(a)
    return found


def _growth(v: Value, inner: Sequence[Value], left: dict[int, int]) -> int:
    freed = sum(_size(a) for a in {id(a): a for a in inner}.values() if left[id(a)] <= 1)
    return _size(v) - freed


def _size(v: Value) -> int:
    if v.dtype == "b":
        return 0
    total = 1
    for a in v.axes:
        total *= 1 if a == "r" else min(int(dim_of(a)), SIDE) if dim_of(a).isdigit() else SIDE
    return total


def _with_leaves(values: Sequence[Value], roots: Sequence[Value]) -> list[Value]:
    """The values in their order, each behind the leaves that it needs first."""
    found: dict[int, Value] = {}
    seen: set[int] = set()
    for v in (*values, *roots):
        for a in order([v], seen):
            if a is v or a.op in _FREE:
                found.setdefault(id(a), a)
    return list(found.values())
