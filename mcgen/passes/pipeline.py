"""The pipeline, as a list: from a typed model to the programs that are printed."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Iterator

from ..diagnostics import NotLowered
from ..ir.builder import Builder
from ..ir.nodes import Program
from ..ir.verifier import verify_program
from ..symbolic.gradient import expand_gradients
from ..symbolic.model import Model
from .backward import build_backward, with_saved
from .clean import clean
from .expand import expand
from .forward import Forward, build_forward
from .invert import invert
from .leave_rows import leave_rows
from .lift import lift
from .slots import loop_slots
from .solve_apart import solve_apart

TENSORS = 62                     # of an operator, beside the chunk table and the length of a chunk: torch takes 64 arguments
# after differentiation, each from program to program
PASSES: tuple[tuple[str, Callable[[Program, Builder], Program]], ...] = (
    ("expand", expand),
    ("lift", lift),
    ("solve_apart", solve_apart),
    ("invert", invert),
    ("leave_rows", leave_rows),
    ("clean", clean),
    ("loop_slots", loop_slots),
)


@dataclass(frozen=True)
class Compiled:
    """forward: results, then the carries saved for the backward pass from index `results` on."""

    model: Model
    source: Forward
    forward: Program
    backward: Program
    weights: Program | None
    results: int


def compile_model(model: Model) -> Compiled:
    """All programs of an op. Raises NotLowered for what no pass lowers, and for more tensors than an operator of torch may have."""
    *_, (_, last) = stages(model)
    most = max(len(x) for program in (last.forward, last.backward) for x in (program.params, program.results))
    if most > TENSORS:
        raise NotLowered(f"an op of {most} tensors, with gradients and what they need (an operator of torch has at most {TENSORS})", hint="split the rule into several ops")
    return last


def stages(model: Model) -> Iterator[tuple[str, Compiled]]:
    """The op after every stage: 'build' (chunk form), 'differentiate', then each of PASSES. Every one is verified."""
    model = expand_gradients(model)
    source = build_forward(model)
    count = len(source.program.results)
    nothing = Program(model.name + "_backward", (), ())
    state = Compiled(model, source, source.program, nothing, source.weights, count)
    yield "build", check(state)
    backward = build_backward(source)
    state = Compiled(model, source, with_saved(source, backward), backward, source.weights, count)
    yield "differentiate", check(state)
    for name, run in PASSES:
        b = source.builder
        weights = None if state.weights is None else run(state.weights, b)
        state = Compiled(model, source, run(state.forward, b), run(state.backward, b), weights, count)
        yield name, check(state)


def check(state: Compiled) -> Compiled:
    for program in (state.forward, state.backward, state.weights):
        if program is not None:
            verify_program(program)
    return state
