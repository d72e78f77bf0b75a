"""Model -> the forward program at the chunk level: per-token terms, states in chunk form, the cache, the output."""
from __future__ import annotations

from dataclasses import dataclass, replace

from ..diagnostics import NotLowered
from ..ir.builder import Builder
from ..ir.nodes import LEAD, Param, Program, Result, Value, order
from ..symbolic.model import Model
from ..symbolic.terms import walk
from .cache import CachePass, Weights, apply
from .choose import Choice, choose
from .emit import Emitter, axes_of
from .memories import Memories


@dataclass(frozen=True)
class Forward:
    """The program and what later passes and `explain` want to know of how it came about."""

    builder: Builder
    program: Program
    weights: Program | None          # results weight_online, weight_cached, taking, of merging memories also there: for return_weights
    choice: Choice
    carried_sum: bool
    told: tuple[tuple[Value, Value], ...] = ()       # carries before a row, each with what tells it: not to be saved


def refuse(model: Model) -> None:
    """What this compiler does not lower yet, by name."""
    spec = model.spec
    if model.end:
        raise NotLowered("'end' updates", next(iter(spec.rule.end.values())).pos)
    if model.gradient_chunk is not None and model.objective is not None:
        raise NotLowered("gradients at the start of a run of tokens ('gradient: {chunk: ...}')", spec.rule.objective.pos)
    if model.cache is not None and not any(t.op == "state" for t in walk(model.read)):
        raise NotLowered("a cache behind a read without states: there is nothing to cache", model.read.pos)


def build_forward(model: Model) -> Forward:
    """Requires: a typed model. Ensures: a chunk-level program, or NotLowered."""
    refuse(model)
    b = Builder()
    params = {name: Param(name, i.per, axes_of(i.shape)) for name, i in model.inputs.items()}
    emitter = Emitter(b, model, params)
    fresh = model.cache is not None and model.cache.segments.start == "fresh"
    update_emitter = Emitter(b, model, params, within_segment=True) if fresh else emitter
    choice = choose(model)
    read = choice.read
    states = Memories(b, model, emitter, update_emitter, choice, fresh)
    out_axes = axes_of(model.read.shape)
    weights: Weights | None = None
    results: list[tuple[str, str, tuple[str, ...], Value]] = []
    carried, told = False, ()
    b.pos = model.read.pos
    if model.cache is None:
        y = apply(read, states.online(read, emitter), emitter)
    else:
        cache = CachePass(b, model, emitter, states)
        y = cache.mix(read)
        weights, carried, told = cache.weights(), cache.carried_sum(read), tuple(states.told(cache.memories))
        results = cache.results
    if model.output is not None:
        plain = y
        y = emitter.child(lambda t: plain if t.op == "online" else emitter.emit(t)).emit(model.output)
        out_axes = axes_of(model.output.shape)
    b.called(y, "y")
    finals = [(f"new.state.{n}", "memory", states.axes[n], v) for n, v in states.final.items()]
    finals += [(f"new.live.{n}", "levels", states.axes[n], v) for n, v in states.live.items()]
    finals += [(f"new.since.{n}", "slots", v.axes[1:], v) for n, v in states.since.items()]
    made = [Result(name, kind, axes, ((value, 0),)) for name, kind, axes, value in
            [("y", "token", out_axes, y), *finals, *dict.fromkeys(results)]]
    segment = model.cache.segments.length if model.cache else 0
    program = finish(model.name, made, params, segment)
    shown = None
    if weights is not None:
        seen = [Result("weight_online", "token", (), ((weights.online, 0),)),
                Result("weight_cached", "token", ("n",), ((weights.cached, 0),)),
                Result("taking", "token", ("n",), ((b.where(weights.taking, b.const(1.0)), 0),))]
        if cache.merging:
            seen.append(Result("there", "token", ("n",), ((b.where(cache.past, b.const(1.0)), 0),)))
        shown = finish(model.name + "_weights", seen, params, segment)
        reach = {p.name: p.delay for p in shown.params}                # an output without memories needs less of the past than their weights
        program = replace(program, params=tuple(replace(p, delay=max(p.delay, reach.get(p.name, 0))) for p in program.params))
        shown = replace(shown, params=program.params)
    return Forward(b, program, shown, choice, carried, told)


def finish(name: str, results: list[Result], inputs: dict[str, Param], segment: int) -> Program:
    """A program with the parameters that its values name, inputs in the spec's order first, delays as far as loads reach."""
    delays: dict[str, int] = {}
    used: dict[str, Param] = {}
    for value in order([v for r in results for v, _ in r.parts]):
        if value.op == "load":
            delays[value["name"]] = max(delays.get(value["name"], 0), value["shift"])
        elif value.op == "param":
            lead = next((kind for kind, first in LEAD.items() if value.axes[:1] == first), "memory")
            kind = "head" if value["name"].startswith("init.") else lead
            used[value["name"]] = Param(value["name"], kind, value.axes[1:] if lead != "memory" else value.axes)
    ordered = [replace(p, delay=delays.get(p.name, 0)) for p in inputs.values()]
    rest = [p for n, p in used.items() if n not in inputs]
    return Program(name, tuple(ordered + rest), tuple(results), "chunk", segment)
