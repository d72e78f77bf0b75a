"""States computed token by token: a scan over the rows of the chunk table whose body is a scan over the row's tokens.

Between rows the states are carried as in any other form, and saved for the backward pass; inside a row they go from token
to token, and what a token reads of them leaves the scan. So the backward pass recomputes one row's states at a time.
What depends on no state is computed outside, for all tokens at once, unless it is a matrix for every token, or one that is made of
vectors: these are what the scan takes, and what has a gradient.
"""
from __future__ import annotations

from typing import Sequence

from ..ir.builder import Builder
from ..ir.nodes import Param, Program, Result, Value
from ..symbolic.read import Read
from ..symbolic.terms import Term, walk
from .emit import Emitter, Entered, TokenEmitter
from .levels import ended, restarts
from .states import States


class TokenScan:
    """start, end, final: of each scanned state, as `States` has them. reads: index of an atom -> its value over r and c."""

    def __init__(self, b: Builder, model, names: Sequence[str], read: Read | None, emitter: Emitter, update_emitter: Emitter,
                 states: States, fresh: bool):
        """update_emitter: for update terms, whose delays stay within a segment under `fresh`. read: None for the runs of all
        levels (see `levels`), which nobody reads; `end` is then the memory that ends with a row."""
        self.b, self.names, self.live = b, list(names), read is None
        self.stem = "live." if self.live else ""
        self.own = {n: states.axes[n] for n in names}
        self.axes = {n: ("l", *axes) if self.live else axes for n, axes in self.own.items()}
        # a branch is taken at one level and not at another: gradients keep them apart until no condition is left
        self.entered = Entered(b, along="l" if self.live and any(map(branches, map(model.update.get, names))) else "")
        old = {n: b.param(Param(f"at.{self.stem}{n}", "value", self.axes[n])) for n in names}
        update = TokenEmitter(update_emitter, self.entered, lambda t: old[t["name"]])
        new = {n: update.emit(model.update[n]) for n in names}
        atoms: dict[int, Value] = {}
        reader = TokenEmitter(emitter, self.entered, lambda t: atoms[t["index"]] if t.op == "atom" else
                               (old if t["when"] == "old" else new)[t["name"]])
        for i, atom in enumerate(read.atoms if read is not None else ()):
            if atom.kind == "free":
                atoms[i] = reader.emit(atom.term)
            elif atom.state in new:
                atoms[i] = states.contract(atom, (old if atom.when == "old" else new)[atom.state], reader)
        shapes = {i: states.shape(read.atoms[i]) for i in atoms}
        body = Program("tokens", (*(Param(f"at.{self.stem}{n}", "value", self.axes[n]) for n in names), *self.entered.params()), (
            *(Result(f"at.{self.stem}{n}", "value", self.axes[n], ((new[n], 0),)) for n in names),
            *(Result(f"read.{i}", "value", shapes[i], ((value, 0),)) for i, value in atoms.items())))
        self._rows(body, shapes, states.completes if fresh else None)

    def _rows(self, body: Program, shapes: dict[int, tuple[str, ...]], completes: Value | None) -> None:
        b, names, stem = self.b, self.names, self.stem
        outer = Entered(b, f"{stem}row", rows=True)
        old = [Param(f"old.{stem}{n}", "value", self.axes[n]) for n in names]
        count = outer.enter(b.row("count"))
        xs, consts = ([outer.enter(v) for v in values] for values in (self.entered.xs, self.entered.consts))
        last, _, reads = b.scan(body, [b.param(p) for p in old], xs, consts, count=count)
        carried = last
        if completes is not None:
            done = outer.enter(completes)
            starts = [outer.enter(b.param(Param(f"init.{n}", "head", self.own[n]))) for n in names]
            if self.live:
                ends = outer.enter(restarts(b, completes, "l"))
                starts = [b.where(ends, start, after) for start, after in zip(starts, last)]
            carried = [b.where(done, start, after) for start, after in zip(starts, last)]
        left = last
        if self.live:
            segment, level = outer.enter(b.row("segment")), outer.enter(b.iota("l"))
            left = [ended(b, x, segment, level) for x in last]
        rows = Program("rows", (*old, *outer.params()), (
            *(Result(p.name, "value", p.axes, ((v, 0),)) for p, v in zip(old, carried)),
            *(Result(f"end.{stem}{n}", "value", self.own[n], ((v, 0),)) for n, v in zip(names, left)),
            *(Result(f"read.{i}", "value", ("c", *axes), ((v, 0),)) for (i, axes), v in zip(shapes.items(), reads))))
        states = [b.param(Param(f"live.{n}", "levels", self.own[n]) if self.live else Param(f"state.{n}", "memory", self.own[n])) for n in names]
        finals, starts, ys = b.scan(rows, states, outer.xs, outer.consts)
        self.final, self.start, self.end = (dict(zip(names, values)) for values in (finals, starts, ys))
        self.reads = dict(zip(shapes, ys[len(names):]))


def branches(t: Term) -> bool:
    """Whether it depends on a state which branch of a `where` or `huber` is taken: on the first two arguments of each."""
    return any(s.op == "state" for x in walk(t) if x.op in ("where", "huber") for compared in x.args[:2] for s in walk(compared))
