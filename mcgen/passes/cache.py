"""Memory Caching as a pass over any rule: summaries, scores, weights, and the mix of what the memories answer.

Everything here is written once for the online memory (over r, c) and once for the cached ones (over r, c, n); a cached
memory takes part for a token when its segment lies before the token's own, and, under `select`, when it is chosen.

With logarithmic growth a unit is what a segment is otherwise, and one memory is cached for every unit's end: m units end in
a memory of 2^j units, j the lowest digit of m that is 1. A token after s units reads the memories of the digits of s that
are 1: that of 2^j ended with the first s units without their lower digits. So n stands for digits, and memories are taken
from their table over m.
"""
from __future__ import annotations

from dataclasses import dataclass

from ..diagnostics import NotLowered
from ..ir.builder import Builder
from ..ir.nodes import LEAD, Param, Program, Result, Value
from ..symbolic.model import CacheModel
from ..symbolic.read import Read
from ..symbolic.terms import Term, walk
from .emit import Emitter, axes_of
from .levels import ended, restarts, units_of
from .memories import Memories

MASKED = -1.0e30                 # a score that never wins: finite, so that differences of scores stay finite
_PER_MEMORY = {"age", "level", "score", "summary"}


@dataclass
class Weights:
    """online: over r, c; cached: over r, c, n, 0 where a memory takes no part; taking: truth over r, c, n."""

    online: Value
    cached: Value
    taking: Value


class CachePass:
    """One model's cache. `results` gathers what the memory hands on: (name, kind, axes, value)."""

    def __init__(self, b: Builder, model, emitter: Emitter, states: Memories):
        self.b, self.model, self.emitter, self.states = b, model, emitter, states
        self.cache: CacheModel = model.cache
        b.pos = self.cache.weight.pos
        self.merging = model.cache.segments.growth == "logarithmic"
        self.past = b.called(b.map("digit", b.row("segment"), b.iota("n")) if self.merging else b.map("lt", b.iota("n"), b.row("segment")), "past")
        self.results: list[tuple[str, str, tuple[str, ...], Value]] = []
        self.afters: list[Term] = []
        self.memories: dict[str, Value] = {}             # cached states that the read asks for, over n
        self._after_start: dict[int, Value] = {}
        self._summaries()

    # -- summaries ---------------------------------------------------------------------------------------------
    def _summaries(self) -> None:
        """The running sum of the open segment, and the finished summaries of cached ones."""
        if self.cache.summary is None:
            self.summary_online = self.summary_cached = None
            return
        b, (kind, expr) = self.b, self.cache.summary
        axes = axes_of(expr.shape)
        b.pos = self.model.spec.cache.summary.expr.pos
        valid = b.map("lt", b.iota("c"), b.row("count"))
        item = b.called(b.where(valid, self.emitter.emit(expr)), "summand")
        total = b.called(b.sum(item, ["c"]), "sum_of_row")
        old, x, done = (Param(f"{part}.summary.partial", "value", a, dtype=d) for part, a, d in (
            ("old", axes, "f"), ("sum", axes, "f"), ("done", (), "b")))
        after = b.called(b.map("add", b.param(old), b.param(x)), "partial")
        body = Program("carry_partial", (old, x, done), (
            Result("old.summary.partial", "value", axes, ((b.called(b.where(b.param(done), b.zero(), after), "next_partial"), 0),)),
            Result("end.summary.partial", "value", axes, ((after, 0),))))
        finals, starts, ys = b.scan(body, [b.param(Param("summary.partial", "memory", axes))], [total, self.states.completes], [])
        running = b.called(b.map("add", starts[0], b.cumsum(item, "c")), "sum_so_far")
        finished = self._merged(total, axes) if self.merging else ys[0]
        if kind == "mean":
            seen = b.called(b.map("add", b.map("float", b.map("add", b.iota("c"), b.row("offset"))), b.const(1.0)), "seen")
            running = b.map("mul", running, b.map("div", b.const(1.0), seen))
            finished = b.map("mul", finished, b.const(1.0 / self.cache.segments.length))
            finished = b.called(b.map("div", finished, units_of(b)) if self.merging else finished, "finished")
        self.summary_online = b.called(running, "summary_online")
        self.summary_cached = self._cached("summary", axes, finished, "summaries")
        self.results.append(("new.summary.partial", "memory", axes, finals[0]))

    def _merged(self, total: Value, axes: tuple[str, ...]) -> Value:
        """The sum over the memory that ends with a row: over r."""
        b = self.b
        old, x, ends, segment, level = (Param(f"{part}.live.summary", "value", a, dtype=d) for part, a, d in (
            ("old", ("l", *axes), "f"), ("sum", axes, "f"), ("ends", ("l",), "b"), ("segment", (), "i"), ("level", ("l",), "i")))
        after = b.map("add", b.param(old), b.param(x))
        body = Program("carry_live_summary", (old, x, ends, segment, level), (
            Result("old.live.summary", "value", ("l", *axes), ((b.where(b.param(ends), b.zero(), after), 0),)),
            Result("end.live.summary", "value", axes, ((ended(b, after, b.param(segment), b.param(level)), 0),))))
        carry = b.param(Param("live.summary", "levels", axes))
        finals, _, ys = b.scan(body, [carry], [total, restarts(b, self.states.completes, "l"), b.row("segment")], [b.iota("l")])
        self.results.append(("new.live.summary", "levels", axes, finals[0]))
        return ys[0]

    # -- what a weight may speak of ----------------------------------------------------------------------------
    def _names(self, online: bool, score: Value | None, count: Value | None, softmax=None) -> Emitter:
        b = self.b

        def leaf(t: Term) -> Value:
            if t.op == "after":
                return b.zero() if online else self._after(t)
            if t.op == "mixsoftmax":
                return softmax(t)
            if t.op != "online":
                raise NotLowered(f"'{t.op}' in a weight or score", t.pos)
            match t["name"]:
                case "summary":
                    return self.summary_online if online else self.summary_cached
                case "score":
                    return score
                case "count":
                    return count
                case "level":
                    if online or not self.merging:
                        return b.const(0.0 if online else 1.0)
                    return b.map("add", b.map("float", b.iota("n")), b.const(1.0))
                case "age":
                    if online:
                        return b.const(0.0)
                    if self.merging:                              # of the shorter ones every digit that is 1
                        return b.map("add", b.map("float", b.map("ones", b.row("segment"), b.iota("n"))), b.const(1.0))
                    back = b.map("float", b.map("sub", b.row("segment"), b.iota("n")))
                    return b.map("maximum", back, b.const(1.0))    # slots yet to come: no division by 0
            raise NotLowered(f"'{t['name']}' in a weight or score", t.pos)

        return self.emitter.child(leaf)

    def _after(self, t: Term) -> Value:
        """The sum of a per-token term since a memory's last token: carried per slot, so that nothing cancels."""
        b, expr = self.b, t.args[0]
        if id(expr) not in self._after_start:
            index = len(self.afters)
            self.afters.append(expr)
            valid = b.map("lt", b.iota("c"), b.row("count"))
            item = b.where(valid, self.emitter.emit(expr))
            old, x, past, real = (Param(f"{p}.after.{index}", "value", a, dtype=d) for p, a, d in (
                ("old", ("n",), "f"), ("sum", (), "f"), ("past", ("n",), "b"), ("real", (), "b")))
            total = b.map("add", b.param(old), b.param(x))
            total = b.where(b.param(past), b.zero(), total) if self.merging else b.where(b.param(past), total)
            total = b.where(b.param(real), total, b.param(old))              # rows without tokens change nothing
            body = Program(f"carry_after{index}", (old, x, past, real), (Result(f"old.after.{index}", "value", ("n",), ((total, 0),)),))
            carry = b.param(Param(f"after.{index}", "slots", ()))
            changes = restarts(b, self.states.completes, "n") if self.merging else self.past
            finals, starts, _ = b.scan(body, [carry], [b.sum(item, ["c"]), changes, b.map("gt", b.row("count"), b.zero())], [])
            self.results.append((f"new.after.{index}", "slots", (), finals[0]))
            self._after_start[id(expr)] = b.map("add", starts[0], b.cumsum(item, "c"))
        return b.where(self.past, self._after_start[id(expr)])

    # -- weights -----------------------------------------------------------------------------------------------
    def weights(self) -> Weights:
        b, cache = self.b, self.cache
        scores = (None, None)
        if cache.score is not None:
            scores = tuple(b.called(self._names(o, None, None).emit(cache.score), f"score_{_place(o)}") for o in (True, False))
        b.pos = cache.weight.pos
        taking = self.past
        count = b.sum(b.where(self.past, b.const(1.0)), ["n"]) if self.merging else b.map("float", b.row("segment"))
        if cache.top is not None:
            taking = b.topk(b.where(self.past, b.spread(b.spread(scores[1], "n"), "c"), b.const(MASKED)), cache.top, self.merging)
            count = b.map("minimum", count, b.const(cache.top))
        count = b.called(b.map("add", count, b.const(1.0)), "count")
        memo: dict[int, tuple[Value, Value]] = {}

        def softmax(t: Term) -> tuple[Value, Value]:
            if id(t) not in memo:
                here = emitters[0].emit(t.args[0])
                there = b.where(taking, emitters[1].emit(t.args[0]), b.const(MASKED))
                top = b.called(b.map("stop", b.map("maximum", here, b.max(there, "n"))), "top")
                here, there = (b.called(b.map("exp", b.map("sub", x, top)), f"exp_{_place(o)}") for x, o in ((here, True), (there, False)))
                share = b.called(b.map("div", b.const(1.0), b.called(b.map("add", here, b.sum(there, ["n"])), "total")), "share")
                memo[id(t)] = b.map("mul", here, share), b.map("mul", there, share)
            return memo[id(t)]

        emitters = [self._names(o, scores[0 if o else 1], count, lambda t, o=o: softmax(t)[0 if o else 1]) for o in (True, False)]
        online, cached = (e.emit(cache.weight) for e in emitters)
        return Weights(b.called(online, "weight_online"), b.called(b.where(taking, cached), "weight_cached"), b.called(taking, "taking"))

    # -- the mix -----------------------------------------------------------------------------------------------
    def mix(self, read: Read) -> Value:
        """y before `output`, over r, c and the read's shape."""
        b, states, emitter = self.b, self.states, self.emitter
        memories = self.memories = dict.fromkeys(name for a in read.atoms for name in a.states)
        b.pos = self.model.read.pos
        for name in memories:
            axes = states.axes[name]
            memories[name] = self._cached(f"cache.{name}", axes, states.end[name], f"cached_{name}")
        online = states.online(read, emitter)
        weights = self.weights()
        if self.carried_sum(read):
            sums = {name: self._sum_of_cached(name, memories) for name in memories}
            summed = [b.map("add", x, y) for x, y in zip(online, states.of(read, sums, emitter))]
            return b.map("mul", weights.online, apply(read, summed, emitter))
        if self.cache.mix == "states" and read.nested:
            raise NotLowered("mixed states under a read that is no function of products of a state with a vector", self.model.read.pos,
                             hint="mix: reads mixes what the memories answer")
        b.pos = self.model.read.pos
        cached = states.of(read, memories, emitter)
        b.pos = self.cache.weight.pos
        if self.cache.mix == "states" or read.linear:
            mixed = [b.called(b.map("add", b.map("mul", weights.online, x), b.called(b.sum(b.map("mul", weights.cached, y), ["n"]), "recalled")), "mixed")
                     for x, y in zip(online, cached)]
            return apply(read, mixed, emitter)
        answers = b.map("mul", weights.cached, b.called(apply(read, cached, emitter), "answer"))
        return b.map("add", b.map("mul", weights.online, apply(read, online, emitter)), b.called(b.sum(answers, ["n"]), "recalled"))

    def _cached(self, name: str, axes: tuple[str, ...], end: Value, called: str) -> Value:
        """A table of what segments leave behind, handed on, as the memories of a row: over n, and r where they merge."""
        b, kind = self.b, "units" if self.merging else "slots"
        table = b.called(b.collect(end, b.param(Param(name, kind, axes)), LEAD[kind][0]), called)
        self.results.append((f"new.{name}", kind, axes, table))
        return b.called(b.take(table, b.iota("n")), called) if self.merging else table

    def carried_sum(self, read: Read) -> bool:
        """Whether the sum of cached states can be carried: a linear read, all memories taking part, and a weight that
        is the same for all of them, as long as they are there."""
        return read.linear and self.cache.top is None and not self.merging and not any(
            t.op in ("after", "mixsoftmax") or (t.op == "online" and t["name"] in _PER_MEMORY) for t in walk(self.cache.weight))

    def _sum_of_cached(self, name: str, memories) -> Value:
        """The sum of the cached memories that lie before a row, as a carry of the scan: over r and the state's axes."""
        b, axes = self.b, self.states.axes[name]
        old, end, done = (Param(f"{part}.sum.{name}", "value", a, dtype=d) for part, a, d in (
            ("old", axes, "f"), ("end", axes, "f"), ("done", (), "b")))
        total = b.map("add", b.param(old), b.where(b.param(done), b.param(end)))
        body = Program(f"carry_sum_{name}", (old, end, done), (Result(f"old.sum.{name}", "value", axes, ((total, 0),)),))
        earlier = b.sum(b.param(Param(f"cache.{name}", "slots", axes)), ["n"])     # slots not yet cached are zero
        _, starts, _ = b.scan(body, [earlier], [self.states.end[name], self.states.completes], [])
        return starts[0]


def _place(online: bool) -> str:
    return "online" if online else "cached"


def apply(read: Read, atoms: list[Value], emitter: Emitter) -> Value:
    """The read's body with values for its atoms."""
    return emitter.child(lambda t: atoms[t["index"]]).emit(read.body)
