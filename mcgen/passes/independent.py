"""The dims along which values are independent: programs of a kernel can be cut along them."""
from __future__ import annotations

from typing import Iterable

from ..ir.nodes import Program, Result, Value, dim_of, is_dim, order, sort_axes


def separable(program: Program) -> tuple[str, ...]:
    """The spec's dims along which nothing in a program is summed, compared or moved: its values are independent there."""
    return independent(list(program.order()), program.results)


def with_bodies(values: Iterable[Value]) -> list[Value]:
    """The values with the loops that they are results of, and what those compute for them."""
    every: dict[int, Value] = {}
    made: set[tuple[int, int]] = set()                   # results of loops
    pending = list(values)
    while pending:
        v = pending.pop()
        if id(v) in every:
            continue
        every[id(v)] = v
        if v.op != "out":
            continue
        loop = v.args[0]
        every[id(loop)] = loop
        body, n = loop["body"], loop.get("carries") or 0
        wanted = [v["index"] + (n if v["kind"] == "y" else 0)]
        while wanted:
            index = wanted.pop()
            if (id(loop), index) not in made:
                made.add((id(loop), index))
                inner = order([x for x, _ in body.results[index].parts])
                pending += inner
                carried = {p.name: i for i, p in enumerate(body.params[:n])}
                wanted += [carried[x["name"]] for x in inner if x.op == "param" and x["name"] in carried]
    return list(every.values())


def tied(values: Iterable[Value]) -> set[str]:
    """Axes along which some of the values are summed, compared or moved."""
    found: set[str] = set()
    for v in values:
        if v.op == "dense_solve":
            found |= {v["row"], v["column"]}
        elif v.op == "rename":
            found |= {a for move in v["moves"] for a in move}
        elif v.op in ("cumsum", "pair"):
            found.add(v["axis"])
        elif v.args:
            found |= set(v.get("over") or ())
    return found


def independent(values: list[Value], results: Iterable[Result]) -> tuple[str, ...]:
    every = with_bodies(values)
    bound = tied(every)
    free = [a for a in sort_axes(a for r in results for a in r.axes) if is_dim(a) and not dim_of(a).isdigit() and a not in bound]
    used = {a for v in every for a in v.axes} | set(free)
    return tuple(a for a in free if not any(b != a and dim_of(b) == dim_of(a) for b in used))
