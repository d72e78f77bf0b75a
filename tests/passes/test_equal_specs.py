"""Specs that say the same in other words compile to the same programs, up to places in the spec."""
from __future__ import annotations

import re

import pytest

from mcgen.ir.printer import print_program
from mcgen.passes.pipeline import compile_model
from mcgen.spec import load_spec
from mcgen.symbolic.elaborate import elaborate

INPUTS = {"q": ["K"], "k": ["K"], "v": ["V"], "g": {"shape": [], "domain": ["-inf", 0]}, "eta": {"shape": [], "domain": [0, 1]}}


def programs(**rule) -> list[str]:
    rule = {"inputs": INPUTS, "state": {"S": ["K", "V"]}, "read": "S.T @ q", **rule}
    compiled = compile_model(elaborate(load_spec({"name": "same", "rule": rule})))
    return [re.sub(r"  # \S+$", "", print_program(p), flags=re.M) for p in (compiled.forward, compiled.backward)]


PAIRS = {
    "objective": ({"objective": "-dot(S.T @ k, v)", "update": {"S": "exp(g) * S - eta * grad(S)"}},
                  {"update": {"S": "exp(g) * S + eta * outer(k, v)"}}),
    "objective at another value": ({"objective": "-dot(S.T @ k, v)", "update": {"S": "exp(g) * S - eta * grad(S, at=exp(g) * S)"}},
                                   {"update": {"S": "exp(g) * S + eta * outer(k, v)"}}),
    "squared error": ({"objective": "0.5 * sum((S.T @ k - v)**2)", "update": {"S": "exp(g) * S - eta * grad(S)"}},
                      {"update": {"S": "exp(g) * S - eta * outer(k, S.T @ k - v)"}}),
    "momentum": ({"state": {"S": ["K", "V"], "Z": ["K", "V"]}, "objective": "0.5 * sum((S.T @ k - v)**2)",
                  "update": {"Z": "0.9 * Z - eta * grad(S)", "S": "exp(g) * S + new(Z)"}},
                 {"state": {"S": ["K", "V"], "Z": ["K", "V"]}, "functions": {"e()": "S.T @ k - v"},
                  "update": {"Z": "0.9 * Z - eta * outer(k, e())", "S": "exp(g) * S + (0.9 * Z - eta * outer(k, e()))"}}),
    "a window of gradients": ({"objective": "0.5 * sum((S.T @ k - v)**2)", "update": {"S": "exp(g) * S - window(eta * grad(S), 3)"}},
                              {"update": {"S": "exp(g) * S - window(eta * outer(k, S.T @ k - v), 3)"}}),
    "a term twice": ({"state": {"S": ["K", "V"], "Z": ["K", "V"]}, "read": "(S + Z).T @ q",
                      "update": {"S": "S - eta * outer(k, S.T @ k)", "Z": "exp(g) * Z + 0.3 * new(S) + 0.3 * new(S) + outer(k, v) - outer(k, v)"}},
                     {"state": {"S": ["K", "V"], "Z": ["K", "V"]}, "read": "(S + Z).T @ q",
                      "update": {"S": "S - eta * outer(k, S.T @ k)", "Z": "exp(g) * Z + 0.6 * new(S)"}}),
    "weight decay": ({"objective": "0.5 * sum(S**2) - dot(S.T @ k, v)", "update": {"S": "S - eta * grad(S)"}},
                     {"update": {"S": "S - eta * (S - outer(k, v))"}}),
}


@pytest.mark.parametrize("pair", PAIRS)
def test_programs_are_equal(pair):
    one, other = (programs(**rule) for rule in PAIRS[pair])
    assert one == other
