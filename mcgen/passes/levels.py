"""Runs that become memories of 2^l units: one for each level l, over the tokens since the last multiple of 2^l units.

After m units, a memory of 2^j units is cached, j the lowest digit of m that is 1: the run of level j, which began 2^j
units ago. Runs of levels up to j begin anew then. So a run of level 0 covers the open unit, and that of a level beyond all
digits of m the whole sequence.
"""
from __future__ import annotations

from typing import Callable

from ..ir.builder import Builder
from ..ir.nodes import Value
from ..symbolic.terms import Term
from .emit import Emitter


def restarts(b: Builder, completes: Value, axis: str) -> Value:
    """Whether a row's end is a multiple of 2^l units, for every level or digit: over r and the axis."""
    return b.map("and", completes, b.map("carries", b.row("segment"), b.iota(axis)))


def ended(b: Builder, x: Value, segment: Value, level: Value) -> Value:
    """x over l for the level of the memory that ends with the unit `segment`. level: the number of each."""
    return b.sum(b.where(b.map("carries", segment, level), b.where(b.map("digit", segment, level), b.zero(), b.spread(x, "l"))), ["l"])


def units_of(b: Builder) -> Value:
    """How many units the memory has that ends with a row's: over r."""
    level = b.iota("l")
    return ended(b, b.map("float", b.map("two_to", level)), b.row("segment"), level)


class LevelEmitter(Emitter):
    """Emits update terms for the runs of all levels: `delay` sees the tokens of a level's run, so what it gives is over l too."""

    def child(self, leaf: Callable[[Term], Value], within_segment: bool | None = None) -> Emitter:
        return LevelEmitter(self.b, self.model, self.params, leaf, True)

    def reaches(self, shift: int) -> Value:
        b, length = self.b, self.model.cache.segments.length
        units = b.map("float", b.map("below", b.row("segment"), b.iota("l")))
        place = b.map("float", b.map("add", b.iota("c"), b.row("offset")))
        return b.map("ge", b.map("add", place, b.map("mul", units, b.const(length))), b.const(shift))
