"""Reverse-mode differentiation of the tile program: one table, an entry an operation.

The cotangent of a value may lack axes of the value (it is constant along them) and never has more. Used for the
gradient of an objective at the front and for the backward pass at the back: before any lowering.
"""
from __future__ import annotations

from typing import Callable, Mapping, Sequence

from .branches import Clauses, guard, live
from .builder import Builder
from .functions import TABLE
from .nodes import Param, Program, Result, Value, order, scan_axis, sort_axes

Cotangents = dict[int, Value]


def vjp(b: Builder, outputs: Sequence[tuple[Value, Value]], wrt: Sequence[Value]) -> list[Value]:
    """sum over outputs of <cotangent, output>, differentiated by each of `wrt` (a zero constant where it has no part).

    Requires: every cotangent's axes are among its output's. Ensures: the same of the gradients.
    """
    values = order([value for value, _ in outputs])
    needed = _depends(values, wrt)
    counts = live(b, values, [value for value, _ in outputs])
    cotangents: Cotangents = {}
    pending: dict[int, dict[tuple[str, int], Value]] = {}

    def add(value: Value, cotangent: Value) -> None:
        if id(value) not in needed or _zero(cotangent):
            return
        cotangent = reduce_to(b, cotangent, value.axes)
        old = cotangents.get(id(value))
        if old is not None and _cotangent(value):
            for part in (old, cotangent):
                b.called(part, _cotangent(value) + "_part")
        cotangents[id(value)] = cotangent if old is None else b.map("add", old, cotangent)

    for value, cotangent in outputs:
        add(value, cotangent)
    wanted = {id(w) for w in wrt}
    for value in reversed(values):
        if id(value) not in needed:
            continue
        if value.op in ("scan", "slots"):
            got = pending.get(id(value))
            if got and value.op == "scan":
                for arg, cotangent in zip(value.args, _scan(b, value, got)):
                    add(arg, cotangent)
            continue
        cotangent = cotangents.get(id(value))
        if cotangent is None:
            continue
        if value.op == "out":
            pending.setdefault(id(value.args[0]), {})[(value["kind"], value["index"])] = cotangent
            continue
        if id(value) in wanted and not value.args:
            b.called(cotangent, _cotangent(value))
            continue
        if value.op != "map" and value.op not in RULES:
            raise NotImplementedError(f"no derivative for {value.op}")
        b.pos = value.pos
        b.called(cotangent, _cotangent(value))
        parts = _map(b, value, cotangent, counts[id(value)]) if value.op == "map" else RULES[value.op](b, value, cotangent)
        for arg, got_arg in zip(value.args, parts):
            if got_arg is not None:
                add(arg, got_arg)
    return [cotangents.get(id(w), b.zero()) for w in wrt]


def _cotangent(value: Value) -> str:
    """What a cotangent is called: d_ and the value's name."""
    name = value.name or str(value.get("name", ""))
    return "d_" + name if name else ""


def reduce_to(b: Builder, x: Value, axes: Sequence[str]) -> Value:
    """Sums x over the axes that it has beyond `axes`."""
    extra = [a for a in x.axes if a not in axes]
    return b.sum(x, extra) if extra else x


def _zero(x: Value) -> bool:
    return x.op == "const" and x["value"] == 0.0


def _depends(values: Sequence[Value], wrt: Sequence[Value]) -> set[int]:
    found = {id(w) for w in wrt}
    for value in values:
        if any(id(a) in found for a in value.args):
            found.add(id(value))
    return found


def _map(b: Builder, y: Value, g: Value, clauses: Clauses) -> tuple:
    grad, guarded = TABLE[y["fn"]].grad, guard(b, y, clauses)
    if grad is None:
        return (None,) * len(y.args)
    return tuple(None if x is None else _over(b, guarded(x), y.axes, arg) for x, arg in zip(grad(b, y.args, y, g), y.args))


def _over(b: Builder, x: Value, axes: Sequence[str], arg: Value) -> Value:
    """Summed over the axes along which the argument was broadcast, those that the cotangent x lacks too: it is constant
    along them, so that is a multiplication by their sizes."""
    missing = [a for a in axes if a not in arg.axes]
    return b.sum(x, missing) if missing else x


def _dot(b: Builder, y: Value, g: Value) -> tuple:
    left, right = y.args
    return b.contract(g, right, left.axes), b.contract(g, left, right.axes)


def _cumsum(b: Builder, y: Value, g: Value) -> tuple:
    return (b.cumsum(g, y["axis"], not y["reverse"], y["exclusive"]),)


def _segsum(b: Builder, y: Value, g: Value) -> tuple:
    """Token j is part of the sums from d < j to c >= j: sums of g over that rectangle, none of them a difference."""
    after = b.cumsum(b.spread(b.spread(g, "d"), "c"), "c", reverse=True, exclusive=y["exclusive"])
    inside = b.map("lt", b.iota("d"), b.iota("c"))
    return (b.sum(b.where(inside, after), ["d"]),)


def _solve(b: Builder, y: Value, g: Value) -> tuple:
    """x = (1 - L)^-1 r: dr = (1 - L)^-T dx and dL = dr x^T."""
    matrix, step = y.args[0], y["step"]
    dr = b.solve(matrix, b.spread(g, "c") if not step else b.spread(b.spread(g, step), "c"), not y["transposed"], step)
    left, right = (y, dr) if y["transposed"] else (dr, y)
    right = b.rename(right, {"c": "d", **({step: step + "~"} if step else {})})
    return b.contract(left, right, matrix.axes), dr


def _cumprod(b: Builder, y: Value, g: Value) -> tuple:
    """Never a quotient by f, which may be 0: what stands before a token times what comes after it."""
    f = y.args[0]
    return (b.map("mul", y, b.decayed(g, f, not y["reverse"])),)


def _decayed(b: Builder, y: Value, g: Value) -> tuple:
    x, f = y.args
    dx = b.decayed(g, f, not y["reverse"])
    return dx, b.map("mul", y, dx)


def _pair(b: Builder, y: Value, g: Value) -> tuple:
    (q, k, f), axis = y.args, y["axis"]
    g = b.spread(b.spread(g, "d"), "c")
    return b.papply(g, k, f, axis), b.papply(g, q, f, axis, True), b.pfactor(g, q, k, f, axis)


def _papply(b: Builder, y: Value, g: Value) -> tuple:
    (matrix, x, f), axis, turned = y.args, y["axis"], y["transposed"]
    g = b.spread(b.spread(g, axis), "d" if turned else "c")
    q, k = (x, g) if turned else (g, x)
    return b.pair(q, k, f, axis), b.papply(matrix, g, f, axis, not turned), b.pfactor(matrix, q, k, f, axis)


def _rename(b: Builder, y: Value, g: Value) -> tuple:
    return (b.rename(g, {new: old for old, new in y["moves"]}),)


def _dense_solve(b: Builder, y: Value, g: Value) -> tuple:
    """A y = x: dx = A^-T g, and dA = -dx y^T. A symmetric A is kept as it is, so that both systems are of one matrix."""
    matrix, x = y.args
    row, column = y["row"], y["column"]
    if y["definite"]:
        back = b.rename(b.dense_solve(matrix, b.rename(g, {column: row}), row, column, True), {column: row})
    else:
        back = b.dense_solve(matrix, g, column, row)
    return b.map("neg", b.contract(back, y, matrix.axes)), _over(b, back, [a for a in y.axes if a != y["column"]], x)


def _collect(b: Builder, y: Value, g: Value) -> tuple:
    x, old = y.args
    return _over(b, b.expose(g), y.axes[1:], x), _over(b, b.keep(g, y.axes[0]), y.axes, old)


def _expose(b: Builder, y: Value, g: Value) -> tuple:
    return (b.collect(g, b.zero(), "m" if "m" in y.args[0].axes else "n"),)


def _take(b: Builder, y: Value, g: Value) -> tuple:
    x, digit = y.args
    g = b.spread(b.spread(g, "n") if "n" in digit.axes else g, "r")
    return _over(b, b.give(g, digit), ("m", *(a for a in y.axes if a not in ("r", "n"))), x), None


def _give(b: Builder, y: Value, g: Value) -> tuple:
    x, digit = y.args
    return _over(b, b.take(g, digit), ("r", *digit.axes, *y.axes[1:]), x), None


RULES: dict[str, Callable[[Builder, Value, Value], tuple]] = {
    "sum": lambda b, y, g: (g,),
    "dot": _dot,
    "cumsum": _cumsum,
    "segsum": _segsum,
    "solve": _solve,
    "cumprod": _cumprod,
    "decayed": _decayed,
    "pair": _pair,
    "papply": _papply,
    "rename": _rename,
    "dense_solve": _dense_solve,
    "collect": _collect,
    "expose": _expose,
    "keep": lambda b, y, g: (b.keep(g, "m" if "m" in y.axes else "n"),),
    "take": _take,
    "give": _give,
    "topk": lambda b, y, g: (None,),
}


def _scan(b: Builder, loop: Value, got: Mapping[tuple[str, int], Value]) -> list[Value]:
    """The reversed scan. Its body is the derivative of the body, from the carries before each row or token.

    Cotangents of final carries start it; those of `start` outs and ys enter one by one. A constant of the body gets its
    share from every row, summed by one more reduction; from every token, summed on the way, since tokens are many.
    """
    body: Program = loop["body"]
    n, m, axis = loop["carries"], loop["xs"], scan_axis(loop)
    params = [b.param(p) for p in body.params]
    first = body.params[0].name              # carries have different names in all scans
    args, count = loop.args[:len(body.params)], loop.args[len(body.params):]
    lead = [a for c in count for a in c.axes]          # how many tokens count differs from row to row

    def without(value: Value) -> tuple[str, ...]:
        return sort_axes(a for a in (*lead, *value.axes) if a != axis)

    d_next = [b.declare(Param(f"d.{p.name}", "value", p.axes)) for p in body.params[:n]]
    outputs = [(r.parts[0][0], b.param(d)) for r, d in zip(body.results, d_next)]
    inputs: list[tuple[Param, Value]] = []

    def entering(name: str, value: Value) -> Value:
        inputs.append((b.declare(Param(f"{name}.{first}", "value", without(value))), value))
        return b.param(inputs[-1][0])

    for i, result in enumerate(body.results[n:]):
        if ("y", i) in got:
            outputs.append((result.parts[0][0], entering(f"dy.{i}", got["y", i])))
    grads = vjp(b, outputs, params)
    carried = []
    for i in range(n):
        total = grads[i]
        if ("start", i) in got:
            total = b.map("add", total, entering(f"ds.{i}", got["start", i]))
        carried.append(total)
    starts = [b.out(loop, "start", i) for i in range(n)]
    of_xs, of_consts = grads[n:n + m], grads[n + m:]
    results = [Result(p.name, "value", p.axes, ((c, 0),)) for p, c in zip(d_next, carried)]
    live = [i for i, g in enumerate(of_consts) if not _zero(g)] if axis == "c" else []
    sums = [b.declare(Param(f"sum.{body.params[n + m + i].name}.{first}", "value", sort_axes((*lead, *of_consts[i].axes)))) for i in live]
    results += [Result(p.name, "value", p.axes, ((b.map("add", b.param(p), of_consts[i]), 0),)) for p, i in zip(sums, live)]
    stacked = of_xs if axis == "c" else grads[n:]
    results += [Result(f"d.{p.name}", "value", sort_axes((*lead, *g.axes)), ((g, 0),)) for p, g in zip(body.params[n:], stacked)]
    reverse_body = Program(body.name + "_backward", (*d_next, *sums, *(p for p, _ in inputs), *body.params), tuple(results),
                           body.level, body.segment)
    inits = [got.get(("final", i), b.zero()) for i in range(n)] + [b.zero() for _ in sums]
    finals, _, ys = b.scan(reverse_body, inits, [v for _, v in inputs] + starts + list(args[n:n + m]), list(args[n + m:]),
                           not loop["reverse"], *count)
    d_xs = [y if not _zero(g) else b.zero() for y, g in zip(ys, of_xs)]
    totals = dict(zip(live, finals[n:])) if axis == "c" else {i: b.sum(y, ["r"]) for i, y in enumerate(ys[m:])}
    d_consts = [totals[i] if not _zero(g) else b.zero() for i, g in enumerate(of_consts)]
    return [_over(b, x, p.axes, arg) for x, p, arg in zip([*finals[:n], *d_xs, *d_consts], body.params, args)]
