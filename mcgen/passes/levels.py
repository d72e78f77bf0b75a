"""Runs that become memories of 2^l units: one for each level l, over the tokens since the last multiple of 2^l units.

After m units, a memory of 2^j units is cached, j the lowest digit of m that is 1: the run of level j, which began 2^j
units ago. Runs of levels up to j begin anew then. So a run of level 0 covers the open unit, and that of a level beyond all
digits of m the whole sequence.
"""
from __future__ import annotations

from typing import Callable

from ..ir.builder import Builder
from ..ir.nodes import Param, Program, Result, Value
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


def decay_since(b: Builder, name: str, factor: Value, completes: Value) -> tuple[Value, Value]:
    """How much of a memory is left after the tokens since its end, for every digit: before each row, and after the last. The
    factor of a whole row: over r, and an axis of the state where it differs from channel to channel."""
    axes = tuple(a for a in factor.axes if a != "r")
    old, f, ends, done = (Param(f"{part}.since.{name}", "value", a, dtype=d) for part, a, d in (
        ("old", ("n", *axes), "f"), ("factor", axes, "f"), ("ends", ("n",), "b"), ("done", (), "b")))
    left = b.map("mul", b.param(old), b.param(f))
    after = b.where(b.param(done), b.where(b.param(ends), b.const(1.0), left), left)
    body = Program(f"carry_since_{name}", (old, f, ends, done), (Result(f"old.since.{name}", "value", ("n", *axes), ((after, 0),)),))
    carry = b.param(Param(f"since.{name}", "slots", axes))
    finals, starts, _ = b.scan(body, [carry], [factor, restarts(b, completes, "n"), completes], [])
    return starts[0], finals[0]


def run_of(b: Builder, online: Value, left: Value, memories: Value) -> Value:
    """The runs of all levels before a row, over r, l and the state's axes, where memories of adjacent segments add up: a run
    is made of the memories of the digits below its level, each as far as it is left, and of the open unit."""
    inside = b.map("and", b.map("lt", b.iota("n"), b.iota("l")), b.map("digit", b.row("segment"), b.iota("n")))
    return b.map("add", online, b.sum(b.map("mul", b.where(inside, b.spread(left, "n")), memories), ["n"]))


class LevelEmitter(Emitter):
    """Emits update terms for the runs of all levels: `delay` sees the tokens of a level's run, so what it gives is over l too."""

    def child(self, leaf: Callable[[Term], Value], within_segment: bool | None = None) -> Emitter:
        return LevelEmitter(self.b, self.model, self.params, leaf, True)

    def reaches(self, shift: int) -> Value:
        b, length = self.b, self.model.cache.segments.length
        units = b.map("float", b.map("below", b.row("segment"), b.iota("l")))
        place = b.map("float", b.map("add", b.iota("c"), b.row("offset")))
        return b.map("ge", b.map("add", place, b.map("mul", units, b.const(length))), b.const(shift))
