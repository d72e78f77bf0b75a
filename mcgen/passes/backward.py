"""The backward program: the forward program differentiated, with what to save decided.

Saved are the carries before each row of every scan (`saved.*`) and what the memory hands on anyway (the cached states
and summaries, results of the forward pass), but for carries that these tell; all else is computed again from the inputs. So the backward program holds
no forward scan over rows: a scan's outputs per row are its body, for all rows at once, applied to the saved carries.
"""
from __future__ import annotations

from dataclasses import replace

from ..ir.autodiff import vjp
from ..ir.builder import Builder
from ..ir.nodes import Param, Program, Result, Value, order
from .forward import Forward
from .rewrite import Rebuilder, inline
from .token_loops import scans_rows


def _starts(program: Program, b: Builder) -> list[tuple[Param, Value]]:
    """The carries before each row of every scan, as parameters of a backward program."""
    found = []
    for scan in program.order():
        if scan.op == "scan":
            for i, carry in enumerate(scan["body"].params[: scan["carries"]]):
                value = b.make("out", (scan,), ("r",) + carry.axes, kind="start", index=i)
                found.append((Param("saved." + carry.name.removeprefix("old."), "starts", carry.axes), value))
    return found


def build_backward(forward: Forward) -> Program:
    """Results: d.<param> for every floating parameter of the forward program; params: the forward's, its `new.cache.*`
    and `new.summary`, saved.*, and d.<result>."""
    b, program = forward.builder, forward.program
    values = program.order()
    differentiable = {p.name for p in program.params if p.dtype == "f"}
    leaves = [v for v in values if v.op in ("load", "param") and v["name"] in differentiable]
    cotangents, outputs = [], []
    for result in program.results:
        param = Param("d." + result.name, result.kind, result.axes)
        cotangents.append(param)
        given = b.load(param, fill=0.0) if result.kind == "token" else b.param(param)
        outputs.append((result.parts[0][0], given))
    grads = vjp(b, outputs, leaves)
    saved, replaced = [], {}
    for param, value in _starts(program, b):
        saved.append(param)
        replaced[id(value)] = b.param(param)
    reused = []
    for result in program.results:
        value = result.parts[0][0]
        if value.op == "collect":
            param = Param(result.name, result.kind, result.axes)
            reused.append(param)
            replaced[id(value)] = b.param(param)
    forward_scans = {id(v) for v in values if scans_rows(v)}

    def hook(rebuilder: Rebuilder, value: Value, args: list[Value]) -> Value | None:
        if value.op != "out" or id(value.args[0]) not in forward_scans:
            return None
        return _recompute(rebuilder, value)

    for start, same in forward.told:
        replaced[id(start)] = Rebuilder(b, replaced, hook).rebuild([same])[0]
    rebuilt = Rebuilder(b, replaced, hook).rebuild(grads)
    results = []
    for param in program.params:
        if param.name not in differentiable:
            continue
        parts = tuple((g, leaf["shift"] if leaf.op == "load" else 0) for leaf, g in zip(leaves, rebuilt) if leaf["name"] == param.name)
        kind = "memory" if param.kind == "head" else param.kind
        results.append(Result("d." + param.name, kind, param.axes, parts or ((b.zero(), 0),), param.delay))
    used = {v["name"] for v in order(rebuilt) if v.op in ("load", "param")}
    every = [*program.params, *reused, *saved, *cotangents]
    kept = tuple(p for p in every if p in program.params or p.name in used or p in cotangents)
    return Program(program.name + "_backward", kept, tuple(results), "chunk", program.segment)


def _recompute(rebuilder: Rebuilder, value: Value) -> Value:
    """A per-row output of a forward scan, from the saved carries."""
    scan = value.args[0]
    body: Program = scan["body"]
    n = scan["carries"]
    assert value["kind"] == "y", "only rows' outputs of a forward scan are needed again"
    bound = {}
    starts = [rebuilder.b.make("out", (scan,), ("r",) + p.axes, kind="start", index=i) for i, p in enumerate(body.params[:n])]
    for param, start in zip(body.params[:n], starts):
        bound[param.name] = rebuilder.rebuild([start])[0]
    for param, arg in zip(body.params[n:], scan.args[n:]):
        bound[param.name] = rebuilder.rebuild([arg])[0]
    return inline(rebuilder.b, body, bound)[n + value["index"]]


def with_saved(forward: Forward, backward: Program) -> Program:
    """The forward program that also returns the carries that the backward program takes."""
    wanted = {p.name for p in backward.params}
    extra = tuple(Result(p.name, "starts", p.axes, ((value, 0),)) for p, value in _starts(forward.program, forward.builder)
                  if p.name in wanted)
    return replace(forward.program, results=forward.program.results + extra)
