"""Maps, reductions and cumulative sums: a nest of loops, one of them a vector wide, around an expression.

The vector axis is the one along which most references are contiguous. A subexpression is computed in the outermost loop that
knows all its axes, so a factor of a row is computed once per row, on its own.
"""
from __future__ import annotations

from contextlib import contextmanager

from .emit import HALVES, Value
from .expr import Expr
from .functions import apply
from .memory import Scope

LANES = 8


class Nest:
    """The loops of one statement. Vector loops are split in sections of (blocks, lanes, first position)."""

    def __init__(self, scope: Scope, upto=(), rows=None) -> None:
        self.scope, self.em = scope, scope.em
        self.base = len(self.em.frames) - 1
        self.vars: dict[str, object] = {}           # axis -> index
        self.depth: dict[str, int] = {}             # axis -> frame
        self.vector: str | None = None
        self.lanes = 1
        self.memo: list[tuple[int, dict]] = [(self.base, {})]
        self.bounds = {}
        self.acc: Value | None = None
        self.token_row = rows                       # axis c of a token -> its row's index and validity
        for axis, bound in upto:
            limit = self.em.as_index(self.value(bound))
            self.bounds[axis] = self.em.bind_index(self.em.clamp(limit, 0, scope.extent(axis)))

    def extent(self, axis: str):
        return self.bounds.get(axis, self.scope.extent(axis))

    @contextmanager
    def _frame(self, axis: str, index):
        self.vars[axis], self.depth[axis] = index, len(self.em.frames) - 1
        self.memo.append((len(self.em.frames) - 1, {}))
        yield index
        self.memo.pop()
        del self.vars[axis], self.depth[axis]

    @contextmanager
    def loop(self, axis: str, low=0, high=None):
        """A scalar loop over an axis."""
        with self.em.loop(low, self.extent(axis) if high is None else high, name="i") as index, self._frame(axis, index):
            yield index

    @contextmanager
    def loops(self, axes):
        if not axes:
            yield
            return
        with self.loop(axes[0]), self.loops(axes[1:]):
            yield

    def sections(self, axis: str | None) -> list[tuple[object, int, object]]:
        """The machine's lanes as often as they fit, eight where those do not, then the rest: one short vector. If the bound is not known
        eight lanes and scalars."""
        if axis is None:
            return [(1, 1, 0)]
        extent = self.extent(axis)
        if isinstance(extent, int):
            wide = extent // self.scope.options.lanes * self.scope.options.lanes
            full = extent // LANES * LANES
            found = ((wide, self.scope.options.lanes, 0), (full - wide, LANES, wide), (extent - full, max(extent - full, 1), full))
            return [(length // lanes, lanes, first) for length, lanes, first in found if length]
        full = self.em.bind_index(self.em.floordiv(extent, LANES))
        return [(full, LANES, 0), (extent - full * LANES, 1, full * LANES)]

    @contextmanager
    def section(self, axis: str | None, blocks, lanes: int, first):
        """The loop of one section: positions first + lanes * i of the axis."""
        if axis is None:
            yield
            return
        with self.em.loop(0, blocks, name="x") as step:
            with self._frame(axis, step * lanes + first):
                self.vector, self.lanes = axis, lanes
                yield
                self.vector, self.lanes = None, 1

    @contextmanager
    def lanes_at(self, axis: str, first, depth: int, memo: list | None, lanes: int = LANES):
        """So many lanes from one position of the axis on, which the frame at `depth` fixes. memo: None: the caller's own are in place."""
        self.vars[axis], self.depth[axis], self.vector, self.lanes = first, depth, axis, lanes
        if memo is not None:
            self.memo.append((depth, {}))
        yield
        if memo is not None:
            self.memo.pop()
        del self.vars[axis], self.depth[axis]
        self.vector, self.lanes = None, 1

    def known_outside(self, expr: Expr, axes: set[str]) -> None:
        """Computes the largest parts of an expression that depend on none of the axes."""
        if expr.op in ("const", "acc"):
            return
        if expr.axes & axes:
            for arg in expr.args:
                self.known_outside(arg, axes)
        else:
            self.value(expr)

    # expressions

    def level_of(self, expr: Expr) -> int:
        """The outermost frame in which all that an expression depends on is known."""
        return max([self.base, *(self.depth[a] for a in expr.axes if a in self.depth)])

    def value(self, expr: Expr) -> Value:
        """The expression at the current position, bound in the outermost frame that knows it."""
        if expr.op == "const":
            return self.em.const(expr.attr, expr.dtype)
        if expr.op == "acc":
            return self.acc
        has_acc = _has_acc(expr)
        level = len(self.em.frames) - 1 if has_acc else self.level_of(expr)
        memo = next(m for depth, m in reversed(self.memo) if depth <= level)
        if not has_acc and id(expr) in memo:
            return memo[id(expr)][1]
        value = self._compute(expr, level)
        if not has_acc:
            memo[id(expr)] = (expr, value)
        return value

    def _compute(self, expr: Expr, level: int) -> Value:
        em = self.em
        match expr.op:
            case "ref":
                return em.bind(self.read(expr), level)
            case "scalar":
                return self.scalar(expr.attr)
            case "iota":
                index = self.vars[expr.attr] if expr.attr in self.vars else self.scope.loops[expr.attr]
                return em.bind(em.lanes_from(index, self.lanes if expr.attr == self.vector else 1), level)
        if expr.op in ("add", "sub"):
            fused = self.fused(expr, level)
            if fused is not None:
                return em.bind(fused, level)
        args = [self.value(arg) for arg in expr.args]
        match expr.op:
            case "add" | "sub" | "mul" | "div" | "floordiv" | "mod" | "lt" | "le" | "gt" | "ge" | "eq" | "ne" | "and" | "or":
                return em.bind(em.binary(expr.op, *args), level)
            case "bits":
                return em.bind(em.bits(expr.attr, *args), level)
            case "not":
                return em.bind(em.not_(args[0]), level)
            case "neg":
                zero = em.const(-0.0 if expr.dtype[0] == "f" else 0, expr.dtype, args[0].lanes)
                return em.bind(em.binary("sub", zero, args[0]), level)
            case "select":
                return em.bind(em.select(*args), level)
            case "cast":
                return em.bind(em.cast(args[0], expr.dtype), level)
            case "minimum" | "maximum":
                return self.extreme(expr.op, *args, level)
            case op:
                return apply(em, op, args[0], level, expr.attr)

    def fused(self, expr: Expr, level: int) -> Value | None:
        """x + a * b, x - a * b, a * b - x in one rounding, for a product that is computed here and nowhere else."""
        for one, other in ((1, 0), (0, 1)):
            found = self.product(expr.args[one], level)
            if found is not None:
                sign, a, b = found
                rest = self.value(expr.args[other])
                if expr.op == "sub" and one == 1:
                    sign = -sign
                elif expr.op == "sub":
                    rest = self.negative(rest)
                a = self.value(a)
                return self.em.fma(self.negative(a) if sign < 0 else a, self.value(b), rest)
        return None

    def product(self, expr: Expr, level: int) -> tuple[int, Expr, Expr] | None:
        """(sign, a, b) of a product of floats that has to be computed at this level."""
        sign = 1
        while True:
            if expr.dtype[0] != "f" or self.level_of(expr) != level or self.known(expr, level) or _has_acc(expr):
                return None
            if expr.op == "neg":
                sign, expr = -sign, expr.args[0]
            elif expr.op == "mul" and expr.args[0].op == "const" and expr.args[0].attr == -1:
                sign, expr = -sign, expr.args[1]
            else:
                return (sign, *expr.args) if expr.op == "mul" else None

    def known(self, expr: Expr, level: int) -> bool:
        return id(expr) in next(m for depth, m in reversed(self.memo) if depth <= level)

    def negative(self, value: Value) -> Value:
        return self.em.binary("sub", self.em.const(-0.0, value.dtype, value.lanes), value)

    def extreme(self, op: str, a: Value, b: Value, level: int = -1) -> Value:
        """The smaller or larger; NaN if either is."""
        em = self.em
        wins = em.binary("lt" if op == "minimum" else "gt", a, b)
        if a.dtype[0] == "f":
            wins = em.binary("or", em.spread(wins, max(a.lanes, b.lanes)), em.binary("ne", a, a))
        return em.bind(em.select(em.bind(wins, level), a, b), level)

    def scalar(self, name: str) -> Value:
        if name.startswith("index:"):
            name = name[6:]
            if name in self.vars and name not in self.scope.loops:
                return self.em.from_index(self.vars[name])
            return self.em.from_index(self.scope.loops[name])
        try:
            return self.scope.scalars[name]
        except KeyError:
            raise ValueError(f"k.{name} is known inside k.rows() only") from None

    # references

    def place(self, ref: Expr):
        """(buffer, offset, stride along the vector axis or 0)."""
        access = ref.attr
        position = None if access.at is None else self.em.as_index(self.value(access.at))
        place = self.scope.places[access.storage.name]
        offset, along = self.scope.base_of(access, position), 0
        for axis, stride in self.scope.axis_strides(access):
            index = self.vars[axis] if axis in self.vars else self.scope.loops.get(axis)
            if index is None:
                raise ValueError(f"{access.storage.name}[{', '.join(access.index)}]: axis {axis!r} is not one of this statement's")
            if access.storage.kind == "token" and axis == access.index[0] and self.token_row is not None:
                index = self.token_row
            offset = index * stride + offset
            if axis == self.vector:
                along = stride if isinstance(along, int) and along == 0 else along + stride
        return place.buffer, offset, along

    def read(self, ref: Expr) -> Value:
        buffer, offset, along = self.place(ref)
        one = isinstance(along, int) and along == 0
        found = self.em.load(buffer, offset, ref.dtype) if one else self.em.load(buffer, offset, ref.dtype, self.lanes, along)
        return self.em.wide(found) if ref.dtype in HALVES else found

    def write(self, ref: Expr, value: Value, accumulate: bool = False) -> None:
        em = self.em
        buffer, offset, along = self.place(ref)
        half = ref.dtype in HALVES
        value = em.cast(value, "f32" if half else ref.dtype)
        vector = not (isinstance(along, int) and along == 0)
        if vector:
            value = em.spread(value, self.lanes)
        if half:
            assert not accumulate, "sums are not rounded before they are whole"
            value = em.rounded(value, ref.dtype)
        if accumulate:
            value = em.binary("add", em.load(buffer, offset, ref.dtype, value.lanes, along or 1), value)
        em.store(buffer, offset, value, along if vector else 1)


def _has_acc(expr: Expr) -> bool:
    return expr.op == "acc" or any(_has_acc(arg) for arg in expr.args)


def choose_vector(scope: Scope, axes, dst: Expr, values) -> str | None:
    """The axis along which most references are contiguous; writing counts double."""
    def score(axis: str) -> float:
        total = 0.0
        for ref, weight in [(dst, 2.0), *((r, 1.0) for v in values for r in v.refs())]:
            for name, stride in scope.axis_strides(ref.attr):
                if name == axis:
                    total += weight if isinstance(stride, int) and stride == 1 else -weight
        extent = scope.extent(axis)
        return total * (min(extent, LANES) if isinstance(extent, int) else LANES)
    best = max(axes, key=lambda a: (score(a), axes.index(a)), default=None)
    return best if best is not None and score(best) > 0 else None
