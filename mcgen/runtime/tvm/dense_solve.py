"""Square systems by Gaussian elimination with partial pivoting, in float64 on copies of matrix and right sides."""
from __future__ import annotations

from . import statements as st
from .elementwise import LANES
from .emit import Value
from .memory import Place, Scope
from .reduce import free_axes, lower_map


def lower_dense_solve(scope: Scope, s: st.DenseSolve) -> None:
    """All right sides at once: they lie side by side in the rows of the copy."""
    others = [a for a in free_axes(scope, s.dst.attr.index) if a != s.column]
    if set(free_axes(scope, sorted(s.matrix.axes))) != {s.row, s.column} or s.column in s.right.axes:
        raise ValueError(f"a dense solve wants one matrix over {s.row} and {s.column}")
    matrix = scope.temporary(s.row, s.column, dtype="f64")
    right = scope.temporary(s.row, *others, dtype="f64")
    lower_map(scope, st.Map(matrix, s.matrix))
    lower_map(scope, st.Map(right, s.right))
    system = _System(scope, scope.places[matrix.attr.storage.name], scope.places[right.attr.storage.name], scope.extent(s.row), bool(others))
    system.eliminate()
    system.substitute()
    solved = right.attr.storage[(s.column, *others)]
    lower_map(scope, st.Map(s.dst, solved))


class _System:
    """A square matrix beside its right sides. Rows of both are touched in whole vectors: scratch rows are padded."""

    def __init__(self, scope: Scope, matrix: Place, right: Place, size: int, many: bool):
        self.em, self.matrix, self.right, self.size = scope.em, matrix, right, size
        self.step = right.strides[0] if many else 1
        self.lanes = LANES if many else 1
        self.blocks = self.step // self.lanes

    def entry(self, i, j) -> Value:
        return self.em.bind(self.em.load(self.matrix.buffer, i * self.matrix.strides[0] + j, "f64"))

    def eliminate(self) -> None:
        em = self.em
        with em.loop(0, self.size, name="pivot") as p:
            self.swap(p, self.largest(p))
            inverse = em.bind(em.binary("div", em.const(1.0, "f64"), self.entry(p, p)))
            with em.loop(p + 1, self.size, name="row") as i:
                factor = em.bind(em.binary("sub", em.const(0.0, "f64"), em.bind(em.binary("mul", self.entry(i, p), inverse))))
                self.add(i, p, factor)

    def largest(self, p):
        """The row from p on with the largest entry in column p, as an index."""
        em = self.em
        best, at = em.local(1, "f64"), em.local(1, "i32")
        em.store(best, 0, em.intrinsic("fabs", self.entry(p, p)))
        em.store(at, 0, em.from_index(p))
        with em.loop(p + 1, self.size, name="row") as i:
            size = em.bind(em.intrinsic("fabs", self.entry(i, p)))
            wins = em.bind(em.binary("gt", size, em.bind(em.load(best, 0, "f64"))))
            em.store(at, 0, em.select(wins, em.from_index(i), em.bind(em.load(at, 0, "i32"))))
            em.store(best, 0, em.select(wins, size, em.bind(em.load(best, 0, "f64"))))
        return em.bind_index(em.as_index(em.bind(em.load(at, 0, "i32"))))

    def rows(self, p):
        """(buffer, row stride, first block, blocks, lanes) of what an operation on rows from column p on touches."""
        stride = self.matrix.strides[0]
        yield self.matrix.buffer, stride, self.em.floordiv(p, LANES), (self.size + LANES - 1) // LANES, LANES
        yield self.right.buffer, self.step, 0, self.blocks, self.lanes

    def swap(self, p, q) -> None:
        em = self.em
        with em.when(Value(em.tir.NE(p, q), "bool")):
            for buffer, stride, low, high, lanes in self.rows(p):
                with em.loop(low, high, name="x") as block:
                    one, other = p * stride + block * lanes, q * stride + block * lanes
                    a, b = (em.bind(em.load(buffer, at, "f64", lanes)) for at in (one, other))
                    em.store(buffer, one, b)
                    em.store(buffer, other, a)

    def add(self, i, p, factor: Value) -> None:
        """Row i plus a multiple of row p."""
        em = self.em
        for buffer, stride, low, high, lanes in self.rows(p):
            with em.loop(low, high, name="x") as block:
                to, of = i * stride + block * lanes, p * stride + block * lanes
                line = em.bind(em.load(buffer, of, "f64", lanes))
                em.store(buffer, to, em.fma(factor, line, em.bind(em.load(buffer, to, "f64", lanes))))

    def substitute(self) -> None:
        """Backwards: row p of the right sides becomes row p of the solution."""
        em = self.em
        with em.loop(0, self.size, name="back") as step:
            p = em.bind_index(self.size - 1 - step)
            inverse = em.bind(em.binary("div", em.const(1.0, "f64"), self.entry(p, p)))
            with em.loop(0, self.blocks, name="x") as block:
                total = em.local(self.lanes, "f64")
                at = p * self.step + block * self.lanes
                em.store(total, 0, em.bind(em.load(self.right.buffer, at, "f64", self.lanes)))
                with em.loop(p + 1, self.size, name="column") as j:
                    factor = em.bind(em.binary("sub", em.const(0.0, "f64"), self.entry(p, j)))
                    known = em.bind(em.load(self.right.buffer, j * self.step + block * self.lanes, "f64", self.lanes))
                    em.store(total, 0, em.fma(factor, known, em.load(total, 0, "f64", self.lanes)))
                em.store(self.right.buffer, at, em.binary("mul", em.bind(em.load(total, 0, "f64", self.lanes)), em.spread(inverse, self.lanes)))
