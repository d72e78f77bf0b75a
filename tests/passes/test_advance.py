"""Results of a walk back over tokens that need the states alone move to the loop that makes the states."""
from __future__ import annotations

from functools import cache

import pytest

from mcgen.ir.verifier import verify_program
from mcgen.passes.advance import advance
from mcgen.passes.pipeline import compile_model
from mcgen.passes.token_loops import over_tokens, scans_rows
from mcgen.spec import load_spec
from mcgen.symbolic.elaborate import elaborate

from ops.scans import SCANS
from .cases import drawn, errors, results

Q_OF_THE_NEW_STATE = ["longhorn", "mamba1", "bounded", "chosen", "huber"]


@cache
def compiled(name: str):
    return compile_model(elaborate(load_spec(SCANS.get(name, name))))


def loops(program) -> dict[bool, set[str]]:
    """Whether a loop over tokens goes back -> axes of its results for every token."""
    found: dict[bool, set[str]] = {False: set(), True: set()}
    for rows in filter(scans_rows, program.order()):
        for v in filter(over_tokens, rows["body"].order()):
            found[v["reverse"]] |= {",".join(r.axes) + f" {r.name}" for r in v["body"].results[v["carries"]:]}
    return found


@pytest.mark.parametrize("name", Q_OF_THE_NEW_STATE)
def test_the_gradient_of_what_reads_a_state(name):
    """y = S' q: that of q is S' dy, and S' stands where it is made."""
    state = compiled(name)
    made = advance(state.backward, state.source.builder)
    verify_program(made)
    before, after = loops(state.backward), loops(made)
    assert not before[False] and after[False] and len(after[False]) + len(after[True]) == len(before[True])


@pytest.mark.parametrize("name", [*Q_OF_THE_NEW_STATE, "two_states", "small_states", "shared_decay", "read_twice", "square"])
def test_the_same_gradients(name):
    from dataclasses import replace
    state = compiled(name)
    moved = replace(state, backward=advance(state.backward, state.source.builder))
    x = drawn(state.model, 11)
    assert not {n: e for n, e in errors(results(moved, x, 4), results(state, x, 4)).items() if not e < 1e-12}


def test_nothing_to_move():
    """A rule in chunk form has no loop over tokens."""
    state = compiled("linear_attention")
    assert advance(state.backward, state.source.builder) is state.backward
