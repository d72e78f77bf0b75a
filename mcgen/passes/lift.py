"""What rows hand out, but do not need for the next row, leaves the scan: it is computed for all rows at once.

A scan keeps what its carries need. A result per row that takes products beyond that is computed outside, from the carries
before each row, the scan's own inputs, and whatever the carries need on the way, which the rows hand out instead.
"""
from __future__ import annotations

from ..ir.builder import Builder
from ..ir.nodes import Program, Result, Value, order, scan_axis
from .rewrite import Rebuilder, rebuild_program

PRODUCTS = {"dot", "solve", "pair", "papply", "pfactor", "decayed"}


def lift(program: Program, b: Builder) -> Program:
    """Ensures: the same results."""
    lifted: dict[int, dict[int, Value]] = {}

    def hook(rebuilder: Rebuilder, value: Value, args: list[Value]) -> Value | None:
        if value.op == "scan" and scan_axis(value) == "r":          # a scan over tokens keeps its results inside
            made = _lift(b, value, args)
            if made is None:
                return None
            loop, lifted[id(value)] = made
            return loop
        if value.op == "out" and value["kind"] == "y" and id(value.args[0]) in lifted:
            return lifted[id(value.args[0])][value["index"]]
        return None

    return rebuild_program(program, b, hook)


def _lift(b: Builder, scan: Value, args: list[Value]) -> tuple[Value, dict[int, Value]] | None:
    """The scan without the results that leave it, and what every old result per row is now; None if none leaves."""
    body: Program = scan["body"]
    n = scan["carries"]
    held = {id(v): v for v in order([r.parts[0][0] for r in body.results[:n]])}
    known = {p.name for p in body.params[:n]}
    carried: set[int] = set()                        # ids of what depends on the carries
    for v in body.order():
        if v.op == "param" and v["name"] in known or any(id(a) in carried for a in v.args):
            carried.add(id(v))
    leaving: dict[int, Value] = {}
    handed: dict[int, Value] = {}
    for i, result in enumerate(body.results[n:]):
        value = result.parts[0][0]
        frontier, products = _between(value, held, carried)
        if products and id(value) not in held:
            leaving[i] = value
            handed |= frontier
    if not leaving:
        return None
    stay = [i for i in range(len(body.results) - n) if i not in leaving]
    extra = [Result(f"{v.name or v.op}.{j}", "value", v.axes, ((v, 0),)) for j, v in enumerate(handed.values())]
    results = (*body.results[:n], *(body.results[n + i] for i in stay), *extra)
    inner = Program(body.name, body.params, results, body.level, body.segment)
    loop = b.make("scan", args, (), "f", body=inner, carries=n, xs=scan["xs"], reverse=scan["reverse"])
    out = lambda kind, i, axes, dtype="f": b.make("out", (loop,), ("r",) + axes, dtype, kind=kind, index=i)
    bound = {p.name: out("start", i, p.axes) for i, p in enumerate(body.params[:n])}
    bound |= {p.name: a for p, a in zip(body.params[n:], args[n:])}
    given = {key: out("y", len(stay) + j, v.axes) for j, (key, v) in enumerate(handed.items())}
    outside = Rebuilder(b, given, lambda r, v, a: bound.get(v["name"]) if v.op == "param" else None)
    found = dict(zip(leaving, outside.rebuild(list(leaving.values()))))
    found |= {i: out("y", new, body.results[n + i].axes) for new, i in enumerate(stay)}
    return loop, found


def _between(value: Value, held: dict[int, Value], carried: set[int]) -> tuple[dict[int, Value], bool]:
    """What the carries need of what a value needs, and whether the value takes products beyond that."""
    frontier: dict[int, Value] = {}
    products, stack, seen = False, [value], set()
    while stack:
        v = stack.pop()
        if id(v) in seen or v.op == "param":
            continue
        seen.add(id(v))
        if id(v) in held and id(v) in carried:
            frontier[id(v)] = v
            continue
        products |= v.op in PRODUCTS
        stack.extend(v.args)
    return frontier, products
