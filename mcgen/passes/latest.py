"""Stages as late as possible: loops that nobody waits for move to where others run, so that fewer kernels are launched."""
from __future__ import annotations

from typing import Mapping

from ..ir.nodes import Program, Value, slot_axis
from .apart import levelled, of_levels
from .token_loops import over_tokens, scans_rows

NEVER = 10**6


def latest(program: Program, stages, last: int, pinned: Mapping[int, int]) -> dict[int, int]:
    """id of a scan, slots loop or sum over rows -> the last stage in which it may run, all results being there by stage `last`.

    stages: the earliest ones (`Stages`); pinned: what has its stage already.
    """
    return _Latest(program, stages, last, pinned).run()


class _Latest:
    """rows: the stage of the kernel that computes a value; serial: of the loop that needs it, and of the loop for every level."""

    def __init__(self, program: Program, stages, last: int, pinned: Mapping[int, int]):
        self.program, self.stages, self.last, self.pinned = program, stages, last, pinned
        self.rows: dict[int, int] = {}
        self.serial: dict[bool, dict[int, int]] = {False: {}, True: {}}          # by whether it is for every level
        self.hosts: dict[int, int] = {}

    def run(self) -> dict[int, int]:
        for r in self.program.results:
            for v, _ in r.parts:
                if r.kind != "token":                         # a loop stores what it is itself, in the fused form in the last stage too
                    self.lower(self.rows, v, self.last + self.stages.fused)
                else:
                    self.lower(self.serial[False] if self.stages.looped(v) else self.rows, v, self.last)
        for v in reversed(self.program.order()):
            self.visit(v)
        return self.hosts

    def lower(self, found: dict[int, int], v: Value, stage: int) -> None:
        found[id(v)] = min(found.get(id(v), NEVER), stage)

    def visit(self, v: Value) -> None:
        s, rows = self.stages, self.rows.get(id(v), NEVER)
        serial = min(found.get(id(v), NEVER) for found in self.serial.values())
        if v.op == "out" and not over_tokens(v.args[0]):
            self.out(v, rows, serial)
        elif v.op == "slots" or scans_rows(v):
            self.loop(v)
        elif s.over_rows(v):
            at = self.hosts[id(v)] = self.pinned.get(id(v), max(min(rows, serial, self.last + 1) - 1, s.at(v)))
            for a in v.args:
                if levelled(a) and not levelled(v):
                    self.lower(self.rows, a, at - 1)
                else:
                    self.lower(self.serial[levelled(v)], a, at)
        elif v.op == "collect":
            at = min(rows, serial) - 1
            ways = s.ways(v.args[0])
            for a in (v.args[0], *v.args[2:]):
                self.lower(self.serial[any(of_every for _, of_every in ways)] if ways else self.rows, a, at)
        elif s.many(v):
            for a in v.args:
                self.lower(self.rows, a, min(rows, serial) - 1)
        else:
            self.plain(v, rows)

    def plain(self, v: Value, rows: int) -> None:
        dear = self.stages.weight(v) > self.stages.inline and not self.stages.passes(v, self.stages.inline)
        needed = [(found, found[id(v)]) for found in self.serial.values() if id(v) in found]
        if dear and needed:
            rows, needed = min(rows, *(at - 1 for _, at in needed)), []
            self.lower(self.rows, v, rows)
        for a in v.args:
            if rows < NEVER:
                self.lower(self.rows, a, rows)
            for found, at in needed:
                self.lower(found, a, at)

    def out(self, v: Value, rows: int, serial: int) -> None:
        """A loop runs before whatever reads its results; a scan's rows may be read by a scan of the same loop."""
        loop = v.args[0]
        if loop.op == "slots" and v["kind"] == "sum":
            at = min(rows, serial - 1)
        elif loop.op == "scan" and v["kind"] != "final":
            own, other = (self.serial[which].get(id(v), NEVER) for which in (of_levels(loop), not of_levels(loop)))
            at = min(rows - 1, own, other - 1)
        else:
            at = min(rows, serial) - 1
        self.lower(self.hosts, loop, at)

    def loop(self, v: Value) -> None:
        at = self.hosts[id(v)] = self.pinned.get(id(v), max(min(self.hosts.get(id(v), NEVER), self.last), self.stages.at(v)))
        if v.op == "slots" and slot_axis(v) == "l":
            for a in v.args:
                self.lower(self.rows, a, at - (self.stages.stored(a) - self.stages.ready(a)))
            return
        outer = v["xs"] if v.op == "slots" else len(v.args)
        for i, a in enumerate(v.args):
            self.lower(self.serial[of_levels(v)] if i < outer else self.rows, a, at)
