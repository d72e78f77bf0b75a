"""The chunk form of states with a scalar decay: what a row does to a state, and what a token reads of it.

With G the running sum of the log decay inside a row, S the state before the row (derivation: docs of the pass):

    write to read     P[c, d] = (x_c . k_d) exp(G_c - G_d)      for d <= c  (d < c for a read before the update)
    read              A_c = exp(G_c) S^T x_c + sum_d P[c, d] v_d
    next state        S' = exp(G_C) S + sum_c exp(G_C - G_c) k_c v_c^T

Differences are masked before exp, so nothing overflows; a log decay below CLAMP counts as CLAMP, which is 0 in float32.
"""
from __future__ import annotations

from dataclasses import dataclass

from ..diagnostics import NotLowered
from ..ir.builder import Builder
from ..ir.nodes import Param, Program, Result, Value, dim_axis
from ..symbolic.algebra import Algebra
from ..symbolic.decay import log_decay
from ..symbolic.linear import Form, form
from ..symbolic.read import Atom
from ..symbolic.terms import Term
from .emit import Emitter, axes_of

CLAMP = -120.0
MASKED = -1.0e4                  # stands before exp where a token does not reach another


@dataclass(frozen=True)
class Affine:
    """One state's update: name, scale (the factor on the old state), its logarithm (None: 1), and the writes."""

    name: str
    scale: Term
    log: Term | None
    form: Form


def collect_affine(model) -> dict[str, Affine]:
    """The affine form of every state. Raises NotLowered with the place of what has none."""
    algebra = Algebra(model.inputs)
    found: dict[str, Affine] = {}
    for name, update in model.update.items():
        linear = form(update)
        own = [(key, scale) for key, scale in linear.states if key == (name, "old", False)]
        if len(own) != len(linear.states):
            raise NotLowered("a state whose update reads another state", update.pos)
        if not own:
            raise NotLowered("an update that forgets the whole state", update.pos)
        scale = own[0][1]
        log = log_decay(scale, algebra)
        # states with equal decays share one matrix of decays: let the terms be the same object
        for other in found.values():
            if log is not None and other.log is not None and algebra.equal(log, other.log):
                log = other.log
        found[name] = Affine(name, scale, log, linear)
    return found


class Decay:
    """Everything that depends on one log decay inside a row; shared by the states that have it."""

    def __init__(self, b: Builder, log: Value | None):
        self.b = b
        self.valid = b.called(b.map("lt", b.iota("c"), b.row("count")), "valid")
        self.log = None if log is None else b.called(b.where(self.valid, b.map("maximum", log, b.const(CLAMP))), "log_decay")

    def start(self, when: str) -> Value:
        """The factor on the state before the row, as a token sees it: over r and c."""
        if self.log is None:
            return self.b.const(1.0)
        so_far = self.b.called(self.b.cumsum(self.log, "c", exclusive=when == "old"), "G")
        return self.b.called(self.b.map("exp", so_far), "decay")

    def end(self) -> Value:
        """The factor on a token's write at the end of the row: over r and c, 0 past the row's tokens."""
        b = self.b
        if self.log is None:
            return b.called(b.where(self.valid, b.const(1.0)), "inside")
        to_come = b.called(b.cumsum(self.log, "c", reverse=True, exclusive=True), "G_after")
        return b.called(b.where(self.valid, b.map("exp", to_come)), "decay_after")

    def whole(self) -> Value:
        """The factor of the whole row on the state before it: over r."""
        return self.b.const(1.0) if self.log is None else self.b.called(self.b.map("exp", self.b.sum(self.log, ["c"])), "decay_of_row")

    def reach(self, product: Value, when: str) -> Value:
        """product[c, d] times the decay from d to c, 0 where d does not come before c."""
        b = self.b
        order = b.map("gt" if when == "old" else "ge", b.iota("c"), b.iota("d"))
        order = b.called(b.map("and", order, b.map("lt", b.iota("d"), b.row("count"))), "earlier")
        if self.log is None:
            return b.called(b.where(order, product), "P")
        gap = b.called(b.segsum(self.log, exclusive=when == "old"), "gap")
        reach = b.called(b.map("exp", b.where(order, gap, b.const(MASKED))), "reach")
        return b.called(b.map("mul", product, reach), "P")


class States:
    """The states of a model in chunk form: scans over rows, reads of the online memory and of cached ones."""

    def __init__(self, b: Builder, model, emitter: Emitter, affine: dict[str, Affine], fresh: bool):
        """emitter: for update terms, whose delays stay within a segment under `fresh`."""
        self.b, self.model, self.affine = b, model, affine
        self.axes = {name: axes_of(state.shape) for name, state in model.states.items()}
        self.decays: dict[int, Decay] = {}
        self.writes: dict[str, list[tuple[Value, Value | None, Value | None]]] = {}
        self.start: dict[str, Value] = {}
        self.end: dict[str, Value] = {}
        self.final: dict[str, Value] = {}
        ends = b.map("eq", b.map("add", b.row("offset"), b.row("count")), b.const(model.cache.segments.length if model.cache else -1))
        self.completes = b.called(b.map("and", b.map("gt", b.row("count"), b.const(0)), ends), "completes")
        for name in model.states:
            self._state(name, emitter, fresh)

    def decay(self, name: str) -> Decay:
        log = self.affine[name].log
        return self.decays[id(log)]

    def _state(self, name: str, emitter: Emitter, fresh: bool) -> None:
        b, spec = self.b, self.affine[name]
        axes = self.axes[name]
        if id(spec.log) not in self.decays:
            self.decays[id(spec.log)] = Decay(b, None if spec.log is None else emitter.emit(spec.log))
        decay = self.decays[id(spec.log)]
        increment = b.zero()
        b.pos = self.model.update[name].pos
        self.writes[name] = []
        for write in spec.form.writes:
            coef = emitter.emit(write.coef)
            key = None if write.key is None else emitter.emit(write.key)
            value = None
            if write.value is not None:
                value = b.rename(emitter.emit(write.value), {dim_axis(self.model.states[name].shape[1]): axes[1]})
                value, coef = b.map("mul", coef, value), b.const(1.0)
            self.writes[name].append((coef, key, value))
            weight = b.called(b.map("mul", decay.end(), coef), "weight")
            if key is None:
                increment = b.map("add", increment, b.sum(weight, ["c"]))
            else:
                scaled = b.called(b.map("mul", key, weight), "write")
                increment = b.map("add", increment, b.dot(scaled, b.const(1.0) if value is None else value, ["c"]))
        b.called(increment, f"increment_{name}")
        self._scan(name, decay.whole(), increment, axes, fresh)

    def _scan(self, name: str, factor: Value, increment: Value, axes: tuple[str, ...], fresh: bool) -> None:
        b = self.b
        old = Param(f"old.{name}", "value", axes)
        params, inputs, consts = [old], [], []

        def passed(prefix: str, value: Value, axes: tuple[str, ...]) -> Value:
            if value.op == "const":
                return value
            params.append(Param(f"{prefix}.{name}", "value", axes))
            inputs.append(value)
            return b.param(params[-1])

        after = b.called(b.map("add", b.map("mul", passed("factor", factor, ()), b.param(old)), passed("write", increment, axes)), f"next_{name}")
        carried = after
        if fresh:
            done, init = Param(f"done.{name}", "value", (), dtype="b"), Param(f"init.{name}", "value", axes)
            params += [done, init]
            inputs.append(self.completes)
            consts.append(b.param(Param(f"init.{name}", "head", axes)))
            carried = b.called(b.where(b.param(done), b.param(init), after), f"start_{name}")
        body = Program(f"carry_{name}", tuple(params), (Result(f"old.{name}", "value", axes, ((carried, 0),)),
                                                       Result(f"end.{name}", "value", axes, ((after, 0),))))
        finals, starts, ys = b.scan(body, [b.param(Param(f"state.{name}", "memory", axes))], inputs, consts)
        self.final[name], self.start[name], self.end[name] = finals[0], starts[0], ys[0]

    # -- reads -------------------------------------------------------------------------------------------------
    def online(self, atom: Atom, emitter: Emitter) -> Value:
        """What the token reads of the online memory: over r, c and the atom's shape."""
        b, name = self.b, atom.state
        decay, axes = self.decay(name), self.axes[name]
        total = b.called(b.map("mul", decay.start(atom.when), self.contract(atom, self.start[name], emitter)), "carried")
        late = lambda x: b.rename(x, {"c": "d"})
        for coef, key, value in self.writes[name]:
            if atom.kind == "whole":
                matrix = decay.reach(b.const(1.0), atom.when)
                vector = coef if key is None else b.map("mul", coef, key)
                part = b.dot(matrix, late(vector), ["d"])
            else:
                query = self.query(atom, emitter)
                against = value if atom.kind == "cols" else key
                other = {"rows": value, "cols": key, "vector": coef}[atom.kind]
                overlap = b.called(b.dot(query, late(against), [axes[1] if atom.kind == "cols" else axes[0]]), "overlap")
                matrix = decay.reach(overlap, atom.when)
                part = b.dot(matrix, late(other), ["d"])
            total = b.map("add", total, b.called(self.plain(atom, part), "recent"))
        return b.called(total, "online")

    def query(self, atom: Atom, emitter: Emitter) -> Value:
        axes = self.axes[atom.state]
        axis = axes[1] if atom.kind == "cols" else axes[0]
        return self.b.rename(emitter.emit(atom.query), {dim_axis(atom.query.shape[0]): axis})

    def contract(self, atom: Atom, memory: Value, emitter: Emitter) -> Value:
        """A memory (with whatever leading axes it has) contracted with the atom's query."""
        axes = self.axes[atom.state]
        if atom.kind == "whole":
            return memory
        axis = axes[1] if atom.kind == "cols" else axes[0]
        return self.b.called(self.plain(atom, self.b.dot(self.query(atom, emitter), memory, [axis])), f"read_{atom.state}")

    def plain(self, atom: Atom, x: Value) -> Value:
        axes = self.axes[atom.state]
        if atom.kind == "rows" and axes[1].endswith("~"):
            return self.b.rename(x, {axes[1]: axes[1].rstrip("~")})
        return x
