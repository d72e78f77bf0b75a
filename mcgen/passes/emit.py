"""Per-token terms to tile values: stateless arithmetic over the tokens of a chunk-table row.

A vector of dimension D has the axis D; a matrix [A, B] has A and B, or A and `A~` when both are the same dimension.
`delay` becomes a load of earlier tokens with a mask for those before the start.
"""
from __future__ import annotations

from typing import Callable, Mapping

from ..diagnostics import NotLowered
from ..ir.builder import Builder
from ..ir.nodes import Param, Value, dim_axis
from ..symbolic.definite import Definite
from ..symbolic.model import Model
from ..symbolic.terms import Shape, Term

UNARY = {"logfloor", "exp", "log", "sqrt", "abs", "sign", "sigmoid", "logsigmoid", "softplus", "tanh", "relu", "silu", "gelu", "erf", "neg"}
BINARY = {"add", "sub", "mul", "div", "minimum", "maximum"}
EPS = 1e-6                       # of l2norm and layernorm, from the spec language


def axes_of(shape: Shape) -> tuple[str, ...]:
    """Axis names of a term's shape."""
    names = [dim_axis(s) for s in shape]
    if len(names) == 2 and names[0] == names[1]:
        names[1] += "~"
    return tuple(names)


class Emitter:
    """Emits terms. `leaf` answers leaves that only the caller knows: states, atoms, a cache's names, softmax over
    memories, `after`; it gets (term, shift) and returns a value.

    `within_segment`: whether `delay` sees only the tokens of the current segment.
    """

    def __init__(self, b: Builder, model: Model, params: Mapping[str, Param],
                 leaf: Callable[[Term], Value] | None = None, within_segment: bool = False):
        self.b, self.model, self.params, self.leaf, self.within_segment = b, model, params, leaf, within_segment
        self.memo: dict[tuple[int, int], Value] = {}
        self.lets = {id(t): name for name, t in model.lets.items()}

    def child(self, leaf: Callable[[Term], Value], within_segment: bool | None = None) -> "Emitter":
        within = self.within_segment if within_segment is None else within_segment
        return Emitter(self.b, self.model, self.params, leaf, within)

    def emit(self, t: Term, shift: int = 0) -> Value:
        key = (id(t), shift)
        if key not in self.memo:
            pos = self.b.pos
            value = self.b.called(self._emit(t, shift), self.lets.get(id(t), "") if not shift else "")
            self.b.pos = pos                    # what the caller makes of it comes from the caller's line
            if len(t.shape) == 2 and "c" in value.axes:
                raise NotLowered(f"a matrix for every token outside a product ('{t.op}')", t.pos)
            self.memo[key] = value
        return self.memo[key]

    def _emit(self, t: Term, shift: int) -> Value:
        b = self.b
        if t.pos.line and t.args:
            b.pos = t.pos
        match t.op:
            case "num":
                return b.const(t["value"])
            case "size":
                return b.size(dim_axis(t["dim"]))
            case "const":
                return b.called(self.emit(self.model.constants[t["name"]]), t["name"])
            case "input":
                return self._input(t, shift)
            case "delay":
                return self._delay(t.args[0], shift + t["n"])
            case "window":
                return b.add(*(self._delay(t.args[0], shift + n) if n or shift else self.emit(t.args[0]) for n in range(t["n"])))
            case "grad":
                raise NotLowered(f"'{t.op}'", t.pos)
            case "state" | "atom" | "online" | "after" | "mixsoftmax":
                if self.leaf is None:
                    raise NotLowered(f"'{t.op}' in this place", t.pos)
                return self.leaf(t)
        if t.op == "matmul" and t.args[0].op == "diag":
            return b.map("mul", self.emit(t.args[0].args[0], shift), self.emit(t.args[1], shift))
        if t.op == "matmul" and t.args[1].op == "diag":
            columns = b.rename(self.emit(t.args[1].args[0], shift), {dim_axis(t.shape[1]): axes_of(t.shape)[1]})
            return b.map("mul", self.emit(t.args[0], shift), columns)
        args = [self.emit(a, shift) for a in t.args]
        if t.op in UNARY:
            return b.map(t.op, *args)
        if t.op in BINARY:
            return b.map(t.op, *args)
        return getattr(self, "_" + t.op)(t, *args)

    # -- leaves ------------------------------------------------------------------------------------------------
    def _input(self, t: Term, shift: int) -> Value:
        param = self.params[t["name"]]
        if param.kind == "head":
            return self.b.param(param)
        return self.b.load(param, shift)

    def _delay(self, t: Term, shift: int) -> Value:
        value = self.emit(t, shift)
        return self.b.map("choose", self.reaches(shift), value, self.b.zero()) if shift else value

    def reaches(self, shift: int) -> Value:
        """Whether the token `shift` before this one exists (in the segment, or in the sequence): over r and c."""
        b = self.b
        place = b.map("add", b.iota("c"), b.row("offset"))
        if not self.within_segment and self.model.cache is not None:
            earlier = b.map("mul", b.map("float", b.row("segment")), b.const(self.model.cache.segments.length))
            place = b.map("add", b.map("float", place), earlier)
        return b.map("ge", place, b.const(shift))

    # -- functions ---------------------------------------------------------------------------------------------
    def _pow(self, t, x, e): return self.b.map("pow", x, e)

    def _huber(self, t, x, d):
        b = self.b
        size = b.map("abs", x)
        inside = b.mul(b.const(0.5), x, x)
        outside = b.map("mul", d, b.map("sub", size, b.map("mul", d, b.const(0.5))))
        return b.map("choose", b.map("le", size, d), inside, outside)

    def _where(self, t, a, c, x, y): return self.b.map("choose", self.b.map(t["op"], a, c), x, y)

    def _sum(self, t, x):
        axes = axes_of(t.args[0].shape)
        axis = dict(t.attrs).get("axis")
        if axis is None:
            return self.b.sum(x, axes)
        return self._plain(self.b.sum(x, [axes[axis]]), axes[1 - axis])

    def _plain(self, x: Value, axis: str) -> Value:
        """A vector that came out of a matrix's second axis gets that dimension's plain axis name."""
        return self.b.rename(x, {axis: axis.rstrip("~")})

    def _mean(self, t, x):
        total = self.b.sum(x, axes_of(t.args[0].shape))
        return self.b.map("div", total, self.b.mul(*(self.b.size(dim_axis(s)) for s in t.args[0].shape)))

    def _norm(self, t, x):
        b = self.b
        square = b.sum(b.map("mul", x, x), axes_of(t.args[0].shape))
        some = b.map("gt", square, b.zero())          # the derivative of norm is 0 at 0
        return b.where(some, b.map("sqrt", b.where(some, square, b.const(1.0))))

    def _dot(self, t, x, y): return self.b.dot(x, y, axes_of(t.args[0].shape))

    def _transpose(self, t, x):
        a, c = axes_of(t.args[0].shape)
        return self.b.rename(x, {a: c, c: a}) if c.endswith("~") else x

    def _outer(self, t, x, y):
        first, second = axes_of(t.shape)
        return self.b.map("mul", x, self.b.rename(y, {dim_axis(t.shape[1]): second}))

    def _matmul(self, t, x, y):
        left = axes_of(t.args[0].shape)
        if len(t.args[1].shape) == 1:
            return self.b.dot(x, self.b.rename(y, {left[1].rstrip("~"): left[1]}), [left[1]])
        right = axes_of(t.args[1].shape)
        inner = left[1] + "'"
        product = self.b.dot(self.b.rename(x, {left[1]: inner}),
                             self.b.rename(y, {right[0]: inner, right[1]: axes_of(t.shape)[1]}), [inner])
        return product

    def _solve(self, t, matrix, x):
        row, second = axes_of(t.args[0].shape)
        column = row + "'"                      # an axis of its own: x may have the second one too
        solved = self.b.dense_solve(self.b.rename(matrix, {second: column}), x, row, column, Definite(self.model).semidefinite(t.args[0]))
        return self.b.rename(solved, {column: row})

    def _spread(self, t, x): return x          # constant along its axes: they may be missing

    def _diag(self, t, x):
        first, second = axes_of(t.shape)
        b = self.b
        return b.where(b.map("eq", b.iota(first), b.iota(second)), x)

    def _eye(self, t):
        first, second = axes_of(t.shape)
        b = self.b
        return b.where(b.map("eq", b.iota(first), b.iota(second)), b.const(1.0))

    def _index(self, t, x, i):
        b = self.b
        axis = axes_of(t.args[0].shape)[0]
        if i.axes:                                 # a level: beyond the end the last one
            i = b.map("minimum", i, b.map("sub", b.size(axis), b.const(1.0)))
        wanted = b.map("eq", b.map("float", b.iota(axis)), i)
        # an index that differs from memory to memory: a product, for nothing then is over tokens, memories and the axis
        row = b.dot(b.where(wanted, b.const(1.0)), x, [axis]) if i.axes else b.sum(b.where(wanted, x), [axis])
        return row if len(t.args[0].shape) == 1 else self._plain(row, axes_of(t.args[0].shape)[1])

    def _softmax(self, t, x):
        b, axis = self.b, axes_of(t.shape)[-1]
        e = b.map("exp", b.map("sub", x, b.map("stop", b.max(x, axis))))
        return b.map("div", e, b.sum(e, [axis]))

    def _l2norm(self, t, x):
        b, axis = self.b, axes_of(t.shape)[-1]
        square = b.sum(b.map("mul", x, x), [axis])
        return b.map("mul", x, b.map("div", b.const(1.0), b.map("sqrt", b.map("add", square, b.const(EPS)))))

    def _layernorm(self, t, x):
        b, axis = self.b, axes_of(t.shape)[-1]
        centred = b.map("sub", x, b.map("div", b.sum(x, [axis]), b.size(axis)))
        spread = b.map("div", b.sum(b.map("mul", centred, centred), [axis]), b.size(axis))
        return b.map("mul", centred, b.map("div", b.const(1.0), b.map("sqrt", b.map("add", spread, b.const(EPS)))))
