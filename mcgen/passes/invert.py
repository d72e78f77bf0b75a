"""Triangular systems of a row's tokens as products with the inverse matrix, which GPUs multiply faster than they substitute.

The inverse depends on no state, so a scan over rows takes it as an argument: it is computed for all rows at once, once for a
system and its transposed form.
"""
from __future__ import annotations

from dataclasses import replace

from ..ir.builder import Builder
from ..ir.nodes import Param, Program, Value, scan_axis
from .rewrite import Rebuilder, rebuild_program


def invert(program: Program, b: Builder) -> Program:
    """Requires: one value a token in every system (`unstack`). Ensures: no `solve` is left."""
    return rebuild_program(program, b, _hook)


def _hook(rebuilder: Rebuilder, value: Value, args: list[Value]) -> Value | None:
    b = rebuilder.b
    if value.op == "solve":
        return solved(b, b.inverse(args[0]), args[1], value["transposed"])
    if value.op == "scan" and scan_axis(value) == "r":
        return _scan(b, value, args)
    return None


def solved(b: Builder, inverse: Value, x: Value, transposed: bool) -> Value:
    """The inverse, or its transposed, times x over c."""
    if transposed:
        return b.rename(b.dot(inverse, b.spread(x, "c"), ["c"]), {"d": "c"})
    return b.dot(inverse, b.rename(b.spread(x, "c"), {"c": "d"}), ["d"])


def _scan(b: Builder, scan: Value, args: list[Value]) -> Value:
    """The scan with inverses of its arguments for further ones."""
    body: Program = scan["body"]
    n, m = scan["carries"], scan["xs"]
    given = {p.name: i for i, p in enumerate(body.params) if n <= i < n + m}
    more: dict[str, Param] = {}

    def hook(rebuilder: Rebuilder, value: Value, inner: list[Value]) -> Value | None:
        matrix = inner[0] if value.op == "solve" else None
        if matrix is not None and matrix.op == "param" and matrix["name"] in given:
            name = matrix["name"]
            param = more.setdefault(name, Param(f"inverse.{name}", "value", body.params[given[name]].axes))
            return b.called(solved(b, b.param(param), inner[1], value["transposed"]), value.name)
        return _hook(rebuilder, value, inner)

    made = rebuild_program(body, b, hook)
    made = replace(made, params=(*body.params[:n + m], *more.values(), *body.params[n + m:]))
    extra = [b.called(b.inverse(args[given[name]]), "inverse") for name in more]
    return b.make("scan", [*args[:n + m], *extra, *args[n + m:]], (), "f", **{**dict(scan.attrs), "body": made, "xs": m + len(extra)})
