"""Matrices that are symmetric and nowhere negative: those that are proved to be, and that numbers agree; those that must not be."""
from __future__ import annotations

import pytest
import torch

from mcgen.spec import load_spec
from mcgen.symbolic.definite import Definite
from mcgen.symbolic.elaborate import elaborate
from mcgen.symbolic.terms import walk
from mcgen.verify.harness import Lab

INPUTS = {"q": ["K"], "k": ["K"], "v": ["V"], "g": {"shape": [], "domain": ["-inf", 0]}, "b": [], "p": {"shape": [], "domain": [0, 1]},
          "l": {"shape": ["K"], "domain": [0, "inf"]}, "A": {"shape": ["K", "K"], "per": "head"}, "k0": {"shape": ["K"], "per": "head"}}
PROVED = {
    "sums of squares that decay": ("exp(g) * P + outer(k, k)", "P + eye(K)"),
    "scaled on one side": ("P + p * outer(0.5 * k, k / (1 + p))", "P + diag(l)"),
    "a factor of each side": ("P + outer(b * k, b * k) / 2", "P + b**2 * eye(K)"),
    "a product from both sides": ("(eye(K) - p * outer(k, q)) @ P @ (eye(K) - p * outer(k, q)).T + outer(k, k)", "P + eye(K)"),
    "reads of a state of any kind": ("P + outer(k, q)", "P @ P.T + eye(K)"),
    "and turned": ("P + outer(k, q)", "0.5 * (A.T @ A) + eye(K)"),
    "what a window adds up": ("window(outer(k, k), 3)", "P + eye(K)"),
    "entry by entry": ("outer(k, k) * (P + eye(K))", "P + eye(K)"),
    "whichever it is": ("where(b > 0, P, outer(k, k))", "P.T + eye(K)"),
    "a state of another": ("P + Q + new(Q)", "P + eye(K)"),
    "what is positive by its function": ("P + softplus(b) * outer(k, k)", "P + diag(exp(q)) + maximum(b, 1) * eye(K)"),
}
REFUSED = {
    "two vectors": ("P + outer(k, q)", "P + eye(K)"),
    "a factor of any sign": ("b * P + outer(k, k)", "P + eye(K)"),
    "of one side": ("P + outer(b * k, k)", "P + eye(K)"),
    "what is taken away": ("P - outer(k, k)", "P + eye(K)"),
    "a diagonal of any sign": ("P + outer(k, k)", "P + diag(q)"),
    "a product from one side": ("(eye(K) - outer(k, k)) @ P", "P + eye(K)"),
    "rows that decay by themselves": ("diag(l) @ P", "P + eye(K)"),
    "an input": ("P + outer(k, k)", "P + A"),
    "another state's terms": ("P + Q @ A", "P + eye(K)"),
    "quotients entry by entry": ("P + outer(k, k)", "P / outer(k, k)"),
    "a matrix of comparisons": ("where(outer(k, q) > P, P, outer(k, k))", "P + eye(K)"),
}


def spec(update: str, matrix: str, init: str = "zeros", cache: dict | None = None):
    rule = {"inputs": INPUTS, "state": {"P": {"shape": ["K", "K"], "init": init}, "Q": ["K", "K"], "S": ["K", "V"]},
            "update": {"Q": "0.5 * Q + outer(k, k)", "P": update, "S": "S + outer(k, v)"}, "read": f"S.T @ solve({matrix}, q)"}
    return load_spec({"name": "solving", "rule": rule, **({"cache": cache} if cache else {})})


def proved(*args, **given) -> bool:
    model = elaborate(spec(*args, **given))
    matrix, = {t.args[0] for t in walk(model.read) if t.op == "solve"}
    return Definite(model).semidefinite(matrix)


@pytest.mark.parametrize("name", PROVED)
def test_proved(name):
    """And so it is: no eigenvalue of a state of the reference is below 0."""
    assert proved(*PROVED[name])
    drawn = spec(*PROVED[name])
    lab = Lab(None, drawn, sizes={"K": 4, "V": 3})
    with torch.no_grad():
        _, memory = lab.reference(**lab.plain(lab.case(9)), return_memory=True)
    for state in Definite(elaborate(drawn)).states:
        x = memory["state"][state]
        torch.testing.assert_close(x, x.mT)
        assert float(torch.linalg.eigvalsh(x).min()) > -1e-9 * float(x.abs().max())


@pytest.mark.parametrize("name", REFUSED)
def test_not_proved(name):
    assert not proved(*REFUSED[name])


@pytest.mark.parametrize("init, holds", [("zeros", True), ("outer(k0, k0)", True), ("A @ A.T", True), ("A", False), ("learned", False)])
def test_what_it_starts_from(init, holds):
    assert proved("P + outer(k, k)", "P + eye(K)", init=init) is holds


@pytest.mark.parametrize("weight, mix, holds", [("tanh(u)", "states", False), ("softmax(u)", "states", True), ("sigmoid(u) / count", "states", True),
                                                ("tanh(u)", "reads", True)])
def test_of_mixed_states(weight, mix, holds):
    cache = {"inputs": {"u": []}, "segments": {"length": 4}, "weight": weight, "mix": mix}
    assert proved("P + outer(k, k)", "P + eye(K)", cache=cache) is holds
