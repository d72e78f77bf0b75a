"""Runs an op's programs in the interpreter after every stage, and names the first stage that changes a value."""
from __future__ import annotations

import zlib
from dataclasses import dataclass, field, replace
from typing import Callable, Iterator, Mapping

import torch
from torch import Tensor

from ..ir.builder import Builder
from ..ir.interpreter import run
from ..ir.nodes import Param, Program, Result, dim_of
from ..ir.verifier import BrokenProgram
from ..symbolic.model import Model
from .emit import Emitter, axes_of
from .pipeline import PASSES, Compiled, stages

STAGES = ("build", "differentiate", *(name for name, _ in PASSES))
TOLERANCE = 1e-8                 # of a value's own scale: float64 rounding through sums of decays


@dataclass(frozen=True)
class Trial:
    """One call of an op on z = sequence x head lanes, in float64.

    inputs: token [z, T, *shape], head [z, *shape]; `init.<S>` [z, *shape] for states that start fresh. memory: `state.<S>` and
    whatever an earlier call handed on; what it lacks is zero. past: token inputs before the first token, where there are
    any; what is missing is garbage, which no program may let through. cotangents: by result, zero where missing (None: noise for all).
    """

    inputs: Mapping[str, Tensor]
    sizes: Mapping[str, int]
    tokens: int
    chunk: int
    segment: int = 0
    position: int = 0
    memory: Mapping[str, Tensor] = field(default_factory=dict)
    past: Mapping[str, Tensor] = field(default_factory=dict)
    cotangents: Mapping[str, Tensor] | None = None

    @property
    def lanes(self) -> int:
        return next(iter(self.inputs.values())).shape[0]

    @property
    def slots(self) -> int:
        return (self.position + self.tokens) // self.segment if self.segment else 0

    @property
    def levels(self) -> int:
        """Of merging segments: the digits of the number of slots, and the run from the start of the sequence."""
        return self.slots.bit_length() + 1


@dataclass(frozen=True)
class Change:
    """What a stage changed: the result, the largest error over the value's scale; or why it could not run."""

    stage: str
    what: str
    error: float = float("inf")

    def __str__(self) -> str:
        amount = "" if self.error == float("inf") else f": error {self.error:.2g} of its scale"
        return f"{self.stage}: {self.what}{amount}"


def trial_of(model: Model, inputs: Mapping[str, Tensor], sizes: Mapping[str, int], chunk: int) -> Trial:
    """A call from the start of sequences. inputs: the op's own arguments, [B, T, H, *shape] or [H, *shape], with the
    `<state>_init` of learned starts. sizes: of all dims, derived ones too."""
    first = next(inputs[n] for n, i in model.inputs.items() if i.per == "token")
    batch, tokens, heads = first.shape[:3]
    lanes: dict[str, Tensor] = {}
    for name, x in inputs.items():
        if name in model.inputs and model.inputs[name].per == "token":
            lanes[name] = x.detach().double().transpose(1, 2).flatten(0, 1)
        else:
            lanes[name] = x.detach().double().expand(batch, *x.shape).flatten(0, 1)
    trial = Trial(lanes, sizes, tokens, chunk, model.cache.segments.length if model.cache else 0)
    starts = _starts(model, trial)
    given = {n: x for n, x in lanes.items() if n in model.inputs} | {f"init.{n}": x for n, x in starts.items()}
    return replace(trial, inputs=given, memory={f"state.{n}": x for n, x in starts.items()})


def _starts(model: Model, trial: Trial) -> dict[str, Tensor]:
    """The initial value of every state, [z, *shape]."""
    b = Builder()
    params = {n: Param(n, i.per, axes_of(i.shape)) for n, i in model.inputs.items()}
    emitter, found = Emitter(b, model, params), {}
    results = []
    for name, state in model.states.items():
        axes = axes_of(state.shape)
        if f"{name}_init" in trial.inputs:
            found[name] = trial.inputs[f"{name}_init"]
        elif name in model.inits:
            results.append(Result(name, "memory", axes, ((emitter.emit(model.inits[name]), 0),)))
        else:
            found[name] = torch.zeros(trial.lanes, *_shape(axes, trial), dtype=torch.float64)
    heads = tuple(p for p in params.values() if p.kind == "head")
    program = Program("initial_states", heads, tuple(results))
    return found | run(program, {p.name: trial.inputs[p.name] for p in heads}, table(trial), trial.chunk, trial.sizes)


def table(trial: Trial) -> Tensor:
    """The chunk table [z, R, 4] of a trial: rows that neither exceed the chunk nor cross the end of a segment."""
    rows, start = [], 0
    while start < trial.tokens:
        at = trial.position + start
        count = min(trial.chunk, trial.tokens - start)
        if trial.segment:
            count = min(count, trial.segment - at % trial.segment)
        rows.append((start, count, at // trial.segment, at % trial.segment) if trial.segment else (start, count, 0, at))
        start += count
    return torch.tensor(rows, dtype=torch.int64).reshape(1, -1, 4).expand(trial.lanes, -1, -1)


def values(state: Compiled, trial: Trial, rounded: Callable[[Tensor], Tensor] = lambda x: x) -> dict[str, Tensor]:
    """Every result of the op's programs at one stage, by name: forward, weights, then 'grad <parameter>' for the call's own
    tokens and 'grad past <parameter>' for those before it. rounded: see `run`."""
    def results(program: Program, found: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        return run(program, bound(program, trial, found), table(trial), trial.chunk, trial.sizes, rounded)

    found = results(state.forward)
    if state.weights is not None:
        found |= results(state.weights)
    if state.backward.results:
        grads = results(state.backward, found)
        for r in state.backward.results:
            found["grad " + r.name.removeprefix("d.")] = grads[r.name][:, r.delay:] if r.delay else grads[r.name]
            if r.delay:
                found["grad past " + r.name.removeprefix("d.")] = grads[r.name][:, :r.delay]
    return found


def bound(program: Program, trial: Trial, results: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    """The program's parameters: the trial's own, the forward pass's `results`, cotangents for the rest."""
    made = {}
    for p in program.params:
        if p.name in trial.inputs:
            x = trial.inputs[p.name]
            made[p.name] = x if p.kind == "head" else torch.cat([_past(p, trial), x], 1)
        elif p.name in trial.memory:
            made[p.name] = _handed_on(trial.memory[p.name], p.kind, program.slot == "m", trial)
        elif p.kind == "levels" and p.name.replace("live.", "state.") in trial.memory:          # every level runs from the start
            start = trial.memory[p.name.replace("live.", "state.")]
            made[p.name] = start.unsqueeze(1).expand(start.shape[0], trial.levels, *start.shape[1:])
        elif results is not None and p.name in results:
            made[p.name] = results[p.name]
        else:
            levels = trial.levels if program.slot == "m" else trial.slots
            lead = {"slots": (levels,), "levels": (levels,), "units": (trial.slots,), "token": (p.delay + trial.tokens,)}.get(p.kind, ())
            shape = (trial.lanes, *lead, *_shape(p.axes, trial))
            cotangent = results is not None and p.name.startswith("d.")
            if cotangent and trial.cotangents is None:
                made[p.name] = noise(p.name, shape)
            else:
                given = (trial.cotangents or {}).get(p.name.removeprefix("d.")) if cotangent else None
                made[p.name] = torch.zeros(shape, dtype=torch.float64) if given is None else given
    return made


def noise(name: str, shape: tuple[int, ...]) -> Tensor:
    """Normal numbers that depend on the name and the shape alone."""
    g = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    return torch.randn(shape, generator=g, dtype=torch.float64)


def _past(p: Param, trial: Trial) -> Tensor:
    """The tokens before the first: known ones nearest to it, garbage before those."""
    known = trial.past.get(p.name, trial.inputs[p.name][:, :0])
    known = known[:, max(known.shape[1] - p.delay, 0):]
    return torch.cat([noise("past " + p.name, (trial.lanes, p.delay - known.shape[1], *_shape(p.axes, trial))), known], 1)


def _handed_on(x: Tensor, kind: str, merging: bool, trial: Trial) -> Tensor:
    """Memory with what a call needs beyond what it was handed: slots are zero, levels run from the start as the highest one does."""
    if kind == "levels" or (kind == "slots" and merging):
        return torch.cat([x, x[:, -1:].expand(-1, trial.levels - x.shape[1], *x.shape[2:])], 1)
    return torch.cat([x, x.new_zeros(x.shape[0], trial.slots - x.shape[1], *x.shape[2:])], 1) if kind in ("slots", "units") else x


def _shape(axes: tuple[str, ...], trial: Trial) -> list[int]:
    return [trial.slots if a == "n" else trial.levels if a == "l" else int(dim_of(a)) if dim_of(a).isdigit() else trial.sizes[dim_of(a)] for a in axes]


def bisect(model: Model, trial: Trial, expected: Mapping[str, Tensor] | None = None) -> Iterator[tuple[str, Change | None]]:
    """(stage, the first value that it changed or None) until one changes something.

    expected: values that are known from elsewhere, named as in `values`; every other value is held to what the first
    stage that has it gives.
    """
    known = dict(expected or {})
    run_stages = stages(model)
    for name in STAGES:
        try:
            _, state = next(run_stages)
            got = values(state, trial)
        except (BrokenProgram, AssertionError, KeyError, IndexError, RuntimeError, ValueError) as broken:
            yield name, Change(name, f"{type(broken).__name__}: {broken}")
            return
        for what, x in got.items():
            change = _differs(name, what, x, known.setdefault(what, x))
            if change is not None:
                yield name, change
                return
        yield name, None


def _differs(stage: str, what: str, got: Tensor, want: Tensor) -> Change | None:
    if got.shape != want.shape:
        return Change(stage, f"{what} has shape {list(got.shape)}, before {list(want.shape)}")
    if not got.numel():
        return None
    error = float((got - want).abs().nan_to_num(float("inf")).max()) / max(1.0, float(want.abs().max()))
    return Change(stage, what, error) if error > TOLERANCE else None


__all__ = ["STAGES", "Change", "Trial", "bisect", "bound", "noise", "table", "trial_of", "values"]
