"""Per-token terms to tile values: stateless arithmetic over the tokens of a chunk-table row.

A vector of dimension D has the axis D; a matrix [A, B] has A and B, or A and `A~` when both are the same dimension.
`delay` becomes a load of earlier tokens with a mask for those before the start.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Mapping

from ..diagnostics import NotLowered
from ..ir.builder import Builder
from ..ir.nodes import Param, Program, Result, Value, dim_axis
from ..symbolic.definite import Definite
from ..symbolic.model import Model
from ..symbolic.terms import Shape, Term, walk
from .rewrite import widen

UNARY = {"logfloor", "exp", "log", "sqrt", "abs", "sign", "sigmoid", "logsigmoid", "softplus", "tanh", "relu", "silu", "gelu", "erf", "neg"}
BINARY = {"add", "sub", "mul", "div", "minimum", "maximum"}
KNOWN = {"state", "atom", "online", "after", "mixsoftmax"}
_MADE_OF_VECTORS = ("diag", "outer")
EPS = 1e-6                       # of l2norm and layernorm, from the spec language


def axes_of(shape: Shape) -> tuple[str, ...]:
    """Axis names of a term's shape."""
    names = [dim_axis(s) for s in shape]
    if len(names) == 2 and names[0] == names[1]:
        names[1] += "~"
    return tuple(names)


@dataclass(frozen=True)
class Nature:
    """Of a term: whether it depends on states; on what only the caller of an emitter knows; on the token's inputs; and whether a matrix of
    the token is needed for it."""

    of_states: bool
    known: bool
    of_token: bool
    whole: bool


class Emitter:
    """Emits terms. `leaf` answers leaves that only the caller knows: states, atoms, a cache's names, softmax over
    memories, `after`; it gets (term, shift) and returns a value.

    `within_segment`: whether `delay` sees only the tokens of the current segment.
    """

    def __init__(self, b: Builder, model: Model, params: Mapping[str, Param],
                 leaf: Callable[[Term], Value] | None = None, within_segment: bool = False):
        self.b, self.model, self.params, self.leaf, self.within_segment = b, model, params, leaf, within_segment
        self.memo: dict[tuple[int, int], Value] = {}
        self.natures: dict[int, Nature] = {}
        self.lets = {id(t): name for name, t in model.lets.items()}

    def child(self, leaf: Callable[[Term], Value], within_segment: bool | None = None) -> "Emitter":
        within = self.within_segment if within_segment is None else within_segment
        return Emitter(self.b, self.model, self.params, leaf, within)

    def emit(self, t: Term, shift: int = 0) -> Value:
        key = (id(t), shift)
        if key not in self.memo:
            pos = self.b.pos
            value = self.b.called(self.token_by_token(t, shift) or self._emit(t, shift), self.lets.get(id(t), "") if not shift else "")
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
            case op if op in KNOWN:
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

    def token_by_token(self, t: Term, shift: int) -> Value | None:
        """A number or vector of inputs that a matrix of every token is needed for: by a scan over tokens that carries nothing."""
        if len(t.shape) == 2 or not (nature := self.nature(t)).whole or nature.known:
            return None
        b, entered = self.b, Entered(self.b)
        value = TokenEmitter(self, entered, None).emit(t, shift)
        body = Program("tokens", tuple(entered.params()), (Result("made", "value", value.axes, ((value, 0),)),))
        args = [*entered.xs, *entered.consts, b.row("count")]
        loop = b.make("scan", args, (), "f", body=body, carries=0, xs=len(entered.xs), reverse=False, axis="c")
        return b.out(widen(b, loop, args), "y", 0)

    def nature(self, t: Term) -> Nature:
        if id(t) not in self.natures:
            for x in walk(t):
                below = [self.natures[id(a)] for a in x.args]
                apart = [i for i, a in enumerate(x.args) if x.op == "matmul" and a.op == "diag"]              # its vector alone is needed
                of_token = any(n.of_token for n in below) or (x.op == "input" and self.params[x["name"]].kind == "token")
                self.natures[id(x)] = Nature(
                    x.op in ("state", "atom") or any(n.of_states for n in below), x.op in KNOWN or any(n.known for n in below), of_token,
                    (of_token and len(x.shape) == 2) or any(n.whole for i, n in enumerate(below) if i not in apart)
                    or any(self.natures[id(x.args[i].args[0])].whole for i in apart))
        return self.natures[id(t)]

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


class Entered:
    """Values that a loop's body uses: what has the loop's axis comes element by element, the rest as it is. Numbers are spread
    `along` an axis, if any."""

    def __init__(self, b: Builder, stem: str = "x", rows: bool = False, along: str = ""):
        self.b, self.stem, self.axis, self.along = b, stem, "r" if rows else "c", along
        self.found: dict[int, tuple[Param, Value]] = {}

    def enter(self, value: Value) -> Value:
        if value.op in ("const", "size"):
            return value
        if id(value) not in self.found:
            axes = tuple(a for a in value.axes if a != self.axis and (a != "r" or self.axis == "r"))
            self.found[id(value)] = Param(f"{self.stem}.{len(self.found)}", "value", axes, dtype=value.dtype), value
        entered = self.b.param(self.found[id(value)][0])
        return self.b.spread(entered, self.along) if self.along and value.dtype == "f" else entered

    @property
    def xs(self) -> list[Value]:
        return [v for _, v in self.found.values() if self.axis in v.axes]

    @property
    def consts(self) -> list[Value]:
        return [v for _, v in self.found.values() if self.axis not in v.axes]

    def params(self) -> list[Param]:
        return [p for p, v in sorted(self.found.values(), key=lambda pv: self.axis not in pv[1].axes)]


class TokenEmitter(Emitter):
    """Emits terms inside the body of a scan over tokens, where a value has no token: what holds no state and no matrix of the token comes
    from outside."""

    def __init__(self, outer: Emitter, entered: Entered, leaf: Callable[[Term], Value] | None):
        super().__init__(outer.b, outer.model, outer.params, leaf, outer.within_segment)
        self.outer, self.entered = outer, entered

    def emit(self, t: Term, shift: int = 0) -> Value:
        key = (id(t), shift)
        if key not in self.memo and self.outside(t):
            self.memo[key] = self.entered.enter(self.outer.emit(t, shift))
        return super().emit(t, shift)

    def outside(self, t: Term) -> bool:
        return not self.nature(t).of_states and not self.nature(t).whole and not (len(t.shape) == 2 and t.op in _MADE_OF_VECTORS)

    def _input(self, t: Term, shift: int) -> Value:
        return self.entered.enter(self.outer._input(t, shift))

    def reaches(self, shift: int) -> Value:
        return self.entered.enter(self.outer.reaches(shift))

    def token_by_token(self, t: Term, shift: int) -> Value | None:
        return None
