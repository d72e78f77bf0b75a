"""Scans laid open: the bodies of all scans become values of the row, and a scan becomes a carry with a next value."""
from __future__ import annotations

from dataclasses import dataclass

from ..ir.builder import Builder
from ..ir.nodes import Program, Result, Value, scan_axis
from .rewrite import Rebuilder, inline


@dataclass(frozen=True)
class Carry:
    """name, axes, what it is before the first row, what it is after a row. Its value inside a row is carry(name)."""

    name: str
    axes: tuple[str, ...]
    init: Value
    next: Value


def open_scans(program: Program, b: Builder) -> tuple[Program, list[Carry], bool]:
    """The program without scans over rows, its carries, and whether rows run in reverse.

    Requires: all scans run the same way. A carry's value is the leaf carry(name) over r; after the rows, final(name).
    """
    opened: dict[int, tuple[list[str], list[Value]]] = {}
    carries: list[Carry] = []
    directions = {v["reverse"] for v in program.order() if v.op == "scan" and scan_axis(v) == "r"}
    if len(directions) > 1:
        raise ValueError(f"{program.name}: scans in both directions")

    def hook(rebuilder: Rebuilder, value: Value, args: list[Value]) -> Value | None:
        if value.op == "scan" and scan_axis(value) == "r":
            body: Program = value["body"]
            n = value["carries"]
            names = [p.name.removeprefix("old.") for p in body.params[:n]]
            bound = {p.name: b.make("carry", (), ("r",) + p.axes, name=name) for p, name in zip(body.params, names)}
            bound |= {p.name: a for p, a in zip(body.params[n:], args[n:])}
            results = inline(b, body, bound)
            for name, p, init, after in zip(names, body.params, args, results):
                carries.append(Carry(name, p.axes, init, after))
            opened[id(value)] = names, results
            return b.make("opened", (), (), at=len(opened))
        if value.op == "out" and id(value.args[0]) in opened:
            names, results = opened[id(value.args[0])]
            i = value["index"]
            axes = value.args[0]["body"].params[i].axes if value["kind"] != "y" else ()
            if value["kind"] == "final":
                return b.make("final", (), axes, name=names[i])
            if value["kind"] == "start":
                return b.make("carry", (), ("r",) + axes, name=names[i])
            return results[len(names) + i]
        return None

    rebuilder = Rebuilder(b, hook=hook)
    roots = iter(rebuilder.rebuild(program.roots()))
    results = tuple(Result(r.name, r.kind, r.axes, tuple((next(roots), s) for _, s in r.parts), r.delay) for r in program.results)
    return Program(program.name, program.params, results, "kernel", program.segment), carries, directions == {True}
