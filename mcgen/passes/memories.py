"""All states of a model behind one face, whatever form computes them: what reads give of the online and of cached memories."""
from __future__ import annotations

from typing import Mapping

from ..ir.builder import Builder
from ..ir.nodes import Value
from ..symbolic.read import Read
from .choose import Choice
from .emit import Emitter
from .levels import LevelEmitter, decay_since, run_of
from .states import States
from .token_scan import TokenScan


class Memories:
    """axes, final, end: by state. completes: whether a row completes its segment. live: what the runs of all levels leave
    behind, where segments that start fresh merge; `end` is then of these."""

    def __init__(self, b: Builder, model, emitter: Emitter, update_emitter: Emitter, choice: Choice, fresh: bool):
        self.chunked = States(b, model, update_emitter, choice.affine, fresh)
        self.axes, self.completes = self.chunked.axes, self.chunked.completes
        self.reads: Mapping[int, Value] = {}
        self.final, self.end = dict(self.chunked.final), dict(self.chunked.end)
        if choice.scanned:
            scan = TokenScan(b, model, tuple(choice.scanned), choice.read, emitter, update_emitter, self.chunked, fresh)
            self.reads = scan.reads
            self.final |= scan.final
            self.end |= scan.end
        self.final = {n: self.final[n] for n in model.states}
        self.live: dict[str, Value] = {}
        self.since: dict[str, Value] = {}
        self.adding: dict[str, tuple[Value, Value]] = {}       # states whose runs their memories tell: the run's start, what is left
        if fresh and model.cache.segments.growth == "logarithmic":
            self._levels(b, model, emitter, choice)

    def _levels(self, b: Builder, model, emitter: Emitter, choice: Choice) -> None:
        update_emitter = LevelEmitter(b, model, emitter.params, within_segment=True)
        runs = [States(b, model, update_emitter, choice.affine, True, live=True)]
        if choice.scanned:
            runs.append(TokenScan(b, model, tuple(choice.scanned), None, emitter, update_emitter, self.chunked, True))
        for run in runs:
            self.live |= run.final
            self.end |= run.end
        self.live = {n: self.live[n] for n in model.states}
        for name, factor in runs[0].adding.items():
            left = b.const(1.0)
            if factor.op != "const":
                left, self.since[name] = decay_since(b, name, factor, self.completes)
            self.adding[name] = runs[0].start[name], left

    def told(self, memories: Mapping[str, Value]) -> list[tuple[Value, Value]]:
        """What need not be saved for the backward pass: (runs of levels before a row, the same from cached memories)."""
        b = self.chunked.b
        return [(start, run_of(b, self.chunked.start[n], left, memories[n])) for n, (start, left) in self.adding.items() if n in memories]

    def online(self, read: Read, emitter: Emitter) -> list[Value]:
        """What a token reads of the online memory, atom by atom: over r, c and the atom's shape."""
        found: list[Value] = []
        inner = emitter.child(lambda t: found[t["index"]])
        for i, atom in enumerate(read.atoms):
            found.append(self.reads[i] if i in self.reads else self.chunked.online(atom, inner))
        return found

    def of(self, read: Read, memories: Mapping[str, Value], emitter: Emitter) -> list[Value]:
        """The same of given memories, state -> memory with whatever leading axes it has."""
        found: list[Value] = []
        inner = emitter.child(lambda t: found[t["index"]] if t.op == "atom" else memories[t["name"]])
        for atom in read.atoms:
            found.append(inner.emit(atom.term) if atom.term is not None else self.chunked.contract(atom, memories[atom.state], inner))
        return found
