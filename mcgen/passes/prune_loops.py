"""Loops without what nobody reads: results of a scan or slots loop that are not used, and arguments that no result needs."""
from __future__ import annotations

from dataclasses import replace

from ..ir.builder import Builder
from ..ir.nodes import Program, Value
from .rewrite import Rebuilder, rebuild_program


def prune_loops(program: Program, b: Builder) -> Program:
    """Carries stay, with what they need. Loops in bodies of scans are pruned too."""
    used: dict[int, set[tuple[str, int]]] = {}
    for v in program.order():
        if v.op == "out":
            used.setdefault(id(v.args[0]), set()).add((v["kind"], v["index"]))
    places: dict[int, dict[int, int]] = {}             # new loop -> old index of a result -> new one

    def hook(rebuilder: Rebuilder, value: Value, args: list[Value]) -> Value | None:
        if value.op in ("scan", "slots"):
            made, moved = _pruned(b, value, args, used.get(id(value), set()))
            places[id(made)] = moved
            return made
        if value.op == "out":
            kind, index = value["kind"], value["index"]
            if kind not in ("start", "final"):
                index = places[id(args[0])][index]
            return b.make("out", args, value.axes, value.dtype, kind=kind, index=index)
        return None

    return rebuild_program(program, b, hook)


def _pruned(b: Builder, loop: Value, args: list[Value], used: set[tuple[str, int]]) -> tuple[Value, dict[int, int]]:
    body: Program = loop["body"]
    n = loop["carries"] if loop.op == "scan" else 0
    kept = [i for i in range(len(body.results) - n) if any(k not in ("start", "final") and i == at for k, at in used)]
    body = replace(body, results=body.results[:n] + tuple(body.results[n + i] for i in kept))
    if any(v.op == "scan" for v in body.order()):
        body = prune_loops(body, b)
    needed = {v["name"] for v in body.order() if v.op == "param"}
    chosen = [i for i, p in enumerate(body.params) if i < n or p.name in needed]
    xs = sum(n <= i < n + loop["xs"] for i in chosen)
    made = replace(body, params=tuple(body.params[i] for i in chosen))
    attrs = dict(loop.attrs) | {"body": made, "xs": xs}
    given = [args[i] for i in chosen] + args[len(body.params):]              # the count of a scan over tokens stays
    return b.make(loop.op, given, loop.axes, loop.dtype, **attrs), {i: at for at, i in enumerate(kept)}
