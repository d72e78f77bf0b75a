"""TileBuilder: what a kernel function calls. It records statements; nothing is computed.

    def forward(k):
        q = k.token("q", "K")                          # [B,T,H,K]
        y = k.token("y", "K", out=True)
        with k.sequences():                            # in parallel over batch and head
            q_ = k.tile("q_", "c", "K")                # scratch [C,K]
            with k.rows():                             # rows of the chunk table, in order
                k.load(q_["c","K"], q)
                k.map(q_["c","K"], q_["c","K"] * 2.0)
                k.store(y, q_["c","K"])
"""
from __future__ import annotations

from contextlib import contextmanager
from typing import Callable, Mapping, Sequence

from . import statements as st
from .expr import UNARY, Access, Expr, below, bits, cast, common, power, truth, two_to, unary, where, wrap
from .statements import Storage, View


class TileBuilder:
    """Records a kernel. After the function ran: `params` (in order of declaration), `tiles`, `body`."""

    def __init__(self) -> None:
        self.params: list[Storage] = []
        self.stored: dict[str, str] = {}     # token parameters of 16 bits in memory: "bf16", "f16"
        self.sizes: dict[str, int] = {}      # of "#chunk" and the named dims, for numbers that depend on them
        self.tiles: list[Storage] = []
        self.body: list = []
        self._open = [self.body]
        self._loops: list[str] = []

    # parameters and scratch

    def token(self, name: str, *dims: str, out: bool = False, inout: bool = False, dtype: str = "f32", delay: int = 0) -> Storage:
        """[B,delay+T,H,*dims], with `delay` tokens from before the call in front: read by `load`, written by `store`."""
        return self._param(name, "token", dims, out or inout, dtype, delay)

    def head(self, name: str, *dims: str, dtype: str = "f32") -> Storage:
        """[H,*dims], read only: every sequence would write the same elements."""
        return self._param(name, "head", dims, False, dtype)

    def memory(self, name: str, *dims: str, out: bool = False, inout: bool = False, dtype: str = "f32") -> Storage:
        """[B,H,*dims]."""
        return self._param(name, "memory", dims, out or inout, dtype)

    def slots(self, name: str, *dims: str, out: bool = False, inout: bool = False, dtype: str = "f32") -> Storage:
        """[B,H,N,*dims]: `.at(i)[...]` is one slot, `["n", ...]` has the slot as an axis."""
        return self._param(name, "slots", dims, out or inout, dtype)

    def units(self, name: str, *dims: str, out: bool = False, inout: bool = False, dtype: str = "f32") -> Storage:
        """[B,H,M,*dims]: slots over m, where n stands for the digits of their number (see `digits`)."""
        return self._param(name, "units", dims, out or inout, dtype)

    def levels(self, name: str, *dims: str, out: bool = False, inout: bool = False, dtype: str = "f32") -> Storage:
        """[B,H,N,*dims], as `["l", ...]`: one for each level of segments that merge."""
        return self._param(name, "levels", dims, out or inout, dtype)

    def starts(self, name: str, *dims: str, out: bool = False, inout: bool = False, dtype: str = "f32") -> Storage:
        """[B,H,R,*dims]: one memory per row of the chunk table; `[...]` is the current row's."""
        return self._param(name, "starts", dims, out or inout, dtype)

    def position(self) -> Expr:
        """The sequence's int64 position [B], a parameter named "call.position", as an integer."""
        self._param("call.position", "position", (), False, "i64")
        return Expr("scalar", (), "position", "i32")

    def tile(self, name: str, *dims: str, dtype: str = "f32") -> Storage:
        """Scratch over the axes `dims`, one per thread; it keeps its values from row to row."""
        if any(name == t.name for t in self.tiles):
            raise ValueError(f"tile {name!r} is declared twice")
        made = Storage(name, "tile", dims, dtype, True)
        self.tiles.append(made)
        return made

    def _param(self, name, kind, dims, out, dtype, delay=0) -> Storage:
        if any(name == p.name for p in self.params):
            raise ValueError(f"parameter {name!r} is declared twice")
        made = Storage(name, kind, tuple(dims), self.stored.get(name, dtype), out, delay)
        self.params.append(made)
        return made

    # loops and conditions

    @contextmanager
    def _block(self, statement):
        self._open[-1].append(statement)
        self._open.append(statement.body)
        try:
            yield self
        finally:
            self._open.pop()

    def sequences(self):
        """In parallel over batch and head."""
        return self._block(st.Sequences())

    def rows(self, reverse: bool = False):
        """In order over the rows of the chunk table; rows without tokens are skipped."""
        return self._block(st.Rows(reverse))

    def when(self, condition):
        """A condition over integers: rows, loops, position."""
        return self._block(st.When(truth(condition)))

    @contextmanager
    def loop(self, name: str, low, high, reverse: bool = False):
        """In order over low <= name < high, the last first with `reverse`; inside, `name` as an index means the loop's position."""
        with self._block(st.Loop(name, wrap(low), wrap(high), reverse)):
            self._loops.append(name)
            try:
                yield self.index(name)
            finally:
                self._loops.pop()

    @contextmanager
    def digits(self):
        """Over the digits of the row's segment that are 1: inside, "n" is the digit and "m" the slot of its memory."""
        with self.loop("n", 0, self.slots_count) as n, self.when(self.digit(self.segment, n)):
            slot = self.segment - self.below(self.segment, n) - 1
            with self.loop("m", slot, slot + 1):
                yield

    # statements

    def map(self, dst: Expr, value, accumulate: bool = False, upto: Mapping[str, Expr] | None = None) -> None:
        """dst = value (dst += value), elementwise. `upto` bounds an axis: only positions below it are touched."""
        self._add(st.Map(_target(dst), wrap(value), accumulate, _bounds(upto)))

    def sum(self, dst: Expr, value, over: Sequence[str] | str, accumulate: bool = False, upto: Mapping[str, Expr] | None = None) -> None:
        self._add(st.Reduce("sum", _target(dst), wrap(value), _names(over), accumulate, _bounds(upto)))

    def max(self, dst: Expr, value, over: Sequence[str] | str, accumulate: bool = False, upto: Mapping[str, Expr] | None = None) -> None:
        """The largest value; -inf over nothing."""
        self._add(st.Reduce("max", _target(dst), wrap(value), _names(over), accumulate, _bounds(upto)))

    def cumsum(self, dst: Expr, value, axis: str, reverse: bool = False, exclusive: bool = False) -> None:
        self._add(st.Cumsum(_target(dst), wrap(value), axis, reverse, exclusive))

    def dot(self, dst: Expr, a: Expr, b: Expr, over: Sequence[str] | str, accumulate: bool = False,
            then: Callable[[Expr], Expr] | None = None, lower: bool = False, over_lower: bool = False,
            scale: Expr | None = None, rows: Expr | None = None, upto: Mapping[str, Expr] | None = None) -> None:
        """dst = sum over `over` of a * b; axis names say how the operands lie.

        then: elementwise on the sum before it is stored.   lower: only c >= d is wanted, the rest is stored as 0.
        over_lower: the operand over c and d is 0 above its diagonal (if a dot with lower made it: in the part not wanted there).
        scale: multiplies row c.   rows: 0/1 over c, only rows with 1 take part (as outputs, or in the sum over c).
        """
        epilogue = None if then is None else wrap(then(Expr("acc")))
        self._add(st.Dot(_target(dst), wrap(a), wrap(b), _names(over), accumulate, epilogue, lower, over_lower,
                         None if scale is None else wrap(scale), None if rows is None else wrap(rows), _bounds(upto)))

    @contextmanager
    def product(self, axes: Sequence[str], a: Expr, b: Expr, over: Sequence[str] | str):
        """A product over (rows, columns) that is never stored: inside, maps over both axes and sums over the second one use its element.

            with k.product(("c", "K"), dy["c", "V"], M["V", "K"], over="V") as acc:
                k.map(dq["c", "K"], w["c"] * acc, accumulate=True)
                k.sum(dw["c"], q["c", "K"] * acc, over="K")
        """
        with self._block(st.Product(_names(axes), wrap(a), wrap(b), _names(over))):
            yield Expr("acc")

    def cumprod(self, dst: Expr, value, reverse: bool = False) -> None:
        """dst = the product of value over the tokens before each (reverse: after); the first axis is that of tokens."""
        self._add(st.Cumprod(_target(dst), wrap(value), reverse))

    def decayed(self, dst: Expr, value, factor, reverse: bool = False) -> None:
        """dst = the sum of value over the tokens before each (reverse: after), times factor over the tokens between."""
        self._add(st.Decayed(_target(dst), wrap(value), wrap(factor), reverse))

    def pair(self, dst: Expr, q: Expr, k: Expr, factor: Expr) -> None:
        """dst["c","d"] = sum over a channel axis of q["c",x] k["d",x], times factor["c",x] over the tokens between; 0 unless
        d is before c. All are tiles."""
        self._add(st.Pair(_target(dst), q, k, factor))

    def channels(self, matrix: Expr, q: Expr | None, k: Expr | None, factor: Expr, dq: Expr | None = None,
                 dk: Expr | None = None, df: Expr | None = None) -> None:
        """The derivatives of the sum of matrix["c","d"] times what `pair` gives: by q, by k, by the factors. All are tiles."""
        self._add(st.Channels(matrix, q, k, factor, *(None if x is None else _target(x) for x in (dq, dk, df))))

    def solve(self, x: Expr, matrix: Expr, transposed: bool = False) -> None:
        """x["c",..] <- (1 - L)^-1 x, in place; matrix["c","d"] is L, read only where c > d. transposed: with L^T."""
        self._add(st.Solve(_target(x), matrix, transposed))

    def dense_solve(self, dst: Expr, matrix: Expr, right: Expr, row: str, column: str, definite: bool = False) -> None:
        """dst[..,column] with sum over column of matrix[row,column] * dst[..,column] = right[..,row]; NaN or infinity for a singular matrix.
        definite: it is symmetric, and x . matrix x >= 0 for every x; its upper half is read."""
        self._add(st.DenseSolve(_target(dst), matrix, right, row, column, definite))

    def load(self, dst: Expr, source: Storage | Expr, shift=0, fill: float | None = None) -> None:
        """Row c of dst is token start + c - shift, clamped to a real token; with `fill`, tokens outside the row read as that."""
        index = tuple(dst.attr.index)
        source = source[index if len(index) == len(source.dims) + 1 else ("c", *source.dims)] if isinstance(source, Storage) else source
        self._add(st.Load(_target(dst), source, wrap(shift), fill))

    def store(self, dst: Storage | Expr, value, shift=0, accumulate: bool = False) -> None:
        """Token start + c - shift of dst is row c of value, for c below the row's count and tokens that exist."""
        value = wrap(value)
        dst = dst[("c", *dst.dims)] if isinstance(dst, Storage) else dst
        self._add(st.Store(_target(dst), value, wrap(shift), accumulate))

    def topk(self, dst: Expr, score: Expr, top, limit=None, digits: bool = False) -> None:
        """dst["c","n"] = 1 for the `top` largest scores among n < limit (ties: the lower n; fewer: all), else 0. digits: among the
        digits n of the row's segment that are 1 (ties: the higher n)."""
        self._add(st.Topk(_target(dst), score, wrap(top), self.slots_count if digits else wrap(limit), digits))

    def _add(self, statement) -> None:
        self._open[-1].append(statement)

    # integers

    @property
    def start(self) -> Expr:
        return Expr("scalar", (), "start", "i32")

    @property
    def count(self) -> Expr:
        return Expr("scalar", (), "count", "i32")

    @property
    def segment(self) -> Expr:
        return Expr("scalar", (), "segment", "i32")

    @property
    def offset(self) -> Expr:
        return Expr("scalar", (), "offset", "i32")

    @property
    def row(self) -> Expr:
        return Expr("scalar", (), "row", "i32")

    @property
    def slots_count(self) -> Expr:
        """N, from the tensors' shapes."""
        return Expr("scalar", (), "N", "i32")

    @property
    def units_count(self) -> Expr:
        """M, from the tensors' shapes."""
        return Expr("scalar", (), "M", "i32")

    def index(self, name: str) -> Expr:
        """The position of the enclosing loop over `name`."""
        return Expr("scalar", (), "index:" + name, "i32")

    def iota(self, axis: str) -> Expr:
        return Expr("iota", (), axis, "i32")

    # functions

    where = staticmethod(where)
    pow = staticmethod(power)

    @staticmethod
    def minimum(a, b) -> Expr:
        (a, b), dtype = common(a, b)
        return Expr("minimum", (a, b), None, dtype)

    @staticmethod
    def maximum(a, b) -> Expr:
        (a, b), dtype = common(a, b)
        return Expr("maximum", (a, b), None, dtype)

    # of whole numbers: a digit, those below it

    two_to = staticmethod(two_to)
    below = staticmethod(below)

    @staticmethod
    def digit(i, n) -> Expr:
        """Whether the digit of 2^n of i is 1."""
        return bits("and", i, two_to(n)) != 0

    @staticmethod
    def carries(i, n) -> Expr:
        """Whether i + 1 carries into the digit of 2^n."""
        return below(wrap(i) + 1, n) == 0

    @staticmethod
    def ones(i, n) -> Expr:
        """How many of the digits below that of 2^n are 1: added up in pairs, fours, eights, and so on."""
        found = below(i, n)
        for step, mask in ((1, 0x55555555), (2, 0x33333333), (4, 0x0F0F0F0F), (8, 0x00FF00FF), (16, 0x0000FFFF)):
            found = bits("and", found, mask) + bits("and", bits("shr", found, step), mask)
        return found

    @staticmethod
    def f32(value) -> Expr:
        return cast(value, "f32")

    @staticmethod
    def f64(value) -> Expr:
        return cast(value, "f64")

    @staticmethod
    def i32(value) -> Expr:
        return cast(value, "i32")


def _function(op: str):
    def apply(value) -> Expr:
        return unary(op, value)
    apply.__name__ = op
    return staticmethod(apply)


for _op in UNARY:
    setattr(TileBuilder, _op, _function(_op))


def _names(over: Sequence[str] | str) -> tuple[str, ...]:
    return (over,) if isinstance(over, str) else tuple(over)


def _bounds(upto) -> tuple[tuple[str, Expr], ...]:
    return tuple((name, wrap(bound)) for name, bound in (upto or {}).items())


def _target(dst) -> Expr:
    if isinstance(dst, (Storage, View)):
        dst = dst[()]
    if not isinstance(dst, Expr) or dst.op != "ref":
        raise TypeError("a statement writes to an indexed tile or parameter, like P['c','d']")
    access: Access = dst.attr
    if not access.storage.out:
        raise ValueError(f"{access.storage.name} is not declared out=True")
    if len(set(access.index)) != len(access.index):
        raise ValueError(f"{access.storage.name}[{', '.join(access.index)}]: an axis stands twice in what is written")
    return dst
