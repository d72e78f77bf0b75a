"""The chunk form of affine states: what a row does to them, and what a token reads of them.

With S a state before the row and w_d the value that token d writes under its key k_d, everything that a token c reads is

    A_c = start_c S^T x_c + sum over d of P[c, d] w_d,        P[c, d] = (x_c . k_d) * weight from d to c

with d <= c after the token's update, d < c before it. A value that itself reads the states, w = plain + S^T y, is what
such reads before the update say: w = plain + start S^T y + L w, L strictly lower, so w = (1 - L)^-1 (plain + start S^T y).
That needs the state, so it stands in the scan over rows; L does not. After the row

    S' = whole S + sum over d of (weight from d to the end) k_d w_d^T
"""
from __future__ import annotations

from dataclasses import dataclass, field

from ..diagnostics import NotLowered
from ..ir.builder import Builder
from ..ir.nodes import Param, Program, Result, Value, dim_axis, step_axis
from ..symbolic.affine import Group, Write
from ..symbolic.algebra import Algebra
from ..symbolic.decay import log_decay
from ..symbolic.read import Atom
from ..symbolic.terms import Term
from .decays import Channels, Coupled, Decay, Weights
from .emit import Emitter, axes_of
from .levels import ended, restarts


@dataclass(frozen=True)
class Written:
    """Values that tokens write, over r, c, the step axis if there are several a token, and the states' value axis.
    keys: state -> key over r, c, step and the contracted axis. step: '' for one value a token; parts: keys step by step."""

    keys: dict[str, Value]
    value: Value
    step: str = ""
    parts: dict[str, list[Value]] = field(default_factory=dict)

    @property
    def tokens(self) -> list[str]:
        return ["c", self.step] if self.step else ["c"]


class States:
    """The states of a model in chunk form: scans over rows, reads of the online memory and of cached ones."""

    def __init__(self, b: Builder, model, emitter: Emitter, groups: tuple[Group, ...], fresh: bool, live: bool = False):
        """emitter: for update terms, whose delays stay within a segment under `fresh`. live: not the online memory, but
        the runs of all levels (see `levels`), `end` being the memory that ends with a row."""
        self.b, self.model, self.emitter, self.fresh, self.live = b, model, emitter, fresh, live
        self.axes = {name: axes_of(state.shape) for name, state in model.states.items()}
        self.group = {name: g for g in groups for name in g.states}
        self.start: dict[str, Value] = {}
        self.end: dict[str, Value] = {}
        self.final: dict[str, Value] = {}
        self.written: dict[str, list[Written]] = {}
        self.adding: dict[str, Value] = {}           # of live runs: states that add up over segments, with the factor of a row
        ends = b.map("eq", b.map("add", b.row("offset"), b.row("count")), b.const(model.cache.segments.length if model.cache else -1))
        self.completes = b.called(b.map("and", b.map("gt", b.row("count"), b.const(0)), ends), "completes")
        self._decays(groups)
        for group in groups:
            self._group(group)

    def _decays(self, groups: tuple[Group, ...]) -> None:
        b, algebra, known = self.b, Algebra(self.model.inputs), []
        self.decay: dict[str, Weights] = {}

        def scalar(t: Term) -> Decay:
            """The decay of a number; equal ones are one, so that they share their matrix."""
            log, sign = log_decay(t, algebra)
            for other, its_sign, made in known:
                if sign is its_sign and (log is other or None not in (log, other) and algebra.equal(log, other)):
                    return made
            known.append((log, sign, Decay(b, *(None if x is None else self.emitter.emit(x) for x in (log, sign)))))
            return known[-1][2]

        for group in groups:
            own = {}
            for name in group.states:
                factor, axes = group.factors[name, name], self.axes[name]
                own[name] = scalar(factor.scalar) if not factor.diagonal else Channels(
                    b, {axis: self.vector(factor.axis(i), axis) for i, axis in enumerate(axes) if factor.axis(i) is not None})
            if group.coupled:
                taken = {key: self.emitter.emit(f.scalar) for key, f in group.factors.items() if key[0] != key[1]}
                own = dict.fromkeys(group.states, Coupled(b, own, taken))
            self.decay.update(own)

    # -- what is written -----------------------------------------------------------------------------------------
    def value_axis(self, group: Group) -> str | None:
        axes = self.axes[group.states[0]]
        return axes[1 - group.contracted] if len(axes) == 2 else None

    def key_axis(self, group: Group) -> str | None:
        axes = self.axes[group.states[0]]
        return axes[group.contracted] if axes else None

    def vector(self, t: Term | None, axis: str | None) -> Value:
        """A vector of the spec along a state's axis; a scalar as it is, 1 for None."""
        if t is None:
            return self.b.const(1.0)
        value = self.emitter.emit(t)
        return self.b.rename(value, {dim_axis(t.shape[0]): axis}) if t.shape and axis else value

    def _key(self, w: Write, name: str, group: Group) -> Value:
        coef, key = dict(w.keys)[name]
        return self.b.called(self.b.map("mul", self.emitter.emit(coef), self.vector(key, self.key_axis(group))), "key")

    def _group(self, group: Group) -> None:
        b, known, unknown = self.b, [w for w in group.writes if not w.reads], group.unknown
        b.pos = self.model.update[group.states[0]].pos
        written = [Written({n: self._key(w, n, group) for n, _ in w.keys}, self._plain(w, group)) for w in known]
        increments = {n: b.called(b.add(*(self._added(x, n) for x in written)), f"increment_{n}") for n in group.states}
        if not unknown:
            for names in ([list(group.states)] if group.coupled else [[n] for n in group.states]):
                self._scan(group, names, increments, None)
            self.written.update(dict.fromkeys(group.states, written))
            return
        step = step_axis(len(unknown)) if len(unknown) > 1 else ""
        parts = {n: [self._key(w, n, group) if n in dict(w.keys) else b.zero() for w in unknown]
                 for n in group.states if any(n in dict(w.keys) for w in unknown)}
        asked = {n: [self.vector(dict(w.reads)[n], self.key_axis(group)) if n in dict(w.reads) else b.zero()
                     for w in unknown] for n in group.states if any(n in dict(w.reads) for w in unknown)}
        blank = Written({n: self._stack(x, step) for n, x in parts.items()}, b.zero(), step, parts)
        reads = {n: self._stack(x, step) for n, x in asked.items()}
        matrix = b.add(*(self._reach(n, reads[n], blank, group.contracted, "old") if not isinstance(self.decay[n], Channels) else
                         self._stack([self._reach(n, y, blank, group.contracted, "old") for y in each], step) for n, each in asked.items()))
        b.called(matrix, "L")
        plain = self._stack([b.add(self._plain(w, group), *(self._seen(n, asked[n][i], x, group.contracted, "old")
                                                            for n in asked for x in written)) for i, w in enumerate(unknown)], step)
        value = self._scan(group, list(group.states), increments, (matrix, plain, reads, blank))
        self.written.update(dict.fromkeys(group.states, [*written, Written(blank.keys, value, step, parts)]))

    def _plain(self, w: Write, group: Group) -> Value:
        return self.b.zero() if w.plain is None else self.b.called(self.vector(w.plain, self.value_axis(group)), "written")

    def _stack(self, parts: list[Value], step: str) -> Value:
        """One value for each step of a token, along the step axis."""
        found = parts[-1]
        if not step or all(p is found for p in parts):
            return found
        for i in reversed(range(len(parts) - 1)):
            found = self.b.where(self.b.map("eq", self.b.iota(step), self.b.const(i)), parts[i], found)
        return found

    def _added(self, x: Written, name: str) -> Value:
        """What the row's tokens add to a state by its end: over r and the state's axes."""
        group = self.group[name]
        return self.b.add(*(self.b.dot(self._kept_key(x, name, j), self.decay[name].kept(name, j, x.value, self.value_axis(group), False), x.tokens)
                            for j in self.decay[name].sources(name) if j in x.keys))

    def _kept_key(self, x: Written, name: str, source: str) -> Value:
        return self.b.called(self.decay[name].kept(name, source, x.keys[source], self.key_axis(self.group[name]), True), "write")

    def _scan(self, group: Group, names: list[str], increments, solving) -> Value | None:
        """The scan over rows that carries these states. Returns the values that it solves for, if it does."""
        b = self.b
        lead, stem = (("l",), "live.") if self.live else ((), "")
        title = stem + "_".join(names)
        olds = {n: Param(f"old.{stem}{n}", "value", lead + self.axes[n]) for n in names}
        params, inputs, consts, const_params = list(olds.values()), [], [], []

        def passed(what: str, value: Value, dtype: str = "f") -> Value:
            if value.op == "const":
                return value
            axes = tuple(a for a in value.axes if a != "r")
            axes = self.axes[names[0]] if set(axes) == set(self.axes[names[0]]) else axes
            params.append(Param(what, "value", axes, dtype=dtype))
            inputs.append(value)
            return b.param(params[-1])

        after = {}
        for n in names:
            parts = []
            for j in self.decay[n].sources(n):
                held = b.param(olds[j])
                for i, factor in enumerate(self.decay[n].whole(n, j)):
                    held = b.map("mul", passed(".".join(["factor", *dict.fromkeys((n, j)), *["across"] * i]), factor), held)
                parts.append(held)
            after[n] = b.add(*parts)
        b.pos = self.model.update[names[0]].pos
        after = {n: b.map("add", x, passed(f"write.{n}", increments[n])) for n, x in after.items()}
        value = None
        if solving is not None:
            matrix, plain, reads, blank = solving
            if "l" in matrix.axes:
                raise NotLowered("earlier tokens in the update of a state that reads itself, where segments start fresh and merge",
                                 self.model.update[names[0]].pos, hint="start: carry")
            right = passed(f"plain.{title}", plain)
            for n, y in reads.items():
                decay, axis = self.decay[n], self.key_axis(group)
                for j in decay.sources(n):
                    asked = decay.after(n, j, decay.before(y, axis, "old"), None, "old")
                    seen = b.dot(passed(".".join(["read", *dict.fromkeys((n, j))]), asked), b.param(olds[j]), [axis])
                    right = b.map("add", right, seen)
            value = b.solve(passed(f"reach.{title}", matrix), right, False, blank.step)
            for n in names:
                keys = b.add(*(self._kept_key(blank, n, j) for j in self.decay[n].sources(n) if j in blank.keys))
                after[n] = b.map("add", after[n], b.dot(passed(f"key.{n}", keys), value, blank.tokens))
            b.called(value, "value")
        for n in names:
            b.called(after[n], f"next_{n}")
        carried = after
        if self.fresh:
            done = passed(f"done.{title}", self.completes, "b")
            ends = passed(f"ends.{title}", restarts(b, self.completes, "l"), "b") if self.live else done
            inits = {n: Param(f"init.{n}", "value", self.axes[n]) for n in names}
            const_params += inits.values()
            consts += [b.param(Param(f"init.{n}", "head", self.axes[n])) for n in names]
            carried = {n: b.where(ends, b.param(inits[n]), after[n]) for n in names}
            carried = {n: b.called(b.where(done, x, after[n]) if self.live else x, f"start_{n}") for n, x in carried.items()}
        left = after
        if self.live:
            level = Param(f"level.{title}", "value", ("l",), dtype="i")
            const_params.append(level)
            consts.append(b.iota("l"))
            segment = passed(f"segment.{title}", b.row("segment"), "i")
            left = {n: ended(b, x, segment, b.param(level)) for n, x in after.items()}
        results = [Result(p.name, "value", p.axes, ((carried[n], 0),)) for n, p in olds.items()]
        results += [Result(f"end.{stem}{n}", "value", self.axes[n], ((left[n], 0),)) for n in names]
        if value is not None:
            results.append(Result(f"value.{title}", "value", value.axes, ((value, 0),)))
        body = Program(f"carry_{title.replace('.', '_')}", (*params, *const_params), tuple(results))
        given = [b.param(Param(f"live.{n}", "levels", self.axes[n]) if self.live else Param(f"state.{n}", "memory", self.axes[n])) for n in names]
        finals, starts, ys = b.scan(body, given, inputs, consts)
        factors = self.decay[names[0]].whole(names[0], names[0]) if self.live and len(names) == 1 and solving is None else []
        if len(factors) == 1 and self.model.states[names[0]].init == "zeros" and "l" not in (*factors[0].axes, *increments[names[0]].axes):
            self.adding[names[0]] = factors[0]
        for i, n in enumerate(names):
            self.final[n], self.start[n], self.end[n] = finals[i], starts[i], ys[i]
        return ys[-1] if value is not None else None

    # -- reads -------------------------------------------------------------------------------------------------
    def online(self, atom: Atom, emitter: Emitter) -> Value:
        """What the token reads of the online memory: over r, c and the atom's shape."""
        b, name, decay = self.b, atom.state, self.decay[atom.state]
        if atom.kind == "whole":
            axis = self.key_axis(self.group[name])
            held = [decay.after(name, j, self.start[j], axis, atom.when) for j in decay.sources(name)]
            return b.add(*held, *(self._all(name, x, atom.when) for x in self.written[name]))
        axis = 1 if atom.kind == "cols" else 0
        query = self.query(atom, emitter)
        held = [decay.after(name, j, b.dot(decay.before(query, self.axes[name][axis], atom.when), self.start[j], [self.axes[name][axis]]),
                            self._other(name, axis), atom.when) for j in decay.sources(name)]
        recent = [b.called(self._seen(name, query, x, axis, atom.when), "recent") for x in self.written[name]]
        return b.called(self.plain(atom, b.add(b.called(b.add(*held), "carried"), *recent)), "online")

    def _other(self, name: str, axis: int) -> str | None:
        axes = self.axes[name]
        return axes[1 - axis] if len(axes) == 2 else None

    def _late(self, x: Value, step: str) -> Value:
        """The value of the writing token."""
        return self.b.rename(x, {"c": "d", **({step: step + "~"} if step else {})})

    def _reach(self, name: str, query: Value, x: Written, axis: int, when: str) -> Value:
        """query . (what is written along the contracted axis), times the weight: over r, c, d (and step~)."""
        decay, along = self.decay[name], self.axes[name][axis]
        found = []
        for j in decay.sources(name):
            if j in x.parts and isinstance(decay, Channels):
                each = [decay.reach(name, j, query, self._late(key, ""), along, when) for key in x.parts[j]]
                found.append(self._stack(each, x.step and x.step + "~"))
            elif j in x.keys:
                found.append(decay.reach(name, j, query, self._late(x.keys[j], x.step), along, when))
        return self.b.called(self.b.add(*found), "P")

    def _seen(self, name: str, query: Value, x: Written, axis: int, when: str) -> Value:
        """What a query along an axis finds of the row's writes."""
        b, decay, along, other = self.b, self.decay[name], self.axes[name][axis], self._other(name, axis)

        def applied(matrix: Value, against: Value, here: Value) -> Value:
            same = b.zero() if when == "old" else b.rename(b.dot(query, against, [along]), {x.step: x.step + "~"} if x.step else {})
            return decay.apply(matrix, same, self._late(here, x.step), here, other, self._tokens(x), when)

        if axis == self.group[name].contracted:
            if not set(decay.sources(name)) & set(x.keys):
                return b.zero()
            return applied(self._reach(name, query, x, axis, when), x.keys.get(name, b.zero()), x.value)
        if x.step and isinstance(decay, Channels) and other in decay.factors:        # each step's key decays on its own
            values = [b.sum(b.where(b.map("eq", b.iota(x.step), b.const(i)), x.value), [x.step]) for i in range(len(x.parts[name]))]
            steps = [Written({name: key}, value) for key, value in zip(x.parts[name], values)]
            return b.add(*(self._seen(name, query, one, axis, when) for one in steps))
        return b.add(*(applied(decay.reach(name, j, query, self._late(x.value, x.step), along, when), x.value, x.keys[j])
                       for j in decay.sources(name) if j in x.keys))

    def _all(self, name: str, x: Written, when: str) -> Value:
        """A vector or number state as the row's writes make it."""
        decay, axis, found = self.decay[name], self.key_axis(self.group[name]), []
        for j in decay.sources(name):
            if j in x.keys:
                written = self.b.map("mul", x.keys[j], x.value)
                if x.step and isinstance(decay, Channels):
                    written, step = self.b.sum(written, [x.step]), ""
                else:
                    step = x.step
                over = ["d", step + "~"] if step else ["d"]
                found.append(decay.summed(name, j, written, self._late(written, step), axis, over, when))
        return self.b.add(*found)

    @staticmethod
    def _tokens(x: Written) -> list[str]:
        return ["d", x.step + "~"] if x.step else ["d"]

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

    def shape(self, atom: Atom) -> tuple[str, ...]:
        """The axes of an atom's value beside the tokens'."""
        return axes_of(atom.shape)

    def plain(self, atom: Atom, x: Value) -> Value:
        axes = self.axes[atom.state]
        if atom.kind == "rows" and axes[1].endswith("~"):
            return self.b.rename(x, {axes[1]: axes[1].rstrip("~")})
        return x

