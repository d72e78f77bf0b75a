"""Whatever a file holds, the answer is a Spec or a SpecError: no crash, no hang, nothing executed."""
from __future__ import annotations

import os
import string

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcgen.diagnostics import McgenError, SpecError
from mcgen.spec import dump_spec, load_spec, load_text
from mcgen.spec.expressions import parse_expression
from mcgen.spec.tree import Text
from mcgen.diagnostics import NOWHERE
from mcgen.symbolic.elaborate import elaborate

EXAMPLES = int(os.environ.get("MCGEN_FUZZ", "120"))        # more of them: MCGEN_FUZZ=5000 pytest tests/spec/test_strangers.py
QUICK = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
WORDS = ["rule", "cache", "inputs", "state", "update", "read", "use", "shape", "domain", "per", "init", "learned", "segments",
         "length", "weight", "score", "summary", "grm", "gated_delta", "linear_attention", "q", "k", "v", "S", "K", "V",
         "S + outer(k, v)", "S.T @ q", "softmax(score)", "mean(k)", "no", "[K, V]", "{use: grm}", "{chunk: 4}", "grad(S)",
         "&a", "*a", "!!python/none", "!x", "<<: *a", "|", ">", "? x", "---", "...", "%YAML 1.1", "1", "-1", ".inf", "null",
         "\t", "\x85", "\ufeff", "'", '"', "\\U", "M(x)", "functions", "objective", "gradient", "end", "let", "dims"]


def try_text(text: str) -> None:
    try:
        elaborate(load_text(text))
    except SpecError as e:
        assert e.diagnostics and str(e)


@QUICK
@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    try_text(text)


@QUICK
@given(st.lists(st.tuples(st.sampled_from(["", " ", "  ", "\n", "\n  ", "\n    ", ": ", ", ", "- ", "{", "}", "[", "]"]),
                          st.sampled_from(WORDS)), max_size=30))
def test_words_of_the_language(parts: list[tuple[str, str]]) -> None:
    try_text("".join(a + b for a, b in parts))


@QUICK
@given(st.text(alphabet=string.ascii_letters[:6] + "0123456789.+-*/@()[],<>= \nT", max_size=80))
def test_any_expression(text: str) -> None:
    try:
        parse_expression(Text(NOWHERE, text))
    except SpecError as e:
        assert e.diagnostics


# -- legal trees of nonsense: every combination of operators and functions over the names of a real spec -----------------

LEAVES = st.sampled_from(["q", "k", "v", "S", "z", "beta", "h", "2", "0.5", "K", "scale", "M(k)", "grad(S)", "new(z)", "prev(S)",
                          "y", "score", "summary", "age", "level", "count", "eye(K)", "nn", "delay(k, 1)"])
FUNCTIONS = ["exp", "norm", "sum", "mean", "softmax", "l2norm", "diag", "M", "after", "grad", "new", "prev", "abs"]


def grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "@", "**"]), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        inner.map(lambda e: f"(-{e})"), inner.map(lambda e: f"({e}).T"), inner.map(lambda e: f"({e})[0]"),
        st.tuples(st.sampled_from(FUNCTIONS), inner).map(lambda t: f"{t[0]}({t[1]})"),
        st.tuples(st.sampled_from(["outer", "dot", "minimum", "solve", "huber", "delay", "window", "sum"]), inner, inner)
        .map(lambda t: f"{t[0]}({t[1]}, {t[2]})"),
        st.tuples(inner, inner, inner).map(lambda t: f"where({t[0]} < {t[1]}, {t[2]}, {t[0]})"),
        st.tuples(inner).map(lambda t: f"grad(S, at={t[0]})"))


EXPRESSIONS = st.recursive(LEAVES, grow, max_leaves=4)


@settings(QUICK, max_examples=EXAMPLES // 2)
@given(EXPRESSIONS, EXPRESSIONS, EXPRESSIONS, EXPRESSIONS, st.sampled_from(["token", {"chunk": 4}]))
def test_any_legal_expression(update: str, read: str, score: str, weight: str, gradient) -> None:
    spec = load_spec({
        "rule": {"inputs": {"q": ["K"], "k": ["K"], "v": ["V"], "beta": [], "h": {"shape": ["K"], "per": "head"}},
                 "constants": {"scale": "K**-0.5"}, "state": {"z": ["K"], "S": ["K", "V"]},
                 "functions": {"M(x)": "S.T @ x"}, "objective": "0.5 * sum((M(k) - v)**2)", "gradient": gradient,
                 "update": {"z": "z + k", "S": update}, "read": read},
        "cache": {"segments": {"length": 8}, "summary": "mean(k)", "score": score, "weight": weight}})
    assert load_text(dump_spec(spec)) == spec
    try:
        model = elaborate(spec)
    except SpecError as e:
        assert e.diagnostics
    else:
        assert model.update["S"].shape == ("K", "V") and len(model.read.shape) == 1 and model.cache.weight.shape == ()


JUNK = st.recursive(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.sampled_from(WORDS), st.text(max_size=8)),
                    lambda inner: st.one_of(st.lists(inner, max_size=3),
                                            st.dictionaries(st.sampled_from(WORDS), inner, max_size=4)), max_leaves=12)


@QUICK
@given(st.dictionaries(st.sampled_from(["rule", "cache", "name", "summary", "sources"]), JUNK))
def test_any_dict(source: dict) -> None:
    try:
        elaborate(load_spec(source))
    except McgenError as e:
        assert str(e)
