"""How long what stands in the states of a group lasts inside a row: weights between tokens, from the row's start, and to
its end.

A weight from token d to token c of a row says how much of what d wrote is left when c reads: 'new' after c's own update,
'old' before it. Three kinds, one interface, in which `of` is the state that is read and `source` the one that was written:

    Decay     a number for each token: a matrix of weights, exp of differences of sums of logarithms, masked before exp
    Channels  a factor for each token and channel of an axis: products of factors, never a quotient
    Coupled   numbers, and states that take others over: weights are products of decay matrices
"""
from __future__ import annotations

from typing import Mapping, Protocol

from ..ir.builder import Builder
from ..ir.nodes import Value

CLAMP = -120.0                   # a log decay below it counts as it, which is 0 in float32
MASKED = -1.0e4                  # stands before exp where a token does not reach another


class Weights(Protocol):
    """Axes: of a state. Queries are over c, what tokens wrote is over d where it meets a query."""

    def sources(self, of: str) -> tuple[str, ...]:
        """The states from which something reaches a state, itself included."""

    def before(self, query: Value, axis: str, when: str) -> Value:
        """A query for the state before the row, along an axis."""

    def after(self, of: str, source: str, found: Value, axis: str | None, when: str) -> Value:
        """What such a query found, over another axis, as the token sees it."""

    def whole(self, of: str, source: str) -> list[Value]:
        """Factors of the whole row on the state before it: over r and an axis at most."""

    def reach(self, of: str, source: str, query: Value, written: Value, axis: str, when: str) -> Value:
        """(query . written) along the axis, times the weight: over r, c, d; 0 where d does not come before c."""

    def apply(self, matrix: Value, same: Value, written: Value, here: Value, axis: str | None, over: list[str], when: str) -> Value:
        """What tokens find: sum over d of matrix * written, `written` over another axis. same: the query's product with
        its own token's write, `here`, which a read before the update does not see."""

    def kept(self, of: str, source: str, written: Value, axis: str | None, first: bool) -> Value:
        """What a token wrote along an axis (the first of a state's, or another), as it is at the end of the row."""

    def summed(self, of: str, source: str, written: Value, late: Value, axis: str | None, over: list[str], when: str) -> Value:
        """The row's writes to a state of one axis at most, as token c sees them."""


class _Alone:
    def sources(self, of: str) -> tuple[str, ...]:
        return (of,)


class Decay(_Alone):
    """log: of a factor's size, over r and c; None: the factor is 1. sign: what has the factor's sign; None: it is positive."""

    def __init__(self, b: Builder, log: Value | None, sign: Value | None = None):
        self.b = b
        self.valid = b.called(b.map("lt", b.iota("c"), b.row("count")), "valid")
        self.log = None if log is None else b.called(b.where(self.valid, b.map("maximum", log, b.const(CLAMP))), "log_decay")
        self.negative = None if sign is None else b.called(
            b.where(b.map("and", self.valid, b.map("lt", sign, b.zero())), b.const(1.0)), "negative")

    def factor(self, sums, running: str, name: str) -> Value:
        """exp of a sum of logarithms, with the sign that a count of negative factors gives."""
        b = self.b
        if self.log is None:
            return b.const(1.0)
        size = b.map("exp", b.called(sums(self.log), running))
        return b.called(size if self.negative is None else b.map("mul", size, b.map("parity", sums(self.negative))), name)

    def start(self, when: str) -> Value:
        return self.factor(lambda x: self.b.cumsum(x, "c", exclusive=when == "old"), "G", "decay")

    def end(self) -> Value:
        b = self.b
        to_come = self.factor(lambda x: b.cumsum(x, "c", reverse=True, exclusive=True), "G_after", "")
        return b.called(b.where(self.valid, to_come), "inside" if self.log is None else "decay_after")

    def all(self) -> Value:
        return self.factor(lambda x: self.b.sum(x, ["c"]), "", "decay_of_row")

    def order(self, when: str) -> Value:
        """Whether d reaches c."""
        b = self.b
        order = b.map("gt" if when == "old" else "ge", b.iota("c"), b.iota("d"))
        return b.called(b.map("and", order, b.map("lt", b.iota("d"), b.row("count"))), "earlier")

    def weigh(self, product: Value, when: str) -> Value:
        """product[c, d] times the weight from d to c."""
        b, order = self.b, self.order(when)
        if self.log is None:
            return b.where(order, product)
        gap = b.called(b.segsum(self.log, exclusive=when == "old"), "gap")
        weight = b.map("exp", b.where(order, gap, b.const(MASKED)))
        if self.negative is not None:
            weight = b.map("mul", weight, b.map("parity", b.segsum(self.negative, exclusive=when == "old")))
        return b.map("mul", product, b.called(weight, "reach"))

    # -- the interface
    def before(self, query, axis, when):
        return query

    def after(self, of, source, found, axis, when):
        return self.b.map("mul", self.start(when), found)

    def whole(self, of, source):
        return [self.all()]

    def reach(self, of, source, query, written, axis, when):
        return self.weigh(self.b.dot(query, written, [axis]), when)

    def apply(self, matrix, same, written, here, axis, over, when):
        return self.b.dot(matrix, written, over)

    def kept(self, of, source, written, axis, first):
        return self.b.map("mul", written, self.end()) if first else written

    def summed(self, of, source, written, late, axis, over, when):
        return self.b.dot(self.weigh(self.b.const(1.0), when), late, over)


class Coupled(Decay):
    """States that take others over. own: the decay of each; taken: (of, source) -> number over r and c, with which `of`
    takes over what `source` was before the token. order: sources before what takes them over."""

    def __init__(self, b: Builder, own: Mapping[str, Decay], taken: Mapping[tuple[str, str], Value]):
        super().__init__(b, None)
        self.own = own
        self.taken = {key: b.called(b.where(self.valid, x), "taken") for key, x in taken.items()}
        self._weights: dict[tuple[str, str, str], Value] = {}

    def sources(self, of: str) -> tuple[str, ...]:
        found = [of]
        for state in found:
            found += [s for o, s in self.taken if o == state and s not in found]
        return tuple(found)

    def steps(self, of: str, source: str) -> list[tuple[str, Value]]:
        """The states between: those that take the source over and reach `of`, and the numbers with which they do."""
        return [(k, x) for (k, s), x in self.taken.items() if s == source and k in self.sources(of)]

    def weight(self, of: str, source: str, when: str) -> Value:
        """Over r, c, d: how much of what was written to `source` at d stands in `of` at c."""
        key = (of, source, when)
        if key not in self._weights:
            b = self.b
            if of == source:
                self._weights[key] = self.own[of].weigh(b.const(1.0), when)
            else:
                late = b.rename(self.own[source].weigh(b.const(1.0), "old"), {"c": "mid"})
                self._weights[key] = b.add(*(b.dot(b.rename(b.map("mul", self.weight(of, k, when), b.rename(x, {"c": "d"})), {"d": "mid"}), late, ["mid"])
                                             for k, x in self.steps(of, source)))
        return self._weights[key]

    def started(self, of: str, source: str, when: str) -> Value:
        """Over r, c: how much of `source` before the row stands in `of` at c."""
        if of == source:
            return self.own[of].start(when)
        b, old = self.b, self.own[source].start("old")
        return b.add(*(b.dot(self.weight(of, k, when), b.rename(b.map("mul", x, old), {"c": "d"}), ["d"]) for k, x in self.steps(of, source)))

    def ended(self, of: str, source: str) -> Value:
        """Over r, c: how much of what c wrote to `source` stands in `of` at the end of the row."""
        if of == source:
            return self.own[of].end()
        b, reach = self.b, self.own[source].weigh(self.b.const(1.0), "old")
        late = lambda x: b.rename(x, {"c": "d"})
        turned = b.rename(reach, {"c": "d", "d": "c"})           # from c to d
        return b.where(self.valid, b.add(*(b.dot(turned, late(b.map("mul", self.ended(of, k), x)), ["d"]) for k, x in self.steps(of, source))))

    def whole(self, of, source):
        if of == source:
            return self.own[of].whole(of, source)
        b, old = self.b, self.own[source].start("old")
        return [b.add(*(b.dot(self.ended(of, k), b.map("mul", x, old), ["c"]) for k, x in self.steps(of, source)))]

    def after(self, of, source, found, axis, when):
        return self.b.map("mul", self.started(of, source, when), found)

    def reach(self, of, source, query, written, axis, when):
        return self.b.map("mul", self.b.dot(query, written, [axis]), self.weight(of, source, when))

    def kept(self, of, source, written, axis, first):
        return self.b.map("mul", written, self.ended(of, source)) if first else written

    def summed(self, of, source, written, late, axis, over, when):
        return self.b.dot(self.weight(of, source, when), late, over)


class Channels(_Alone):
    """factors: axis -> factor over r, c and the axis."""

    def __init__(self, b: Builder, factors: Mapping[str, Value]):
        self.b = b
        self.valid = b.called(b.map("lt", b.iota("c"), b.row("count")), "valid")
        self.factors = {axis: b.called(b.where(self.valid, f, b.const(1.0)), f"factor_{axis.rstrip('~.')}") for axis, f in factors.items()}

    def own(self, x: Value, axis: str | None, when: str) -> Value:
        """x times its token's own factor, which a read before the update does not meet."""
        return self.b.map("mul", x, self.factors[axis]) if when == "new" and axis in self.factors else x

    def start(self, axis: str, when: str) -> Value:
        return self.b.called(self.own(self.b.cumprod(self.factors[axis]), axis, when), "decay")

    # -- the interface
    def before(self, query, axis, when):
        return self.b.map("mul", query, self.start(axis, when)) if axis in self.factors else query

    def after(self, of, source, found, axis, when):
        return self.b.map("mul", found, self.start(axis, when)) if axis in self.factors else found

    def whole(self, of, source):
        b, first = self.b, self.b.map("eq", self.b.iota("c"), self.b.const(0))
        return [b.sum(b.where(first, b.map("mul", f, b.cumprod(f, True))), ["c"]) for f in self.factors.values()]

    def reach(self, of, source, query, written, axis, when):
        """Without the query's own token: see `apply`."""
        b = self.b
        if axis in self.factors:
            return b.where(self.valid, b.pair(self.own(query, axis, when), written, self.factors[axis], axis))
        return b.where(b.map("and", b.map("gt", b.iota("c"), b.iota("d")), self.valid), b.dot(query, written, [axis]))

    def apply(self, matrix, same, written, here, axis, over, when):
        b = self.b
        if axis in self.factors:
            found = self.own(b.papply(matrix, written, self.factors[axis], axis), axis, when)
            return found if when == "old" else b.map("add", found, b.map("mul", same, here))
        if when == "new":
            matrix = b.map("add", matrix, b.where(b.map("eq", b.iota("c"), b.iota("d")), same))
        return b.dot(matrix, written, over)

    def kept(self, of, source, written, axis, first):
        b = self.b
        kept = b.map("mul", written, b.cumprod(self.factors[axis], True)) if axis in self.factors else written
        return b.where(self.valid, kept) if first else kept

    def summed(self, of, source, written, late, axis, over, when):
        found = self.b.decayed(written, self.factors[axis])
        return found if when == "old" else self.b.map("add", self.own(found, axis, when), written)
