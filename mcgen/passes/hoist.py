"""What a scan over rows makes of its row alone leaves it, where it takes an inverse: it is computed for all rows at once."""
from __future__ import annotations

from dataclasses import replace
from typing import Callable

from ..ir.builder import Builder
from ..ir.nodes import Param, Program, Value, scan_axis
from .rewrite import Rebuilder, rebuild_program


def hoist(program: Program, b: Builder) -> Program:
    """Ensures: the same results; no inverse in a scan whose matrix the scan is given."""
    def hook(rebuilder: Rebuilder, value: Value, args: list[Value]) -> Value | None:
        return hoisted(b, value, args, lambda v: v.op == "inverse") if value.op == "scan" and scan_axis(value) == "r" else None

    return rebuild_program(program, b, hook)


def hoisted(b: Builder, scan: Value, args: list[Value], leaves: Callable[[Value], bool]) -> Value | None:
    """The scan on these arguments without what is made of values that `leaves` says, if it knows nothing of the carries; None if
    there is nothing."""
    body: Program = scan["body"]
    n, m = scan["carries"], scan["xs"]
    carries = {p.name for p in body.params[:n]}
    dear: set[int] = set()                           # ids of what is made of them
    free: dict[int, bool] = {}                       # whether a value knows nothing of the carries
    leaving: dict[int, Value] = {}
    for v in body.order():
        free[id(v)] = not (v.op == "param" and v["name"] in carries) and all(free[id(a)] for a in v.args)
        if leaves(v) or any(id(a) in dear for a in v.args):
            dear.add(id(v))
        if not free[id(v)]:
            leaving |= {id(a): a for a in v.args if free[id(a)] and id(a) in dear}
    leaving |= {id(v): v for v in body.roots() if free[id(v)] and id(v) in dear}
    if not leaving:
        return None
    # scans of one kernel may meet: a name of its own in every body, also in one that something left before
    more = [Param(f"hoisted.{body.params[0].name}.{len(body.params) + i}", "value", tuple(a for a in v.axes if a != scan_axis(scan)), dtype=v.dtype)
            for i, v in enumerate(leaving.values())]
    made = rebuild_program(body, b, replaced={key: b.param(p) for key, p in zip(leaving, more)})
    made = replace(made, params=(*body.params[:n + m], *more, *body.params[n + m:]))
    bound = {p.name: a for p, a in zip(body.params[n:], args[n:])}
    outside = Rebuilder(b, hook=lambda r, v, a: bound.get(v["name"]) if v.op == "param" else None)
    extra = outside.rebuild(list(leaving.values()))
    return b.make("scan", [*args[:n + m], *extra, *args[n + m:]], (), "f", **{**dict(scan.attrs), "body": made, "xs": m + len(more)})
