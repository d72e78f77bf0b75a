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


@pytest.mark.parametrize("name", ["linear_attention", "mlstm+grm", "swla+residual", "longhorn+grm", "log_linear_attention"])
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
    ("plain", "states", ["mix: states, the same as mixing reads: the read is linear"]),
    ("plain", "softmax", ["the weight depends on score, softmax", "the same as mixing states: the read is linear"]),
])
def test_what_was_found_is_said(rule, cache_name, words):
    text = explain(elaborate(spec_of(rule, cache_name)))
    assert not [w for w in words if w not in text], text


def test_a_scan_says_so_and_why():
    model = elaborate(load_spec({"name": "two", "rule": {
        "inputs": {"q": ["K"], "a": ["K"]}, "state": {"S": ["K", "K"], "z": ["K"], "m": ["K"], "P": ["K", "K"]},
        "update": {"S": "tanh(S) + outer(q, a)", "z": "0.5 * z + q", "m": "abs(m) + a", "P": "P + outer(a, a)"}, "read": "S.T @ (S @ q) + z + m * norm(P)"}}))
    said = explain(model)
    assert "S [K, K], token by token: tanh(S) + outer(q, a); starts from zero\n      no chunk form: 'tanh' of a state" in said
    assert "no chunk form: 'abs' of a state" in said and "no chunk form: 'norm' of a matrix state in a read" in said
    assert "z [K] has a scalar decay: times 0.5" in said and "the update of z is affine" in said
    assert "a scan over tokens: S, m, P, one token after the other" in said


@pytest.mark.parametrize("name, words", [
    ("gated_delta", ["+ outer(k, w1)", "w1 = beta * v + S.T @ (-beta * exp(g) * k), of the states before the token",
                     "a triangular system of 1 row a token in every chunk; what is erased and what is written under one key are one value"]),
    ("mesa", ["systems of P + diag(l): symmetric and nowhere negative", "1/6 K^3", "1/3 K^3"]),
    ("delta_product", ["a triangular system of 2 rows a token", "+ outer(k2, w2)"]),
    ("gla", ["S [K, V] decays each row by exp(g)", "decay of S: a factor for each channel", "product of exp(g), a factor for each row of S", "S.T @ (DS[:c] * q[c]) + sum over d <= c: dot(q[c], DS[d:c] * k[d]) * v[d]",
             "next S = diag(DS[:C]) @ S + sum over d: outer(DS[d:C] * k[d], v[d])"]),
])
def test_what_was_found_in_a_rule(name, words):
    text = explain(elaborate(load_spec(name)))
    assert not [w for w in words if w not in text], text


def test_systems():
    said = explain(elaborate(load_spec({"name": "two", "rule": {
        "inputs": {"q": ["K"], "k": ["K"]}, "state": {"S": ["K", "K"]}, "update": {"S": "S + outer(k, q)"},
        "read": "solve(S @ S.T + eye(K), q) + solve(S + eye(K), k)"}})))
    assert "systems of S @ S.T + eye(K): symmetric and nowhere negative" in said and "systems of S + eye(K): by elimination with pivots" in said


def test_factors_of_rows_and_columns_stand_where_they_belong():
    said = explain(elaborate(load_spec({"name": "sides", "rule": {
        "inputs": {"q": ["K"], "k": ["K"], "v": ["V"], "g": ["K"], "h": ["V"]}, "state": {"S": ["K", "V"], "z": ["K"]},
        "update": {"S": "diag(g) @ S @ diag(h) + outer(k, v)", "z": "g * z + k"}, "read": "S.T @ q + S.T @ z"}})))
    for words in ("DS.rows[d:c] = product of g, a factor for each row of S", "DS.cols[d:c] = product of h, a factor for each column of S",
                  "DS.cols[:c] * (S.T @ (DS.rows[:c] * q[c])) + sum over d <= c: dot(q[c], DS.rows[d:c] * k[d]) * DS.cols[d:c] * v[d]",
                  "next S = diag(DS.rows[:C]) @ S @ diag(DS.cols[:C]) + sum over d: outer(DS.rows[d:C] * k[d], DS.cols[d:C] * v[d])",
                  "Dz[d:c] = product of g, a factor for each entry of z", "next z = Dz[:C] * z + sum over d: Dz[d:C] * k[d]"):
        assert words in said, said


def test_names_that_the_spec_has_taken_are_left_to_it():
    """Dimensions C and n, a decay d, a gate N, a state G: the chunk, its tokens, the memories and sums of decays go by other letters."""
    said = explain(elaborate(load_spec({"name": "taken", "rule": {
        "inputs": {"q": ["C"], "k": {"shape": ["C"], "domain": "unit"}, "v": ["n"], "d": {"shape": [], "domain": ["-inf", 0]}, "N": {"shape": [], "domain": [0, 1]}},
        "state": {"G": ["C", "n"]}, "update": {"G": "exp(d) * G + N * outer(k, v - G.T @ k)"}, "read": "G.T @ q"},
        "cache": {"inputs": {"u": ["C"]}, "segments": {"length": 16}, "summary": "mean(k)", "score": "dot(u, summary)", "weight": "softmax(score)"}})))
    for words in ("rows of at most L tokens that never cross a segment's end; c and i are tokens of a row", "next G = exp(G_[L]) * G + sum over i",
                  "[c, C] x [i, C] -> [c, i]", "multiply-adds a token and head: 2 L C + 2 L n + 3 C n + M C n + C n / L + C / L",
                  "cache, bytes a memory: 4 C n + 4 C; M memories after M segments", "G before every row, [C, n]"):
        assert words in said, said


def test_what_a_pair_of_states_comes_to():
    said = explain(elaborate(load_spec("titans_linear")))
    assert "next S = WS[:C] * (Z, S) + sum over d: WS[d:C] * outer(k[d], w1[d])" in said and "what d wrote to Z and S is in S at c" in said
    assert "12 products a chunk (c, d, mid: its tokens)" in said and "2 C^2 + 2 C K" in said


def test_a_refused_spec_says_why_and_what_was_understood():
    said = explain(elaborate(load_spec({"name": "runs", "rule": {
        "inputs": {"q": ["K"], "k": ["K"], "v": ["K"]}, "state": {"S": ["K", "K"], "z": ["K"]}, "objective": "sum(tanh(S @ k) * v)",
        "gradient": {"chunk": 4}, "update": {"S": "S - grad(S)", "z": "0.5 * z + q"}, "read": "S @ q + z"}})))
    assert "z [K] has a scalar decay: times 0.5" in said and "error[not-lowered]: not lowered yet: gradients at the start of a run" in said


def test_formulas():
    assert spelled(per_token("cdK") + per_token("rcKV") + per_token("rcKV") + per_token("rKV")) == "C K + 2 K V + K V / C"
    assert spelled(per_token("cnK"), 4) == "4 N K" and spelled(per_token("cKK")) == "K^2" and spelled(per_token("c")) == "1" and spelled(per_token("rcd")) == "C"


def test_bisect_command(capsys, tmp_path):
    assert main(["bisect", "swla+grm", "--tokens", "9"]) == 0
    out = capsys.readouterr().out
    assert "segments of 6" in out and out.endswith("no pass changes a value\n")
    assert main(["bisect", "ttt_linear"]) == 1 and "error[not-lowered]" in capsys.readouterr().err
