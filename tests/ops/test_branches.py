"""The branch of `where` that is not taken adds nothing to a gradient, NaN included: arguments at which it has no derivative."""
from __future__ import annotations

import math

import pytest
import torch

import mcgen
from mcgen.verify.harness import Lab, compute

from .specs import GATED, op

A = {"q": ["K"], "k": ["K"], "v": ["V"], "g": {"shape": [], "domain": ["-inf", 0]}, "a": []}
D = {**A, "d": {"shape": [], "domain": [0, "inf"]}}
ERROR = "S.T @ k - v"


def factor(name: str, value: str, inputs: dict = A) -> dict:
    """A decaying memory whose answers are times a scalar of the token."""
    return op(name, rule={"inputs": inputs, "let": {"x": value}, "read": "x * S.T @ q"})


SPECS = {s["name"]: s for s in (
    factor("logarithm", "where(a > 0, log(a), 0)"),
    factor("root", "where(a > 0, sqrt(a), a)"),
    factor("quotient", "where(a > 0, 1 / a, a)"),
    factor("power", "where(a > 0, a**0.5, 0)"),
    factor("other_factor", "where(a > 0, g * exp(1 / a), 0)"),
    factor("both_of_two", "where(a > 0, log(a), 0) + where(a > 0.5, log(a)**2, a)"),
    factor("inner", "where(a < 1, where(a > 0, log(a), 0.1 * a), 1 / a)"),
    factor("endless_bend", "huber(a, d)", D),
    op("entries", rule={"inputs": A, "let": {"x": "where(k > 0, log(k), 0)"}, "update": {"S": "exp(g) * S + outer(x, v)"}}),
    op("scalar_under_entries", rule={"inputs": A, "let": {"x": "where(a * k * k > 0, log(a), 0)"}, "update": {"S": "exp(g) * S + outer(x, v)"}}),
    op("vector", rule={"inputs": A, "let": {"n": "norm(k)", "x": "where(n > 0, k / n, k)"}, "update": {"S": "exp(g) * S + outer(x, v)"}}),
    op("answer", rule={"inputs": A, "let": {"z": "where(a > 0, a, 0)"}, "read": "where(z > 0, S.T @ q / z, S.T @ q)"}),
    op("state", rule={"inputs": A, "update": {"S": "where(S > 0.1, sqrt(S), 0.5 * S) + outer(k, v)"}}),
    op("objective", rule={"inputs": A, "objective": f"sum(where({ERROR} > 0.1, log({ERROR}), {ERROR}))", "update": {"S": "S - 0.1 * grad(S)"}}),
    op("objective_of_a_scalar", rule={"inputs": A, "objective": f"sum(where(v > 100, log(norm({ERROR}) - norm({ERROR})) * v, ({ERROR})**2))",
                                     "update": {"S": "S - 0.1 * grad(S)"}}),
    op("square_objective", rule={"inputs": {**A, "v": ["K"]}, "state": {"S": ["K", "K"]}, "update": {"S": "S - 0.1 * grad(S)"},
                                 "objective": f"sum(where({ERROR} > 0.1, sqrt(S.T @ (S.T @ k) - S.T @ (S.T @ k) + 1) * ({ERROR}), {ERROR}))"}),
    op("endless_bend_of_an_objective", rule={"inputs": D, "objective": f"sum(huber({ERROR}, d))", "update": {"S": "S - 0.1 * grad(S)"}}),
    op("gate", rule={"inputs": A}, cache={**GATED, "segments": {"length": 6}, "weight": "where(age > 0, score / age, score)"}),
    op("softmax", rule={"inputs": A}, cache={**GATED, "segments": {"length": 6}, "weight": "softmax(where(age > 0, score * log(age), score))"}),
)}


def test_a_cotangent_of_zero_in_a_branch_that_is_taken_is_differentiated():
    """At a start of zeros the slope is 0 and its own slope is not."""
    spec = mcgen.load_spec(op("flat_start", rule={
        "inputs": {n: [d] for n, d in zip("qkv", "KKV")}, "state": {"S": {"shape": ["K", "V"], "init": "learned"}},
        "objective": "sum(where(S.T @ k > -1, tanh(S.T @ k)**2, 0) * exp(v))", "update": {"S": "S - 0.1 * grad(S)"}, "read": "S.T @ q"}))
    built = mcgen.load(spec, backend="torch")
    lab = Lab(built, spec, sizes={"K": 8, "V": 8})
    case = lab.case(5, dtype=torch.float64)
    inputs = {**lab.plain(case), "S_init": torch.zeros(2, 8, 8, dtype=torch.float64)}
    wanted, got = compute(lab.reference, inputs, case), compute(built, inputs, case)
    assert wanted["d S_init"].abs().max() > 1
    torch.testing.assert_close(got["d S_init"], wanted["d S_init"], rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name, backend", [*((n, "torch") for n in SPECS), ("quotient", "tvm"), ("state", "tvm"), ("softmax", "tvm")])
def test_the_branch_that_is_not_taken(name, backend):
    spec = mcgen.load_spec(SPECS[name])
    built = mcgen.load(spec, backend=backend).with_chunk(16)
    lab = Lab(built, spec, sizes={"K": 8, "V": 8})
    case = lab.case(19, dtype=torch.float32 if backend == "tvm" else torch.float64)
    inputs = lab.plain(case)
    inputs["a"][:, ::3], inputs["a"][:, 1], inputs["k"][:, 1::4] = 0.0, 1.0, 0.0
    if "d" in inputs:
        inputs["d"][:, ::2], inputs["d"][:, 1] = math.inf, 0.0
    wanted, got = compute(lab.reference, {n: x.double() for n, x in inputs.items()}, case), compute(built, inputs, case)
    for n, x in wanted.items():
        assert x.isfinite().all(), n
        torch.testing.assert_close(got[n].double(), x, **({"atol": 2e-5, "rtol": 2e-5} if backend == "tvm" else {"atol": 1e-11, "rtol": 1e-11}), msg=lambda m, n=n: f"{n}: {m}")
