"""Symmetric systems that are nowhere negative, by L D L^T without pivoting, in float64 on copies of the upper half and of the right sides.

Half the work of an elimination that has to choose its pivots, whose growth such a matrix bounds by itself (Golub and Van Loan, Matrix
Computations, 4.1.2 and 4.2.4). Eliminated are panels as wide as a vector: a panel's own block in registers, then its rows in every block
of columns to the right, and below them the rows down to the diagonal.
"""
from __future__ import annotations

from .elementwise import LANES
from .emit import Value
from .memory import Place, Scope


class Definite:
    """A symmetric matrix of `size` rows beside its right sides, one or `many` in whole vectors. Scratch rows are padded.

    Row t of the upper half becomes D[t] times row t of L^T; `inverse` holds 1 / D, `own` and `later` hold -L^T of a panel's rows.
    """

    def __init__(self, scope: Scope, matrix: Place, right: Place, size: int, many: bool):
        self.em, self.matrix, self.right, self.size, self.many = scope.em, matrix, right, size, many
        self.step = right.strides[0] if many else 1
        self.blocks = -(-size // LANES)
        self.inverse, self.own, self.later = (scope.places[scope.temporary(*dims, dtype="f64").attr.storage.name]
                                              for dims in ((size,), (LANES, LANES), (LANES, size)))

    def solve(self) -> None:
        """Leaves the solution in the right sides."""
        em, (panels, rest) = self.em, divmod(self.size, LANES)
        with em.loop(0, panels, name="panel") as panel:
            self.eliminate(em.bind_index(panel * LANES), LANES)
        if rest:
            self.eliminate(panels * LANES, rest)
            self.substitute(panels * LANES, rest)
        with em.loop(0, panels, name="panel") as panel:
            self.substitute(em.bind_index((panels - 1 - panel) * LANES), LANES)

    # -- places --------------------------------------------------------------------------------------------------------

    def load(self, place: Place, at, lanes: int = 1) -> Value:
        return self.em.bind(self.em.load(place.buffer, at, "f64", lanes))

    def entry(self, i, j, lanes: int = 1) -> Value:
        return self.load(self.matrix, i * self.matrix.strides[0] + j, lanes)

    def side(self, i, block=None) -> Value:
        """Row i of the right sides: the block's vector of them, or the only one."""
        return self.load(self.right, i) if block is None else self.load(self.right, i * self.step + block * LANES, LANES)

    def keep(self, i, block, x: Value) -> None:
        self.em.store(self.right.buffer, i if block is None else i * self.step + block * LANES, x)

    def plus(self, total: Value, factor: Value, x: Value) -> Value:
        return self.em.bind(self.em.fma(factor, x, total))

    def minus(self, x: Value) -> Value:
        return self.em.bind(self.em.binary("sub", self.em.const(0.0, "f64", x.lanes), x))

    # -- forward -------------------------------------------------------------------------------------------------------

    def eliminate(self, first, count: int) -> None:
        """Panel rows first .. first + count, from all rows below them."""
        em = self.em
        inverses = self.diagonal(first, count)
        after, last = self.after(first), range(count)
        if not self.many:
            sides = self.inside([self.side(first + t) for t in last])
            for t in last:
                self.keep(first + t, None, sides[t])
        with em.loop(after, self.blocks, name="x") as block:
            at = em.bind_index(block * LANES)
            rows = self.inside([self.entry(first + t, at, LANES) for t in last])
            factors = [em.bind(em.binary("mul", row, inverse)) for row, inverse in zip(rows, inverses)]
            for t in last:
                em.store(self.matrix.buffer, (first + t) * self.matrix.strides[0] + at, rows[t])
                em.store(self.later.buffer, t * self.later.strides[0] + at, factors[t])
            if not self.many:
                total = self.load(self.right, at, LANES)
                for t in last:
                    total = self.plus(total, factors[t], sides[t])
                em.store(self.right.buffer, at, total)
            with em.loop(first + count, self.end(at), name="row") as i:
                total = self.entry(i, at, LANES)
                for t in last:
                    total = self.plus(total, self.factor(t, i), rows[t])
                em.store(self.matrix.buffer, i * self.matrix.strides[0] + at, total)
        if self.many:
            with em.loop(0, self.step // LANES, name="x") as block:
                sides = self.inside([self.side(first + t, block) for t in last])
                for t in last:
                    self.keep(first + t, block, sides[t])
                with em.loop(first + count, self.size, name="row") as i:
                    total = self.side(i, block)
                    for t in last:
                        total = self.plus(total, self.factor(t, i), sides[t])
                    self.keep(i, block, total)

    def diagonal(self, first, count: int) -> list[Value]:
        """Eliminates within the panel's own block; -1 / D of its rows."""
        em = self.em
        rows = [self.entry(first + t, first, LANES) for t in range(count)]
        found = []
        for t in range(count):
            one = em.bind(em.binary("div", em.const(1.0, "f64"), em.lane(rows[t], t)))
            em.store(self.inverse.buffer, first + t, one)
            found.append(self.minus(one))
            factors = em.bind(em.binary("mul", rows[t], found[t]))
            em.store(self.own.buffer, t * LANES, factors)
            for i in range(t + 1, count):
                rows[i] = self.plus(rows[i], em.lane(factors, i), rows[t])
        for t in range(count):
            em.store(self.matrix.buffer, (first + t) * self.matrix.strides[0] + first, rows[t])
        return found

    def inside(self, rows: list[Value]) -> list[Value]:
        """What a panel's rows are without the panel's rows above them."""
        for i in range(1, len(rows)):
            for t in range(i):
                rows[i] = self.plus(rows[i], self.load(self.own, t * LANES + i), rows[t])
        return rows

    def factor(self, t: int, i) -> Value:
        return self.load(self.later, t * self.later.strides[0] + i)

    def after(self, first):
        """The first block of columns after a panel."""
        return self.em.floordiv(first, LANES) + 1

    def end(self, at):
        """The rows that a block of columns from `at` on has of the upper half."""
        return at + LANES if self.size % LANES == 0 else self.em.clamp(at + LANES, 0, self.size)

    # -- backward ------------------------------------------------------------------------------------------------------

    def substitute(self, first, count: int) -> None:
        """The solution in the panel's rows, from that in all rows below them."""
        if not self.many:
            self.solved(first, None, [self.side(first + t) for t in range(count)], self.across(first, count))
            return
        with self.em.loop(0, self.step // LANES, name="x") as block:
            sums = [self.em.local(LANES, "f64") for _ in range(count)]
            for t, s in enumerate(sums):
                self.em.store(s, 0, self.em.const(0.0, "f64", LANES))
            with self.em.loop(first + count, self.size, name="row") as j:
                below = self.side(j, block)
                for t, s in enumerate(sums):
                    self.em.store(s, 0, self.plus(self.register(s), self.entry(first + t, j), below))
            self.solved(first, block, [self.side(first + t, block) for t in range(count)], [self.register(s) for s in sums])

    def across(self, first, count: int) -> list[Value]:
        """What each of the panel's rows has of the one solution below: by whole vectors, and a last part of one by its entries."""
        em = self.em
        sums = [em.local(LANES, "f64") for _ in range(count)]
        for s in sums:
            em.store(s, 0, em.const(0.0, "f64", LANES))
        with em.loop(self.after(first), self.size // LANES, name="x") as block:
            at = em.bind_index(block * LANES)
            below = self.load(self.right, at, LANES)
            for t, s in enumerate(sums):
                em.store(s, 0, self.plus(self.register(s), self.entry(first + t, at, LANES), below))
        found = [self.total(self.register(s)) for s in sums]
        if count == LANES:
            for j in range(self.size // LANES * LANES, self.size):
                below = self.side(j)
                found = [self.plus(x, self.entry(first + t, j), below) for t, x in enumerate(found)]
        return found

    def solved(self, first, block, sides: list[Value], below: list[Value]) -> None:
        em, inside = self.em, list(map(self.minus, below))
        for t in reversed(range(len(sides))):
            x = em.bind(em.binary("mul", em.binary("add", sides[t], inside[t]), self.load(self.inverse, first + t)))
            self.keep(first + t, block, x)
            less = self.minus(x)
            for i in range(t):
                inside[i] = self.plus(inside[i], self.entry(first + i, first + t), less)

    def register(self, s) -> Value:
        return self.em.bind(self.em.load(s, 0, "f64", LANES))

    def total(self, x: Value) -> Value:
        em, lanes = self.em, x.lanes
        while lanes > 1:
            lanes //= 2
            x = em.bind(em.binary("add", em.shuffle([x], list(range(lanes))), em.shuffle([x], list(range(lanes, 2 * lanes)))))
        return x
