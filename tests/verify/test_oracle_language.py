"""Single functions of the language: values, derivatives at corners, names, heads, errors."""
import math

import pytest
import torch
import torch.nn.functional as F

from mcgen.verify import reference

from .oracle_helpers import draw
from .oracle_specs import GRM, LINEAR, spec

inf = float("inf")


def one(read, x, **parts):
    """The value of an expression of x [N] (and what else is given) at a single token, and d(sum)/dx."""
    x = torch.tensor(x, dtype=torch.float64).reshape(1, 1, 1, -1).requires_grad_()
    rule = dict(inputs={"x": ["N"]}, state={"S": ["N"]}, update={"S": "0 * S"}, read=read, **parts)
    y = reference(spec(rule))(x=x)
    (g,) = torch.autograd.grad(y.sum(), x, allow_unused=True, materialize_grads=True)
    return y.detach().flatten().tolist(), g.flatten().tolist()


@pytest.mark.parametrize("name,f", [
    ("exp", torch.exp), ("sigmoid", torch.sigmoid), ("logsigmoid", F.logsigmoid), ("tanh", torch.tanh), ("relu", F.relu),
    ("silu", F.silu), ("gelu", lambda x: x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))), ("abs", torch.abs), ("sign", torch.sign),
    ("softplus", lambda x: torch.log1p(torch.exp(-x.abs())) + x.clamp(min=0)), ("softmax", lambda x: torch.softmax(x, -1)),
    ("l2norm", lambda x: x / (x.square().sum() + 1e-6).sqrt()),
    ("layernorm", lambda x: (x - x.mean()) / (x.var(unbiased=False) + 1e-6).sqrt())])
def test_against_torch(name, f):
    x = [-2.0, 0.3, 1.7, 21.0]
    y, g = one(f"{name}(x)", x)
    t = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    want = f(t)
    torch.testing.assert_close(torch.tensor(y), want.float().detach(), check_dtype=False, rtol=1e-6, atol=0)
    assert y == pytest.approx(want.tolist(), rel=1e-14, abs=1e-16)
    assert g == pytest.approx(torch.autograd.grad(want.sum(), t)[0].tolist(), rel=1e-10, abs=1e-14)


@pytest.mark.parametrize("read,x,value,gradient", [
    ("norm(x)", [0.0, 0.0], [0.0], [0.0, 0.0]), ("norm(x)", [3.0, 4.0], [5.0], [0.6, 0.8]),
    ("abs(x)", [0.0, -2.0], [0.0, 2.0], [0.0, -1.0]), ("sign(x)", [0.0, -2.0], [0.0, -1.0], [0.0, 0.0]),
    ("huber(x, 1)", [0.5, -3.0], [0.125, 2.5], [0.5, -1.0]), ("huber(x, 1)", [inf], [inf], [1.0]),
    ("softplus(x)", [40.0, -inf], [40.0, 0.0], [1.0, 0.0]),
    ("sqrt(x)", [4.0], [2.0], [0.25]), ("x**3", [-2.0], [-8.0], [12.0]), ("2**2 * x", [1.0], [4.0], [4.0]),
    ("mean(x)", [1.0, 3.0], [2.0], [0.5, 0.5]), ("dot(x, x)", [1.0, 3.0], [10.0], [2.0, 6.0]),
    ("x[0] * x[1]", [2.0, 5.0], [10.0], [5.0, 2.0]), ("diag(x)[1]", [2.0, 5.0], [0.0, 5.0], [0.0, 1.0]),
    ("sum(outer(x, x), 0)", [1.0, 2.0], [3.0, 6.0], [6.0, 6.0]), ("sum(diag(x) @ outer(1 + 0 * x, x), 1)", [1.0, 2.0], [3.0, 6.0], [6.0, 6.0]),
    ("maximum(x, 1)", [0.5, 2.0], [1.0, 2.0], [0.0, 1.0]), ("minimum(x, 1)", [0.5, 2.0], [0.5, 1.0], [1.0, 0.0]),
    ("solve(diag(x), x * x)", [2.0, 4.0], [2.0, 4.0], [1.0, 1.0]), ("eye(N) @ x / N", [2.0, 4.0], [1.0, 2.0], [0.5, 0.5])])
def test_values_and_derivatives(read, x, value, gradient):
    y, g = one(read, x)
    assert y == pytest.approx(value, rel=1e-12)
    assert g == pytest.approx(gradient, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("read,x,gradient", [
    ("where(x > 0, log(x), 0)", [0.0, 2.0, -1.0], [0.0, 0.5, 0.0]),
    ("where(x > 0, x * lg, 2 * x)", [0.0, 1.0], [2.0, 1.0]),
    ("where(x != 0, 1 / x, 0)", [0.0, 2.0], [0.0, -0.25]),
    ("where(x > 0, sqrt(x), 0) * sum(x)", [0.0, 4.0], [2.0, 3.0]),
    ("where(sum(x) > 9, dot(x, 1 / x), sum(x))", [0.0, 4.0], [1.0, 1.0]),
    ("where(x > 0, diag(1 / x) @ (sqrt(x) * x), 0)", [0.0, 4.0], [0.0, 0.25]),
    ("where(x > 0, M(x), 0)", [0.0, 4.0], [0.0, 0.25])])
def test_a_branch_not_taken_adds_nothing(read, x, gradient):
    _, g = one(read, x, let={"lg": "log(x)"}, functions={"M(z)": "sqrt(z)"})
    assert g == pytest.approx(gradient, rel=1e-12, abs=1e-15)


def test_second_derivative_through_a_branch():
    x = torch.tensor([0.0, 2.0], dtype=torch.float64).reshape(1, 1, 1, 2).requires_grad_()
    rule = dict(inputs={"x": ["N"]}, state={"S": {"shape": ["N"], "init": "learned"}}, objective="sum(where(x > 0, S * log(x) * x, 3 * S))",
                update={"S": "S - grad(S)"}, read="S")
    S0 = torch.ones(1, 2, dtype=torch.float64, requires_grad=True)
    y = reference(spec(rule))(x, S_init=S0)
    torch.testing.assert_close(y.flatten(), torch.tensor([-2.0, 1 - 2 * math.log(2)], dtype=torch.float64))
    gx, gs = torch.autograd.grad(y.sum(), [x, S0])
    torch.testing.assert_close(gx.flatten(), torch.tensor([0.0, -1 - math.log(2)], dtype=torch.float64))
    torch.testing.assert_close(gs, torch.ones_like(S0))


def test_functions_are_called_by_name_with_hidden_names_and_nested_arguments():
    rule = dict(inputs={"k": ["K"], "v": ["K"]}, state={"S": ["K"]}, functions={"twice(k)": "k + k", "back(e)": "delay(e, 1)", "A()": "0.5 * S"},
                let={"kv": "k * v"}, update={"S": "A() + twice(back(kv))"}, read="twice(S)")
    s = spec(rule)
    x = draw(s, B=1, T=5, H=1)
    kv, S, out = (x["k"] * x["v"])[0, :, 0], 0, []
    for t in range(5):
        S = 0.5 * S + 2 * (kv[t - 1] if t else 0 * kv[0])
        out.append(2 * S)
    torch.testing.assert_close(reference(s)(**x)[0, :, 0], torch.stack(out))


def test_nested_calls_are_computed_once():
    body = "1.5 * X - 0.5 * X @ X.T @ X"
    nested = "S"
    for _ in range(12):
        nested = f"ns({nested})"
    rule = dict(LINEAR, functions={"ns(X)": body}, read=f"({nested}).T @ q")
    s = spec(rule)
    assert torch.isfinite(reference(s)(**{n: 0.1 * t for n, t in draw(s, T=3).items()})).all()


def test_heads_shared_defaults_constants_and_integer_shapes():
    rule = dict(inputs={"q": ["K"], "k": ["K"], "v": [4], "c": {"shape": [], "default": 2.0}}, state={"S": ["K", 4]},
                constants={"a": "b / 2", "b": "K * 2"}, update={"S": "S + c * outer(k, v)"}, read="S.T @ q / a")
    ref = reference(spec(rule, {**GRM, "inputs": {"u": ["K"]}}))
    q = torch.randn(2, 7, 6, 3)
    k, v, u = torch.randn(2, 7, 2, 3), torch.randn(2, 7, 3, 4), torch.randn(2, 7, 1, 3)
    full = ref(q, k.repeat_interleave(3, 2), v.repeat_interleave(2, 2), torch.full((2, 7, 6), 2.0), u.expand(2, 7, 6, 3))
    torch.testing.assert_close(ref(q, k, v, u=u), full)
    assert full.dtype == torch.float64


def test_ties_go_to_the_older():
    s = spec(LINEAR, {**GRM, "segments": {"length": 2}, "select": {"top": 1}})
    x = draw(s, B=1, T=7, H=1)
    x["u"] = torch.zeros_like(x["u"])
    _, d = reference(s)(**x, return_weights=True)
    assert d["selected"][0, 6, 0].tolist() == [True, True, False, False]


@pytest.mark.parametrize("change,error", [
    ({"k": None}, "missing required argument 'k'"), ({"kk": torch.zeros(1)}, "'kk' is not an input"),
    ({"k": torch.zeros(2, 23, 2, 4)}, "input 'k'"), ({"k": torch.zeros(2, 23, 3, 3)}, "doesn't divide")])
def test_wrong_calls_name_the_argument(change, error):
    s = spec(LINEAR)
    with pytest.raises((TypeError, ValueError), match=error):
        reference(s)(**{**draw(s), **change})
