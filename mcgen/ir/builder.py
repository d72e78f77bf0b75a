"""Makes values: interned, typed, and locally simplified.

Axes broadcast lazily: a value may lack axes along which it is constant, so a sum over an axis that a value lacks is a
multiplication by that axis's size. Zero is the constant 0 with no axes, and everything linear in it folds to it.
"""
from __future__ import annotations

import math
from typing import Any, Iterable, Mapping, Sequence

from .functions import TABLE
from .nodes import LEAD, NO_POS, Param, Pos, Program, Value, dim_of, scan_axis, sort_axes

_COMMUTATIVE = {"add", "mul", "minimum", "maximum", "and", "or", "eq", "ne"}


class Builder:
    """Values made by one builder are interned together; programs that share values must share a builder."""

    def __init__(self) -> None:
        self._table: dict[Any, Value] = {}
        self._serial: dict[int, int] = {}
        self.pos: Pos = NO_POS         # where values made now come from
        self.params: dict[str, Param] = {}

    # -- the one constructor -----------------------------------------------------------------------------------
    def make(self, op: str, args: Sequence[Value] = (), axes: Iterable[str] = (), dtype: str = "f", **attrs: Any) -> Value:
        items = tuple(sorted(attrs.items()))
        axes = tuple(axes)
        key = (op, tuple(map(id, args)), tuple((k, v, type(v)) for k, v in items), axes, dtype)
        found = self._table.get(key)
        if found is None:
            found = Value(op, tuple(args), items, axes, dtype, "", self.pos)
            self._table[key] = found
            self._serial[id(found)] = len(self._serial)
        return found

    @staticmethod
    def called(value: Value, name: str) -> Value:
        """The value, with a name for generated text if it has none yet: leaves have their own."""
        if name and not value.name and value.args:
            object.__setattr__(value, "name", name)         # for readers only: no part of its identity, see `Value`
        return value

    def serial(self, value: Value) -> int:
        return self._serial[id(value)]

    def zero(self) -> Value:
        return self.const(0.0)

    # -- leaves ------------------------------------------------------------------------------------------------
    def const(self, value: float) -> Value:
        return self.make("const", value=float(value))

    def size(self, axis: str) -> Value:
        return self.const(int(dim_of(axis))) if dim_of(axis).isdigit() else self.make("size", axis=axis)

    def iota(self, axis: str) -> Value:
        return self.make("iota", axes=(axis,), dtype="i", axis=axis)

    def row(self, field: str) -> Value:
        return self.make("row", axes=("r",), dtype="i", field=field)

    def declare(self, param: Param) -> Param:
        self.params[param.name] = param
        return param

    def param(self, param: Param) -> Value:
        return self.make("param", axes=LEAD.get(param.kind, ()) + param.axes, dtype=param.dtype, name=param.name)

    def load(self, param: Param, shift: int = 0, fill: float | None = None) -> Value:
        return self.make("load", axes=("r", "c") + param.axes, name=param.name, shift=shift, fill=fill)

    # -- elementwise -------------------------------------------------------------------------------------------
    def map(self, fn: str, *args: Value) -> Value:
        folded = _fold(self, fn, args)
        if folded is not None:
            return folded
        if fn in _COMMUTATIVE and self.serial(args[0]) > self.serial(args[1]):
            args = (args[1], args[0])
        axes = sort_axes(a for x in args for a in x.axes)
        dtype = TABLE[fn].dtype
        if fn in ("add", "sub", "mul", "neg") and all(x.dtype == "i" for x in args):
            dtype = "i"
        return self.make("map", args, axes, dtype, fn=fn)

    def add(self, *terms: Value) -> Value:
        total = self.zero()
        for term in terms:
            total = self.map("add", total, term)
        return total

    def mul(self, *factors: Value) -> Value:
        product = self.const(1.0)
        for factor in factors:
            product = self.map("mul", product, factor)
        return product

    def where(self, mask: Value, x: Value, y: Value | None = None) -> Value:
        return self.map("where", mask, x, y if y is not None else self.zero())

    def spread(self, x: Value, axis: str) -> Value:
        """x with the axis, along which it may be constant."""
        other = self.const(1.0) if _is(x, 0.0) else self.zero()         # never taken; equal branches would fold
        return x if axis in x.axes else self.where(self.map("ge", self.row("index") if axis == "r" else self.iota(axis), self.zero()), x, other)

    # -- reductions and products -------------------------------------------------------------------------------
    def sum(self, x: Value, over: Iterable[str]) -> Value:
        over = tuple(over)
        if _is(x, 0.0):
            return x
        for axis in over:
            if axis not in x.axes:
                x = self.map("mul", x, self.size(axis))
        inside = tuple(a for a in x.axes if a in over)
        if not inside:
            return x
        if x.op == "sum":
            return self.sum(x.args[0], inside + x["over"])
        if x.op == "map" and x["fn"] == "mul" and all(set(inside) <= set(a.axes) for a in x.args):
            return self.dot(*x.args, inside)
        return self.make("sum", (x,), tuple(a for a in x.axes if a not in inside), over=inside)

    def max(self, x: Value, over: str) -> Value:
        return self.make("max", (x,), tuple(a for a in x.axes if a != over), over=(over,)) if over in x.axes else x

    def dot(self, x: Value, y: Value, over: Iterable[str]) -> Value:
        over = tuple(dict.fromkeys(over))
        if _is(x, 0.0) or _is(y, 0.0):
            return self.zero()
        x, y = self.sum_missing(x, y, over)
        both = tuple(a for a in sort_axes(over) if a in x.axes and a in y.axes)
        if not both:
            return self.map("mul", x, y)
        if self.serial(x) > self.serial(y):
            x, y = y, x
        axes = sort_axes(a for a in (*x.axes, *y.axes) if a not in both)
        return self.make("dot", (x, y), axes, over=both)

    def sum_missing(self, x: Value, y: Value, over: Sequence[str]) -> tuple[Value, Value]:
        """Axes that only one factor has are summed in that factor; axes that neither has multiply by their size."""
        x_only = [a for a in over if a in x.axes and a not in y.axes]
        y_only = [a for a in over if a in y.axes and a not in x.axes]
        neither = [a for a in over if a not in x.axes and a not in y.axes]
        x, y = self.sum(x, x_only), self.sum(y, y_only)
        for axis in neither:
            x = self.map("mul", x, self.size(axis))
        return x, y

    def contract(self, x: Value, y: Value, keep: Iterable[str]) -> Value:
        """sum over every axis of x * y that is not kept."""
        keep = set(keep)
        return self.dot(x, y, [a for a in sort_axes((*x.axes, *y.axes)) if a not in keep])

    def cumsum(self, x: Value, axis: str, reverse: bool = False, exclusive: bool = False) -> Value:
        if _is(x, 0.0):
            return x
        if axis not in x.axes:     # constant along the axis: still a running sum, so give it the axis
            x = self.spread(x, axis)
        return self.make("cumsum", (x,), x.axes, axis=axis, reverse=reverse, exclusive=exclusive)

    def segsum(self, x: Value, exclusive: bool = False) -> Value:
        """x over c -> over c and d: the sum of x over the tokens after d up to c (`exclusive`: before c).

        Its own operation because of its derivative: a difference of running sums would have to cancel.
        """
        return x if _is(x, 0.0) else self.make("segsum", (x,), sort_axes((*x.axes, "d")), exclusive=exclusive)

    def solve(self, matrix: Value, x: Value, transposed: bool = False, step: str = "") -> Value:
        """(1 - L)^-1 x, with L over c and d, 0 unless d comes before c. `step`: an axis of steps inside a token; then L is
        over c, step, d, step~ and may join the steps of a token with those of earlier tokens. transposed: with L^T."""
        return x if _is(x, 0.0) else self.make("solve", (matrix, x), sort_axes((*matrix_rows(matrix), *x.axes)),
                                               transposed=transposed, step=step)

    def inverse(self, matrix: Value) -> Value:
        """(1 - L)^-1, with L over c and d, 0 unless d comes before c."""
        if _is(matrix, 0.0):
            return self.where(self.map("eq", self.iota("c"), self.iota("d")), self.const(1.0))
        return self.make("inverse", (matrix,), matrix.axes)

    # -- factors for each channel: f over c and an axis --------------------------------------------------------
    def cumprod(self, f: Value, reverse: bool = False) -> Value:
        """The product of f over the tokens before (`reverse`: after) each."""
        return f if _is(f, 1.0) else self.make("cumprod", (f,), f.axes, reverse=reverse)

    def decayed(self, x: Value, f: Value, reverse: bool = False) -> Value:
        """The sum of x over the tokens d before each token c, times f over the tokens between them (`reverse`: after)."""
        return x if _is(x, 0.0) else self.make("decayed", (x, f), sort_axes((*x.axes, *f.axes)), reverse=reverse)

    def pair(self, q: Value, k: Value, f: Value, axis: str) -> Value:
        """q over c, k over d: sum over the axis of q k, times f over the tokens between, 0 unless d is before c."""
        if _is(q, 0.0) or _is(k, 0.0):
            return self.zero()
        return self.make("pair", (q, k, f), sort_axes(("c", "d", *(a for x in (q, k, f) for a in x.axes if a != axis))), axis=axis)

    def papply(self, matrix: Value, x: Value, f: Value, axis: str, transposed: bool = False) -> Value:
        """x over d and the axis: sum over d before c of matrix x, times f over the tokens between; over c and the axis.
        transposed: x over c, the sum over c after d; over d and the axis."""
        if _is(matrix, 0.0) or _is(x, 0.0):
            return self.zero()
        gone, left = ("c", "d") if transposed else ("d", "c")
        axes = sort_axes(a for a in (left, *matrix.axes, *x.axes, *f.axes, axis) if a != gone)
        return self.make("papply", (matrix, x, f), axes, axis=axis, transposed=transposed)

    def pfactor(self, matrix: Value, q: Value, k: Value, f: Value, axis: str) -> Value:
        """The derivative by f of sum over d before c of matrix q k, times f over the tokens between: over c and the axis."""
        if any(_is(x, 0.0) for x in (matrix, q, k)):
            return self.zero()
        axes = sort_axes(a for a in ("c", *matrix.axes, *q.axes, *k.axes, *f.axes, axis) if a != "d")
        return self.make("pfactor", (matrix, q, k, f), axes, axis=axis)

    def channels(self, matrix: Value, q: Value, k: Value, f: Value, axis: str, part: str) -> Value:
        """The derivative of the same sum by q, k or f, which `part` names: over c, d or c, and the axis."""
        if any(_is(x, 0.0) for x in (matrix, q, k)):
            return self.zero()
        gone, left = ("c", "d") if part == "k" else ("d", "c")
        axes = sort_axes(a for a in (left, *matrix.axes, *q.axes, *k.axes, *f.axes, axis) if a != gone)
        return self.make("channels", (matrix, q, k, f), axes, axis=axis, part=part)

    def rename(self, x: Value, axes: Mapping[str, str]) -> Value:
        moved = {a: b for a, b in axes.items() if a in x.axes and a != b}
        if not moved:
            return x
        if x.op == "iota":
            return self.iota(moved[x["axis"]])
        if x.op == "rename":
            inner = dict(x["moves"])
            both = {a: moved.get(b, b) for a, b in inner.items()}
            both.update({a: b for a, b in moved.items() if a not in inner.values()})
            return self.rename(x.args[0], both)
        return self.make("rename", (x,), tuple(moved.get(a, a) for a in x.axes), x.dtype, moves=tuple(sorted(moved.items())))

    def dense_solve(self, matrix: Value, x: Value, row: str, column: str, definite: bool = False) -> Value:
        """The y over `column` with sum over `column` of matrix * y = x, for matrices over `row` and `column`; `definite`: symmetric ones
        with x . matrix x >= 0 for every x, of which a half may be all that is read."""
        if _is(x, 0.0):
            return x
        for axis in (row, column):
            matrix = self.spread(matrix, axis)
        axes = sort_axes(a for a in (*matrix.axes, *x.axes) if a != row)
        return self.make("dense_solve", (matrix, self.spread(x, row)), axes, row=row, column=column, definite=definite)

    # -- cache -------------------------------------------------------------------------------------------------
    def collect(self, x: Value, old: Value, slot: str = "n", of: Value | None = None) -> Value:
        """slot: n or m, what the slots are called. of: with x over l, which level's x is collected: truth over r and l."""
        axes = (slot,) + tuple(a for a in sort_axes((*x.axes, *old.axes)) if a not in ("r", "l", slot))
        return self.make("collect", (x, old) if of is None else (x, old, of), axes)

    def expose(self, x: Value) -> Value:
        return x if _is(x, 0.0) else self.make("expose", (x,), ("r",) + tuple(a for a in x.axes if a not in ("n", "m")))

    def keep(self, x: Value, slot: str = "n") -> Value:
        return x if _is(x, 0.0) else self.make("keep", (x,), sort_axes((slot, *x.axes)))

    def take(self, x: Value, digit: Value) -> Value:
        """x over m -> over r and what `digit` is over: the memory that a digit of the row's segment stands for, 0 for a digit 0."""
        return x if _is(x, 0.0) else self.make("take", (x, digit), sort_axes(("r", *digit.axes, *(a for a in x.axes if a != "m"))))

    def give(self, x: Value, digit: Value) -> Value:
        """x over r and what `digit` is over -> over m: the sum of what rows have for a memory, the transpose of `take`."""
        return x if _is(x, 0.0) else self.make("give", (x, digit), ("m",) + tuple(a for a in x.axes if a not in ("r", "n")))

    def topk(self, x: Value, k: int, digits: bool = False) -> Value:
        """The k largest of the memories before the row's segment, ties to the older. digits: n are those of the segment."""
        return self.make("topk", (x,), x.axes, "b", k=k, digits=digits)

    # -- loops -------------------------------------------------------------------------------------------------
    def scan(self, body: Program, carries: Sequence[Value], xs: Sequence[Value], consts: Sequence[Value],
             reverse: bool = False, count: Value | None = None) -> tuple[list[Value], list[Value], list[Value]]:
        """The body row after row; with `count`, token after token of a row, `count` of them. Returns final carries, carries
        before each row or token, ys: with r or c."""
        axis = {} if count is None else {"axis": "c"}
        loop = self.make("scan", (*carries, *xs, *consts, *([count] if count is not None else ())), (), "f", body=body,
                         carries=len(carries), xs=len(xs), reverse=reverse, **axis)
        return tuple([self.out(loop, kind, i) for i in range(n)] for kind, n in
                     (("final", len(carries)), ("start", len(carries)), ("y", len(body.results) - len(carries))))

    def out(self, loop: Value, kind: str, index: int) -> Value:
        """One result of a scan."""
        body, n = loop["body"], loop["carries"]
        if kind == "final":
            return self.make("out", (loop,), body.params[index].axes, kind=kind, index=index)
        axes = body.params[index].axes if kind == "start" else body.results[n + index].axes
        return self.make("out", (loop,), sort_axes((scan_axis(loop), *axes)), kind=kind, index=index)

    def slots(self, body: Program, xs: Sequence[Value], consts: Sequence[Value]) -> list[Value]:
        """The body for every slot; results of kind 'sum' lose n, those of kind 'stack' have it, those of kind 'give' are given to m."""
        loop = self.make("slots", (*xs, *consts), (), "f", body=body, xs=len(xs))

        def axes(r) -> tuple[str, ...]:
            if r.kind == "give":
                return ("m",) + tuple(a for a in r.axes if a != "r")
            return sort_axes((("n",) if r.kind == "stack" else ()) + r.axes)
        return [self.make("out", (loop,), axes(r), kind=r.kind, index=i) for i, r in enumerate(body.results)]


def matrix_rows(matrix: Value) -> tuple[str, ...]:
    """The axes that a solution has from its matrix: r and c, where it has them."""
    return tuple(a for a in matrix.axes if a in ("r", "c"))


def _is(x: Value, number: float) -> bool:
    return x.op == "const" and x["value"] == number


def _fold(b: Builder, fn: str, args: tuple[Value, ...]) -> Value | None:
    """Constant arithmetic and the neutral elements. Folding 0 * x to 0 is exact but for NaN and infinity in x, which a
    masked or unused value must not leak anyway."""
    if fn in ("add", "sub", "mul", "div", "neg") and all(a.op == "const" for a in args):
        numbers = [a["value"] for a in args]
        if fn == "div" and numbers[1] == 0:
            return None
        value = {"add": sum, "sub": lambda n: n[0] - n[1], "mul": math.prod, "neg": lambda n: -n[0],
                 "div": lambda n: n[0] / n[1]}[fn](numbers)
        return b.const(value)
    if fn == "add":
        return args[1] if _is(args[0], 0.0) else args[0] if _is(args[1], 0.0) else None
    if fn == "sub":
        return args[0] if _is(args[1], 0.0) else b.map("neg", args[1]) if _is(args[0], 0.0) else \
            b.zero() if args[0] is args[1] else None
    if fn == "mul":
        for x, y in (args, args[::-1]):
            if _is(x, 0.0):
                return x
            if _is(x, 1.0):
                return y
            if _is(x, -1.0):
                return b.map("neg", y)
        return None
    if fn == "div":
        return args[0] if _is(args[0], 0.0) or _is(args[1], 1.0) else None
    if fn == "neg" and args[0].op == "map" and args[0]["fn"] == "neg":
        return args[0].args[0]
    if fn in ("where", "choose"):
        if args[0].op == "map" and args[0].args and all(a.op == "const" for a in args[0].args):
            return args[1] if TABLE[args[0]["fn"]].value(*(a["value"] for a in args[0].args)) else args[2]
        return args[1] if args[1] is args[2] else None
    if fn == "pow" and args[1].op == "const":
        exponent = args[1]["value"]
        if exponent == 0:
            return b.const(1.0)
        if exponent == 1:
            return args[0]
        if exponent == 2:
            return b.map("mul", args[0], args[0])
    if fn == "stop" and args[0].op == "const":
        return args[0]
    return None
