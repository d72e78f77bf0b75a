"""Square systems in float64, on copies of matrix and right sides: by Gaussian elimination with partial pivoting, or see `definite`."""
from __future__ import annotations

from . import statements as st
from .definite import Definite
from .elementwise import LANES
from .emit import Emitter, Value
from .memory import Place, Scope
from .reduce import free_axes, lower_map


def lower_dense_solve(scope: Scope, s: st.DenseSolve) -> None:
    """All right sides at once: they lie side by side in the rows of the copy. Several matrices one after the other."""
    free = free_axes(scope, s.dst.attr.index)
    several = next((a for a in free if a in s.matrix.axes and a != s.column), None)
    if several is not None:
        with scope.em.loop(0, scope.extent(several), name=several) as scope.loops[several]:
            lower_dense_solve(scope, s)
        del scope.loops[several]
        return
    others = [a for a in free if a != s.column]
    if set(free_axes(scope, sorted(s.matrix.axes))) != {s.row, s.column} or s.column in s.right.axes:
        raise ValueError(f"a dense solve wants matrices over {s.row} and {s.column}")
    matrix = scope.temporary(s.row, s.column, dtype="f64")
    right = scope.temporary(s.row, *others, dtype="f64")
    lower_map(scope, st.Map(matrix, s.matrix))
    lower_map(scope, st.Map(right, s.right))
    kind = Definite if s.definite else _General
    kind(scope, scope.places[matrix.attr.storage.name], scope.places[right.attr.storage.name], scope.extent(s.row), bool(others)).solve()
    solved = right.attr.storage[(s.column, *others)]
    lower_map(scope, st.Map(s.dst, solved))


class _General:
    """A square matrix beside its right sides. Rows of both are touched in whole vectors: scratch rows are padded.

    Columns are eliminated in panels as wide as a vector, right-looking (Golub and Van Loan, Matrix Computations, 3.2.11): within a panel
    pivot by pivot, in all other columns and in the right sides by the whole panel at once, which reads and writes them once.
    """

    def __init__(self, scope: Scope, matrix: Place, right: Place, size: int, many: bool):
        self.em, self.matrix, self.right, self.size = scope.em, matrix, right, size
        self.step = right.strides[0] if many else 1
        self.lanes = LANES if many else 1
        factors = scope.temporary(f"#{size}", f"#{LANES}", dtype="f64")
        self.factors = scope.places[factors.attr.storage.name].buffer

    def solve(self) -> None:
        """Leaves the solution in the right sides."""
        self.eliminate()
        self.substitute()

    def entry(self, i, j) -> Value:
        return self.em.bind(self.em.load(self.matrix.buffer, i * self.matrix.strides[0] + j, "f64"))

    def eliminate(self) -> None:
        panels = self.size // LANES
        if panels:
            with self.em.loop(0, panels, name="panel") as panel:
                first = self.em.bind_index(panel * LANES)
                self.pivots(first, LANES)
                self.finish(first)
        if self.size % LANES:
            self.pivots(panels * LANES, self.size % LANES)
            self.finish(panels * LANES, self.size % LANES)

    def pivots(self, first, count: int) -> None:
        """Eliminates the columns first .. first + count in their own panel, and keeps the factors of each row."""
        em = self.em
        block = self.matrix.buffer, self.matrix.strides[0]
        largest = _Largest(em)
        largest.start(first)
        with em.loop(first, self.size, name="row") as i:
            largest.meet(i, self.entry(i, first))
        with em.loop(first, first + count, name="pivot") as p:
            self.swap(p, largest.row(), first)
            inverse = em.bind(em.binary("div", em.const(-1.0, "f64"), self.entry(p, p)))
            largest.start(p + 1)
            with em.loop(p + 1, self.size, name="row") as i:
                factor = em.bind(em.binary("mul", self.entry(i, p), inverse))
                em.store(self.factors, i * LANES + (p - first), factor)
                self.add(*block, first, LANES, i, [(factor, p)])
                largest.meet(i, self.entry(i, p + 1))                               # of the next pivot's column, in the panel or not

    def finish(self, first, count: int = LANES) -> None:
        """What the panel's factors make of all columns after it, and of the right sides: first of its own rows, of one by those above it."""
        em = self.em
        for buffer, stride, low, high, lanes in self.after(first):
            for own in range(1, count):
                factors = self.factors_of(first + own, own)
                with em.loop(low, high, name="x") as block:
                    self.add(buffer, stride, block * lanes, lanes, first + own, [(f, first + t) for t, f in enumerate(factors)])
        if count == LANES:
            with em.loop(first + count, self.size, name="row") as i:
                factors = self.factors_of(i, count)
                for buffer, stride, low, high, lanes in self.after(first):
                    with em.loop(low, high, name="x") as block:
                        self.add(buffer, stride, block * lanes, lanes, i, [(f, first + t) for t, f in enumerate(factors)])

    def factors_of(self, i, count: int) -> list[Value]:
        return [self.em.bind(self.em.load(self.factors, i * LANES + t, "f64")) for t in range(count)]

    def after(self, first):
        """(buffer, row stride, first block, blocks, lanes) of the columns after a panel, and of the right sides."""
        yield self.matrix.buffer, self.matrix.strides[0], self.em.floordiv(first, LANES) + 1, (self.size + LANES - 1) // LANES, LANES
        yield self.right.buffer, self.step, 0, self.step // self.lanes, self.lanes

    def add(self, buffer, stride: int, at, lanes: int, i, terms: list) -> None:
        """Row i, from column `at` on, plus multiples of other rows."""
        em = self.em
        total = em.bind(em.load(buffer, i * stride + at, "f64", lanes))
        for factor, row in terms:
            total = em.bind(em.fma(factor, em.bind(em.load(buffer, row * stride + at, "f64", lanes)), total))
        em.store(buffer, i * stride + at, total)

    def swap(self, p, q, first) -> None:
        """Rows p and q from column `first` on, their right sides and factors."""
        em = self.em
        blocks = (self.size + LANES - 1) // LANES
        with em.when(Value(em.tir.NE(p, q), "bool")):
            for buffer, stride, low, high, lanes in ((self.matrix.buffer, self.matrix.strides[0], em.floordiv(first, LANES), blocks, LANES),
                                                     (self.right.buffer, self.step, 0, self.step // self.lanes, self.lanes),
                                                     (self.factors, LANES, 0, 1, LANES)):
                with em.loop(low, high, name="x") as block:
                    one, other = p * stride + block * lanes, q * stride + block * lanes
                    a, b = (em.bind(em.load(buffer, at, "f64", lanes)) for at in (one, other))
                    em.store(buffer, one, b)
                    em.store(buffer, other, a)

    def substitute(self) -> None:
        """Backwards: row p of the right sides becomes row p of the solution, and leaves the rows above it."""
        em = self.em
        with em.loop(0, self.size, name="back") as step:
            p = em.bind_index(self.size - 1 - step)
            inverse = em.bind(em.binary("div", em.const(1.0, "f64"), self.entry(p, p)))
            with em.loop(0, self.step // self.lanes, name="x") as block:
                at = em.bind_index(block * self.lanes)
                solved = em.bind(em.binary("mul", em.bind(em.load(self.right.buffer, p * self.step + at, "f64", self.lanes)), inverse))
                em.store(self.right.buffer, p * self.step + at, solved)
                minus = em.bind(em.binary("sub", em.const(0.0, "f64", self.lanes), solved))
                with em.loop(0, p, name="row") as i:
                    left = em.bind(em.load(self.right.buffer, i * self.step + at, "f64", self.lanes))
                    em.store(self.right.buffer, i * self.step + at, em.fma(self.entry(i, p), minus, left))


class _Largest:
    """The row with the largest entry of those met."""

    def __init__(self, em: Emitter):
        self.em, self.best, self.at = em, em.local(1, "f64"), em.local(1, "i32")

    def start(self, row) -> None:
        """Anew; this row where no entry is a number."""
        self.em.store(self.at, 0, self.em.from_index(row))
        self.em.store(self.best, 0, self.em.const(-1.0, "f64"))

    def meet(self, i, entry: Value) -> None:
        em = self.em
        size = em.bind(em.intrinsic("fabs", entry))
        wins = em.bind(em.binary("gt", size, em.bind(em.load(self.best, 0, "f64"))))
        em.store(self.at, 0, em.select(wins, em.from_index(i), em.bind(em.load(self.at, 0, "i32"))))
        em.store(self.best, 0, em.select(wins, size, em.bind(em.load(self.best, 0, "f64"))))

    def row(self):
        return self.em.bind_index(self.em.as_index(self.em.bind(self.em.load(self.at, 0, "i32"))))
