"""Updates and reads as affine forms: what is split off, what is proved, and what is refused, with its place."""
from __future__ import annotations

import pytest

from mcgen.diagnostics import NotLowered
from mcgen.spec import load_text
from mcgen.symbolic.algebra import Algebra
from mcgen.symbolic.decay import log_decay
from mcgen.symbolic.elaborate import elaborate
from mcgen.symbolic.linear import form, split
from mcgen.symbolic.read import analyse_read
from mcgen.symbolic.text import text

TEXT = """\
name: small
rule:
  inputs:
    q: [K]
    k: [K]
    v: [V]
    a: {{shape: [], domain: [0, 1]}}
    g: {{shape: [], domain: [-inf, 0]}}
    p: {{shape: [], domain: [0, inf]}}
    x: []
  constants: {{c: 0.5}}
  state: {{S: [K, V], z: [K], n: []}}
  update:
    S: {S}
    z: {z}
    n: {n}
  read: {read}
"""


def model(S="S", z="z", n="n", read="S.T @ q"):
    return elaborate(load_text(TEXT.format(S=S, z=z, n=n, read=read), "small.yaml"))


def writes(**update):
    (name, _), = update.items()
    return [tuple(None if x is None else text(x) for x in (w.coef, w.key, w.value)) for w in form(model(**update).update[name]).writes]


def scales(**update):
    (name, _), = update.items()
    return {key: text(scale) for key, scale in form(model(**update).update[name]).states}


def scalar(spelled):
    """A scalar term, as a factor of n."""
    (_, scale), = form(model(n=f"({spelled}) * n").update["n"]).states
    return scale


def algebra():
    return Algebra(model().inputs)


# -- forms -------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("update, want", [
    ("S + outer(k, v)", [("1", "k", "v")]),
    ("S - a * outer(k, v)", [("-1 * a", "k", "v")]),
    ("S + outer(a * k, x * v)", [("a * x", "k", "v")]),
    ("S + outer(-k, v / p)", [("-1 * 1 / p", "k", "v")]),
    ("S + (outer(v, k)).T", [("1", "k", "v")]),
    ("S + diag(q) @ outer(k, v)", [("1", "q * k", "v")]),
    ("S + outer(k, v) @ diag(v)", [("1", "k", "v * v")]),
    ("S + a * (outer(k, v) - outer(q, v))", [("a", "k", "v"), ("a * -1", "q", "v")]),
    ("S + x * outer(delay(k, 1), delay(v, 2))", [("x", "delay(k, 1)", "delay(v, 2)")]),
    ("S + delay(a * outer(k, v), 2)", [("delay(a, 2)", "delay(k, 2)", "delay(v, 2)")]),
    ("S + window(outer(k, v), 3)", [("1", "k", "v"), ("delay(1, 1)", "delay(k, 1)", "delay(v, 1)"), ("delay(1, 2)", "delay(k, 2)", "delay(v, 2)")]),
    ("a * S + 0 * S", []),
])
def test_writes(update, want):
    assert writes(S=update) == want


def test_writes_of_vectors_and_scalars():
    assert writes(z="a * z + x * (k / p)") == [("x * 1 / p", "k", None)]
    assert writes(n="n + dot(q, k)") == [("dot(q, k)", None, None)]


@pytest.mark.parametrize("update, want", [
    ("S", "1"), ("a * S", "a"), ("S / p", "1 / p"), ("-(a * S)", "-1 * a"), ("a * S + x * S", "a + x"), ("(a * S.T).T", "a"),
    ("exp(g) * (S + outer(k, v))", "exp(g)"), ("c * S - S", "c + -1"),
])
def test_the_factor_of_the_old_state(update, want):
    assert scales(S=update) == {("S", "old", False): want}


def test_a_vector_update_that_reads_a_matrix_is_refused():
    assert refused(lambda: form(model(z="z + S @ v").update["z"]))[0] == "a rank-one term (the update reads the state)"


def test_a_sum_of_states_names_them_all():
    assert {key for key, _ in form(model(n="n + a * n + x").update["n"]).states} == {("n", "old", False)}
    assert {key for key, _ in form(model(read="(S + prev(S)).T @ q").read.args[0]).states} == {("S", "new", True), ("S", "old", True)}


def test_split():
    m = model(z="z + x * (-(a * k)) / p")
    coef, vector = split(m.update["z"].args[1])
    assert text(vector) == "k" and text(coef).count("-1") == 1 and {"x", "a", "p"} <= set(text(coef).replace("(", " ").replace(")", " ").split())


# -- proofs ------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("spelled", ["a", "1 - a", "a * p", "a / (1 + p)", "exp(x)", "1 / (1 + exp(x))", "x**2", "abs(x)", "maximum(x, 0)", "relu(x)",
                                     "-g", "1 - a / 2", "softplus(x)", "sqrt(p)", "1 + a - a**2", "norm(k)", "sigmoid(x) * a", "minimum(a, p)"])
def test_proved_nonnegative(spelled):
    assert algebra().nonnegative(scalar(spelled))


@pytest.mark.parametrize("spelled", ["x", "-a", "a - 1", "a - 0.5", "p - 1", "g", "tanh(x)", "dot(q, k)", "1 - p", "a - a**2 - 0.1", "sum(k)"])
def test_not_proved_nonnegative(spelled):
    """None of these is nonnegative everywhere: a proof would be wrong."""
    assert not algebra().nonnegative(scalar(spelled))


def test_equal():
    known = algebra()
    assert known.equal(scalar("a * (1 + x)"), scalar("a + x * a")) and known.equal(scalar("exp(g) * exp(x)"), scalar("exp(g + x)"))
    assert not known.equal(scalar("a"), scalar("p")) and not known.equal(scalar("dot(q, k)"), scalar("dot(k, k)"))


# -- decays ------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("factor, want", [
    ("exp(g)", "g"), ("sigmoid(x)", "logsigmoid(x)"), ("a", "log(a)"), ("exp(g) * a", "g + log(a)"), ("exp(g) / exp(x)", "g + -x"),
    ("sqrt(exp(g))", "0.5 * g"), ("exp(g)**2", "2 * g"), ("1 - a", "log(1 - a)"), ("0.9", "log(0.9)"),
])
def test_log_decay(factor, want):
    assert text(log_decay(scalar(factor), algebra())) == want


def test_the_factor_one_has_no_logarithm():
    (_, scale), = form(model().update["S"]).states
    assert log_decay(scale, algebra()) is None


# -- refusals ----------------------------------------------------------------------------------------------------------

def refused(call):
    with pytest.raises(NotLowered) as e:
        call()
    d, = e.value.diagnostics
    return d.message.removeprefix("not lowered yet: "), d.pos.line, d.pos.text[d.pos.column - 1: d.pos.column - 1 + d.pos.width]


@pytest.mark.parametrize("update, want", [
    ("S + outer(k, v - S.T @ k)", ("a rank-one term (the update reads the state)", 14, "outer(k, v - S.T @ k)")),
    ("diag(k) @ S", ("diagonal decay of a state", 14, "diag(k) @ S")),
    ("S @ diag(v)", ("diagonal decay of a state", 14, "S @ diag(v)")),
    ("S * S", ("a product of two values that both depend on a state (a rule that is not affine)", 14, "S * S")),
    ("outer(k, v) * S", ("elementwise decay of a state (it needs the scan over tokens)", 14, "outer(k, v) * S")),
    ("tanh(S)", ("'tanh' of a state in an update (it needs the scan over tokens)", 14, "tanh(S)")),
    ("S + tanh(outer(k, v))", ("a write to a matrix state that is not a sum of outer products ('tanh')", 14, "tanh(outer(k, v))")),
    ("window(S, 2)", ("a window over terms with a state (rank-one terms over several tokens)", 14, "window(S, 2)")),
])
def test_updates_that_are_refused(update, want):
    assert refused(lambda: form(model(S=update).update["S"])) == want


@pytest.mark.parametrize("factor", ["x", "-a", "a - 0.5", "tanh(x)"])
def test_a_decay_that_may_be_negative_is_refused(factor):
    message, line, _ = refused(lambda: log_decay(scalar(factor), algebra()))
    assert (message, line) == ("a decay factor that may be negative", 16)


@pytest.mark.parametrize("read, want", [
    ("S.T @ (S @ v)", ("a read that reads a state with what it read from a state", 17, "S.T @ (S @ v)")),
    ("sum(S, 0)", ("'sum' of a matrix state in a read", 17, "sum(S, 0)")),
    ("tanh(S).T @ q", ("'tanh' of a state in an update (it needs the scan over tokens)", 17, "tanh(S)")),
])
def test_reads_that_are_refused(read, want):
    assert refused(lambda: analyse_read(model(read=read).read)) == want


# -- reads -------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("read, atoms, linear", [
    ("S.T @ q", ["rows S new"], True), ("c * S.T @ q / p", ["rows S new"], True), ("S @ v", ["cols S new"], True),
    ("S.T @ q + prev(S).T @ q", ["rows S new", "rows S old"], True), ("S.T @ q - S.T @ q", ["rows S new"], True),
    ("S.T @ q + v", ["rows S new"], False), ("S.T @ q / dot(z, q)", ["rows S new", "vector z new"], False), ("z", ["whole z new"], True),
    ("n * z", ["whole n new", "whole z new"], False), ("a * n * k", ["whole n new"], True), ("tanh(S.T @ q)", ["rows S new"], False),
    ("(S + prev(S)).T @ q", ["rows S new", "rows S old"], True), ("(S + outer(k, v)).T @ q", ["rows S new"], False),
    ("v * dot(S.T @ q, v)", ["rows S new"], True), ("v / dot(z, q)", ["vector z new"], False), ("z[0] * v", ["whole z new"], True),
    ("S.T @ q * where(a < p, 1, 2)", ["rows S new"], True), ("where(n < p, v, v)", ["whole n new"], False),
])
def test_reads(read, atoms, linear):
    got = analyse_read(model(read=read).read)
    assert ([f"{a.kind} {a.state} {a.when}" for a in got.atoms], got.linear) == (atoms, linear)
