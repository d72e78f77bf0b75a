"""What kernels that solve dense systems have again instead of holding it: a system in elimination fills most registers by itself.

Tiles of a whole matrix that are cheap beside an elimination, read from memory or made elementwise of such ones and of vectors, are had
anew where they are used, and what they are read for inside a loop is read inside it.
"""
from __future__ import annotations

from typing import Iterator, Sequence

from ..ir.nodes import Program, Value, bodies, is_dim, uses

_CHEAP = {"const", "size", "row", "iota", "param", "load", "map", "rename"}


def solves(values: Sequence[Value]) -> bool:
    """Whether there is a dense system among values or in their loops."""
    return any(v.op == "dense_solve" or any(solves(body.order()) for body in bodies(v)) for v in values)


def matrix(v: Value) -> bool:
    """Whether v has a tile of two dims at once."""
    return sum(map(is_dim, v.axes)) > 1


def had_again(program: Program, values: Sequence[Value]) -> set[int]:
    """Ids of matrices that are had anew for each statement that asks for them; none in kernels without dense systems.

    values: what the kernel computes. A matrix read from memory is among them where systems alone are made of it, and one made of vectors
    always.
    """
    if not solves(values):
        return set()
    every = list(_every(values))
    users, results = uses(every), {id(x) for r in program.results for x, _ in r.parts}
    bound = {p.name: a for v in every if v.op == "slots" for p, a in zip(v["body"].params, v.args)}
    inner: dict[int, list[Value]] = {}                   # id of what a loop over slots is given -> its parameters in the body
    for x in every:
        if x.op == "param" and x["name"] in bound:
            inner.setdefault(id(bound[x["name"]]), []).append(x)
    carried = {id(x) for v in every if v.op == "scan" for x in v["body"].order() if x.op == "param"}
    known: dict[int, bool] = {}                          # whether systems alone are made of it
    made: dict[int, tuple[bool, bool]] = {}              # whether elementwise of memory and vectors; of vectors alone

    def kind(v: Value) -> tuple[bool, bool]:
        if id(v) not in made:
            if v.op == "param" and v["name"] in bound:
                made[id(v)] = kind(bound[v["name"]])
            elif v.op not in _CHEAP or id(v) in carried or "c" in v.axes:
                made[id(v)] = (not matrix(v), not matrix(v))
            else:
                below = [kind(a) for a in v.args]
                made[id(v)] = (all(x for x, _ in below), all(y for _, y in below) and not (matrix(v) and v.op in ("param", "load")))
        return made[id(v)]

    def for_systems(v: Value) -> bool:
        if id(v) not in known:
            asking = users.get(id(v), [])
            known[id(v)] = id(v) not in results and bool(asking) and all(
                x.op == "slots" or (x.op == "dense_solve" and x.args[0] is v) or (matrix(x) and kind(x)[0] and for_systems(x))
                for x in asking) and all(map(for_systems, inner.get(id(v), [])))
        return known[id(v)]

    return {id(v) for v in every if matrix(v) and "c" not in v.axes and kind(v)[0] and (kind(v)[1] or for_systems(v))}


def _every(values: Sequence[Value]) -> Iterator[Value]:
    for v in values:
        yield v
        for body in bodies(v):
            yield from _every(body.order())
