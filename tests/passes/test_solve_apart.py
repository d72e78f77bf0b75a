"""Systems of every token are solved by scans of their own, each once; their values are those of tests/passes/test_scans.py."""
from __future__ import annotations

from functools import cache

import pytest

from mcgen.ir.nodes import bodies, scan_axis
from mcgen.passes.pipeline import compile_model, stages
from mcgen.spec import load_spec
from mcgen.symbolic.elaborate import elaborate

from ops.scans import SCANS
from .cases import drawn, errors, expected, results

READ_TWICE = {"name": "read_twice", "rule": {
    "inputs": {"q": ["K"], "k": ["K"], "v": ["V"], "g": {"shape": [], "domain": ["-inf", 0]}}, "state": {"P": ["K", "K"], "S": ["K", "V"]},
    "update": {"P": "exp(g) * P + outer(k, k)", "S": "S + outer(k, v)"},
    "read": "S.T @ solve(P + eye(K), solve(P + 2 * eye(K), q) + k)"}}


def model(name: str):
    return elaborate(load_spec(READ_TWICE if name == "read_twice" else SCANS.get(name, name)))


@cache
def compiled(name: str):
    return compile_model(model(name))


def solving(program, inside=()):
    """For every dense system the directions of the loops around it, outermost first."""
    for v in program.order():
        if v.op == "dense_solve":
            yield inside
        for body in bodies(v):
            yield from solving(body, (*inside, (scan_axis(v), v.get("reverse"))))


@pytest.mark.parametrize("name", ["mesa", "read_twice"])
def test_of_all_rows(name):
    """The derivative's systems leave the loop over rows too, where they need no gradient of a state."""
    before = next(state for stage, state in stages(model(name)) if stage == "lift")
    assert (("r", True), ("c", True)) in set(solving(before.backward))
    assert set(solving(compiled(name).backward)) == {(("c", False),)}


def test_each_once():
    """One system of a token in the forward pass: in the backward one this again, and the transposed one."""
    assert len(list(solving(compiled("mesa").forward))) == 1 and len(list(solving(compiled("mesa").backward))) == 2


def test_what_a_backward_scan_needs_for_its_carries_stays():
    """A state that is written with what a system gives of another state: its gradient meets the system on the way back."""
    found = set(solving(compiled("solved").backward))
    assert (("r", True), ("c", True)) in found and (("c", False),) in found


@pytest.mark.parametrize("name", ["mesa", "read_twice", "solved"])
def test_values(name):
    state = compiled(name)
    x = drawn(state.model, 11)
    assert not {n: e for n, e in errors(results(state, x, 4), expected(state.model, x)).items() if not e < 1e-9}
