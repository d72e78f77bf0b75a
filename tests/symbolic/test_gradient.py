"""The objective's gradient as terms: equal to the rule written by hand, and to torch's autograd on random values."""
from __future__ import annotations

import pytest
import torch

from mcgen.diagnostics import NotLowered
from mcgen.spec import load_spec
from mcgen.symbolic.elaborate import elaborate
from mcgen.symbolic.gradient import expand_gradients, gradient
from mcgen.symbolic.terms import term, walk
from mcgen.symbolic.text import text
from mcgen.symbolic.tidy import tidied

from .term_values import value

SIZES = {"K": 3, "V": 4}
INPUTS = {"q": ["K"], "k": ["K"], "v": ["V"], "a": ["K"], "eta": [], "x": {"shape": ["K"], "per": "head"}}


def model(objective: str, update: str = "S - eta * grad(S)", functions=None):
    return expand_gradients(elaborate(load_spec({"name": "g", "rule": {
        "inputs": INPUTS, "state": {"S": ["K", "V"], "z": ["K"], "n": []}, "functions": functions or {}, "constants": {"p": 3},
        "objective": objective, "update": {"S": update}, "read": "S.T @ q"}})))


def written(update: str):
    return elaborate(load_spec({"name": "g", "rule": {
        "inputs": INPUTS, "state": {"S": ["K", "V"], "z": ["K"], "n": []}, "constants": {"p": 3}, "update": {"S": update},
        "read": "S.T @ q"}})).update["S"]



@pytest.mark.parametrize("objective, update, by_hand", [
    ("0.5 * sum((S.T @ k - v)**2)", "S - eta * grad(S)", "S - eta * outer(k, S.T @ k - v)"),
    ("0.5 * sum((v - S.T @ k)**2)", "S - eta * grad(S)", "S + eta * outer(k, v - S.T @ k)"),
    ("-dot(S.T @ k, v)", "S - eta * grad(S)", "S + eta * outer(k, v)"),
    ("-2 * dot(S @ v, k)", "0.5 * S - eta * grad(S)", "0.5 * S + 2 * eta * outer(k, v)"),
    ("0.5 * eta * sum((S.T @ k - v)**2)", "S - grad(S)", "S - eta * outer(k, S.T @ k - v)"),
    ("0.5 * sum((S.T @ k - v)**2)", "0.9 * S - eta * grad(S, at=0.9 * S)", "0.9 * S - eta * outer(k, 0.9 * S.T @ k - v)"),
    ("0.5 * sum((S.T @ k - v)**2)", "S - window(eta * grad(S), 4)", "S - window(eta * outer(k, S.T @ k - v), 4)"),
    ("0.5 * sum(S**2)", "S - eta * grad(S)", "S - eta * S"),
    ("dot(q, k)", "S - eta * grad(S)", "S"),
])
def test_a_gradient_is_the_rule_written_out(objective, update, by_hand):
    got = model(objective, update).update["S"]
    want = tidied(written(by_hand))
    assert tidied(got) is want, f"{text(got)}\n{text(want)}"


# every function, on values where it is smooth; read is S.T @ k, e = read - v
OBJECTIVES = [
    *(f"sum({f}(S.T @ k - v))" for f in ("exp", "abs", "sigmoid", "logsigmoid", "softplus", "tanh", "relu", "silu", "gelu")),
    "sum(log(1 + (S.T @ k)**2))", "sum(sqrt(1 + exp(S.T @ k)))", "sum(abs(S.T @ k - v)**p)", "norm(S.T @ k - v)", "norm(S)",
    "sum(huber(S.T @ k - v, 0.5))", "sum(huber(S.T @ k, abs(n)))", "sum(minimum(S.T @ k, v)) + sum(maximum(S.T @ k, 0.1 * v))",
    "sum(where(S.T @ k < v, S.T @ k, exp(S.T @ k)))", "sum(where(norm(S) > 0.1, S / norm(S), 2 * S) @ v)",
    "dot(softmax(S.T @ k), v)", "sum(softmax(S) @ v)", "dot(l2norm(S.T @ k), v)", "sum(l2norm(S) @ (v * v))",
    "dot(layernorm(S.T @ k), v)", "sum(layernorm(S) @ (v * v))", "dot(v, sum(S, 0)**2)", "dot(k, sum(S, 1)**2)", "mean(S**3)",
    "dot(solve(S @ S.T + 2 * eye(K), k), z)", "sum(solve(S @ S.T + 2 * eye(K), S)**2)", "sum(diag(k) @ S @ diag(v) @ S.T)",
    "sum(diag(z * a)**2 @ S) + sum(S @ diag(S.T @ a))", "sum(outer(z, S.T @ k)**2)", "S[1][2]**2 + z[0] * n", "sum(S * S / (1 + S**2))",
    "dot(S.T @ z, v) / (1 + n**2) - n * sum(S @ v)", "sum((S.T @ delay(k, 1) - delay(v, 1))**2)", "sum(window((S.T @ k - v)**2, 3))",
    "eta * norm(window(outer(k, v) * S, 3))", "dot(z, x)**2 + sum(S.T @ x)", "-sum(S) / n", "sum((S @ S.T - eye(K))**2)",
]


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("state", ["S", "z", "n"])
def test_a_gradient_is_autograds(objective, state):
    m = model(objective, "S")
    shape = m.states[state].shape
    derived = gradient(m.objective, term("state", shape=shape, name=state, when="old"), {"q", "k", "v", "a", "eta"})
    g = torch.Generator().manual_seed(3)
    draw = lambda s: torch.randn([SIZES[d] for d in s], generator=g, dtype=torch.float64)
    leaves = {n: [draw(i.shape) for _ in range(5)] if i.per == "token" else [draw(i.shape)] * 5 for n, i in m.inputs.items()}
    leaves |= {n: draw(s.shape).requires_grad_() for n, s in m.states.items()}
    want, = torch.autograd.grad(value(m.objective, leaves, SIZES, m.constants), leaves[state], allow_unused=True, materialize_grads=True)
    got = value(derived, leaves, SIZES, m.constants)
    torch.testing.assert_close(got.expand_as(want).detach(), want, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("objective, S, want", [
    ("norm(S)", 0.0, 0.0),
    ("sum(abs(S))", 0.0, 0.0),
    ("sum(maximum(S, 0))", 0.0, 0.5),
    ("sum(where(S > 0, log(S), 0))", -1.0, 0.0),
    ("sum(where(S > 0, log(S), S))", 0.0, 1.0),
    ("sum(where(S > 0, sqrt(S) * S / S, 3 * S))", 0.0, 3.0),
])
def test_conventions_at_corners(objective, S, want):
    m = model(objective, "grad(S)")
    leaves = {"S": torch.full((3, 4), S, dtype=torch.float64)}
    got = value(m.update["S"], leaves, SIZES).expand(3, 4)
    torch.testing.assert_close(got, torch.full((3, 4), want, dtype=torch.float64))


def test_what_a_layernorm_takes_away_is_accurate():
    """Two numbers, close for their size: nearly all of the cotangent cancels. Its mean is taken away last, or a roundoff of the numbers,
    which their centred ones add up to, would stay in it."""
    m = model("0.5 * sum((layernorm(S.T @ k) - layernorm(v))**2)", "grad(S)")
    g = torch.Generator().manual_seed(5)
    errors = []
    for _ in range(200):
        S, v = (torch.randn(shape, generator=g) for shape in ([1, 2], [2]))
        S = S.mean() + 0.02 * S
        leaves = {"S": S, "k": [torch.ones(1)] * 5, "v": [v] * 5}
        got, want = (value(m.update["S"], {"S": leaves["S"].to(d), **{n: [x.to(d) for x in leaves[n]] for n in "kv"}}, {"K": 1, "V": 2})
                     for d in (torch.float32, torch.float64))
        assert got.dtype == torch.float32
        errors.append(float((got - want).abs().max() * S.std(correction=0) / 2**-24))
    assert sorted(errors)[180] < 4


def test_no_grad_is_left_unless_a_run_asks_for_it():
    spec = {"name": "g", "rule": {"inputs": INPUTS, "state": {"S": ["K", "V"]}, "objective": "sum(S.T @ k * v)", "gradient": {"chunk": 4},
                                  "update": {"S": "S - grad(S)"}, "read": "S.T @ q"}}
    ops = lambda m: {t.op for t in walk(*m.update.values())}
    assert "grad" in ops(expand_gradients(elaborate(load_spec(spec))))
    del spec["rule"]["gradient"]
    assert "grad" not in ops(expand_gradients(elaborate(load_spec(spec))))


def test_a_wide_window_under_a_nonlinear_function_is_refused():
    with pytest.raises(NotLowered, match="window of more than 64 tokens"):
        model("norm(window(eta * outer(k, v) * S, 100)) * eta")
