"""Makes loops carry less: what a loop over rows or slots computes but does not need itself moves out of it, or into a sum.

* A scan's output that is a reduction of the carry, given by the scan's other outputs, is computed from those outside: the
  scan is then elementwise in the axes that it would have reduced, and can be cut into blocks along them.
* A slots loop's output summed over rows, or given to the memories of digits, becomes that sum, over all slots at once: a sum
  of its own instead of a part of every row's loop.
* A large sum over slots without rows becomes a slots loop, so that no [n, K, V] tile exists.
"""
from __future__ import annotations

from ..ir.builder import Builder
from ..ir.nodes import Param, Program, Result, Value, is_dim, order
from .prune_loops import prune_loops
from .rewrite import Rebuilder, inline, rebuild_program, remake


def thin(program: Program, b: Builder) -> Program:
    """Requires: a chunk-level program after loop_slots. Ensures: an equal one."""
    used = {(id(v.args[0]), v["kind"], v["index"]) for v in program.order() if v.op == "out"}

    def hook(rebuilder: Rebuilder, value: Value, args: list[Value]) -> Value | None:
        if value.op == "out" and value["kind"] == "stack" and _no_rows(value.args[0]["body"].results[value["index"]]):
            return _of_all_slots(rebuilder, value)
        if value.op == "out" and value["kind"] == "give":
            return b.give(_of_all_slots(rebuilder, value), b.iota("n"))
        if value.op == "out" and value["kind"] == "y":
            return _outside(rebuilder, value, args[0], used)
        if value.op == "sum" and value["over"] == ("n",) and "r" not in args[0].axes and sum(map(is_dim, args[0].axes)) > 1:
            return _summed(b, args[0])
        return None

    return prune_loops(rebuild_program(program, b, hook), b)


# -- scans -------------------------------------------------------------------------------------------------------------

def _outside(rebuilder: Rebuilder, out: Value, scan: Value, used: set) -> Value | None:
    """A reduction of the carry in terms of the scan's other outputs, all of which are wanted anyway; else None."""
    b, old = rebuilder.b, out.args[0]
    body, n = old["body"], old["carries"]
    root = body.results[n + out["index"]].parts[0][0]
    carried = {p.name for p in body.params[:n]}
    below = order([root])
    if not any(v.op in ("dot", "sum", "max") and any(x.op == "param" and x["name"] in carried for x in order([v])) for v in below):
        return None
    known: dict[int, Value] = {}
    for i, r in enumerate(body.results[n:]):
        value = r.parts[0][0]
        if value is not root and (id(old), "y", i) in used and (value.args or value.op == "param"):
            known[id(value)] = b.out(scan, "y", i)
    for i, p in enumerate(body.params[:n]):
        if (id(old), "start", i) in used:
            known[id(b.param(p))] = b.out(scan, "start", i)
    for p, arg in zip(body.params[n:], scan.args[n:]):
        known[id(b.param(p))] = arg
    made = Rebuilder(b, known)
    value = made.rebuild([root])[0]
    return None if any(v.op == "param" and v["name"] in carried for v in order([value])) else value


# -- slots -------------------------------------------------------------------------------------------------------------

def _no_rows(result: Result) -> bool:
    return "r" not in result.axes


def _of_all_slots(rebuilder: Rebuilder, out: Value) -> Value:
    loop = out.args[0]
    bound = {p.name: rebuilder.rebuild([a])[0] for p, a in zip(loop["body"].params, loop.args)}
    return inline(rebuilder.b, loop["body"], bound)[out["index"]]


def _summed(b: Builder, x: Value) -> Value:
    """sum over n of x as a loop."""
    xs: dict[int, tuple[Param, Value]] = {}
    consts: dict[int, tuple[Param, Value]] = {}

    def inner(v: Value) -> Value:
        if v.op == "map" and "n" in v.axes:
            return remake(b, v, [inner(a) for a in v.args])
        if v.op in ("const", "size"):
            return v
        kind = xs if "n" in v.axes else consts
        name = f"summed_{'x' if kind is xs else 'k'}{len(kind)}"
        return b.param(kind.setdefault(id(v), (Param(name, "value", tuple(a for a in v.axes if a != "n"), dtype=v.dtype), v))[0])

    value = inner(x)
    every = [*xs.values(), *consts.values()]
    body = Program("summed", tuple(p for p, _ in every), (Result("out0", "sum", value.axes, ((value, 0),)),))
    return b.slots(body, [v for _, v in xs.values()], [v for _, v in consts.values()])[0]
