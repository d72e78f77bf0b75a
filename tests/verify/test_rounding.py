"""How far from the reference a correct op may be where a result is a difference: a roundoff of the terms, and no more."""
from __future__ import annotations

import torch

from mcgen.spec import load_spec
from mcgen.verify.harness import Lab
from mcgen.verify.tolerance import ARITHMETIC, roundoff

U = roundoff("float32")
ERASED = {"name": "erased", "rule": {
    "inputs": {"q": ["K"], "k": {"shape": ["K"], "domain": "unit"}, "v": ["V"]}, "state": {"S": ["K", "V"]}, "update": {"S": "S - outer(k, S.T @ k)"},
    "read": "S.T @ q", "output": "y * v"}}
GATED = {"name": "gated", "rule": {
    "inputs": {"q": ["K"], "k": ["K"], "v": ["V"]}, "state": {"S": ["K", "V"]}, "update": {"S": "S + outer(k, v)"}, "read": "S.T @ q"},
    "cache": {"inputs": {"u": ["K"]}, "segments": {"length": 16}, "summary": "mean(k)", "score": "dot(u, summary)", "weight": "softmax(score)"}}


def expected(spec, length, start=None):
    lab = Lab(None, load_spec(spec), sizes={"K": 2, "V": 3})
    if start is not None:
        lab.start = lambda case: start
    return lab.expected(lab.case(length), start=start is not None)


def test_what_is_left_of_an_erased_state():
    """By chunks it is the difference of what was there and of what was taken."""
    want = expected(ERASED, 24, {"S": torch.randn(2, 2, 2, 3, generator=torch.Generator().manual_seed(0))})
    allowed = want.allowed["state S"]
    assert allowed.scale < 1e-2 and U < allowed.arithmetic_error < 100 * ARITHMETIC * U


def test_the_gate_of_the_only_memory():
    """Its gradient is zero, as the difference of equal terms: dy . y and dy . x."""
    want = expected(GATED, 12)
    assert not want.tensors["d u"].any() and U < want.allowed["d u"].arithmetic_error < 100 * ARITHMETIC * U
    assert want.allowed["d q"].arithmetic_error < 1e-5 * want.allowed["d q"].scale


def test_numbers_are_mixed_too():
    rule = {**GATED["rule"], "state": {**GATED["rule"]["state"], "z": []}, "update": {**GATED["rule"]["update"], "z": "z + 1"}, "read": "S.T @ q / (1 + z)"}
    want = expected({**GATED, "rule": rule, "cache": {**GATED["cache"], "mix": "states", "inputs": {"u": {"shape": ["K"], "per": "head"}}}}, 40)
    assert all(a.arithmetic_error < 1e-4 * a.scale for a in want.allowed.values())


def test_terms_of_which_nothing_is_left():
    """Where a product is rounded in one of them and not in the other, as a fused multiply-add has it, a roundoff of theirs is."""
    rule = {**ERASED["rule"], "state": {"S": ["K", "V"], "Z": ["K", "V"]}, "update": {"S": "S + outer(k, v)", "Z": "0.3 * S - 0.3 * S"}}
    want = expected({"name": "less", "rule": rule}, 12, {n: torch.zeros(2, 2, 2, 3) for n in "SZ"})
    assert not want.tensors["state Z"].any()
    assert 0.1 * U < want.allowed["state Z"].arithmetic_error < ARITHMETIC * 4 * U * want.allowed["state S"].scale


def test_numbers_that_are_equal_in_one_run_of_several():
    rule = {**ERASED["rule"], "inputs": {**ERASED["rule"]["inputs"], "g": []}, "objective": "sum((layernorm(S.T @ k) - g)**2)",
            "update": {"S": "S - grad(S)"}}
    errors = [Lab(None, load_spec({"name": "equal", "rule": rule}), sizes={"K": 2, "V": 3}, samples=n) for n in (1, 8)]
    assert len(errors[0].rounding) == 1 and len(errors[1].rounding) == 9
    few, many = (lab.expected(lab.case(4)).allowed["d g"].arithmetic_error for lab in errors)
    assert few < many


def test_exact_zeros_stay():
    want = expected(ERASED, 8)
    assert all(a.arithmetic_error == 0 for a in want.allowed.values())
