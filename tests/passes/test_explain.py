"""What `explain` says: the structure that was found, why, and what it costs."""
from pathlib import Path

import pytest

from mcgen.cli import main
from mcgen.passes.cost import per_token, spelled
from mcgen.passes.explain import explain
from mcgen.spec import load_spec
from mcgen.symbolic.elaborate import elaborate

from .cases import spec_of

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("name", ["linear_attention", "mlstm+grm", "swla+residual", "gated_delta"])
def test_golden(name, golden):
    golden(GOLDEN / f"explain.{name}.txt", explain(elaborate(load_spec(name))))


@pytest.mark.parametrize("rule, cache_name, words", [
    ("plain", None, ["S [K, V] is kept as it is; starts from zero", "decay of S: the identity", "S.T @ q[c] + sum over d <= c: dot(q[c], k[d]) * v[d]"]),
    ("per_head", None, ["decay of S: a constant of each head"]),
    ("raw", None, ["logarithm log(a) (floored", "read1 = S.T @ q, before the token's update", "sum over d < c"]),
    ("nonlinear", None, ["decay of S, n: a scalar for every token and head; proved equal", "nonlinear in the states"]),
    ("vectors", None, ["decay of S: a scalar", "decay of n: a scalar", "G3[c] = sum of logsigmoid(g)"]),
    ("learned", "sum", ["starts from a learned value", "one running sum of cached states"]),
    ("nonlinear", "sum", ["no carried sum of cached states, since the read is nonlinear"]),
    ("plain", "top", ["memories are selected", "the 2 cached memories of highest score"]),
    ("plain", "softmax", ["the weight depends on score, softmax", "the same as mixing states: the read is linear"]),
])
def test_what_was_found_is_said(rule, cache_name, words):
    text = explain(elaborate(spec_of(rule, cache_name)))
    assert not [w for w in words if w not in text], text


def test_a_refused_spec_says_every_reason_and_what_was_understood():
    model = elaborate(load_spec({"name": "two", "rule": {
        "inputs": {"q": ["K"], "a": ["K"]}, "state": {"S": ["K", "K"], "z": ["K"], "m": ["K"]},
        "update": {"S": "diag(a) @ S + outer(q, a)", "z": "0.5 * z + q", "m": "a * m"}, "read": "S.T @ (S @ q) + z + m"}}))
    text = explain(model)
    assert "z [K] has a scalar decay: times 0.5" in text
    assert all(text.count(f"error[not-lowered]: not lowered yet: {why}") == 1 for why in (
        "diagonal decay of a state", "elementwise decay of a state", "a read that reads a state with what it read"))


def test_formulas():
    assert spelled(per_token("cdK") + per_token("rcKV") + per_token("rcKV") + per_token("rKV")) == "C K + 2 K V + K V / C"
    assert spelled(per_token("cnK"), 4) == "4 N K" and spelled(per_token("c")) == "1" and spelled(per_token("rcd")) == "C"


def test_bisect_command(capsys, tmp_path):
    assert main(["bisect", "swla+grm", "--tokens", "9"]) == 0
    out = capsys.readouterr().out
    assert "segments of 6" in out and out.endswith("no pass changes a value\n")
    assert main(["bisect", "gated_delta"]) == 1 and "error[not-lowered]" in capsys.readouterr().err
