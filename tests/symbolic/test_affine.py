"""Updates and reads as affine forms: what is split off, what is proved, and what is refused, with its place."""
from __future__ import annotations

import re

import pytest

from mcgen.diagnostics import NotLowered
from mcgen.spec import load_text
from mcgen.symbolic.affine import collect_affine
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


def spelled(*terms):
    return tuple(None if t is None else text(t) for t in terms)


def writes(**update):
    """(coefficient, axes) of the stateless pieces of an update."""
    (name, _), = update.items()
    return [(text(p.coef), *spelled(*(a.vector for a in p.axes))) for p in form(model(**update).update[name]) if p.state is None]


def pieces(t):
    """(state, coefficient, [(source, vector)], [(contracted axis, with)]) of the pieces that read a state."""
    return [(p.state[0], text(p.coef), [(a.source, *spelled(a.vector)) for a in p.axes], [(i, text(x)) for i, x in p.given])
            for p in form(t) if p.state is not None]


def group(inputs=None, **update):
    """The group of the state that the update names."""
    (name, _), = update.items()
    return next(g for g in collect_affine(model(**update)) if name in g.states)


def scalar(spelled):
    """A scalar term, as a factor of n."""
    return next(p.coef for p in form(model(n=f"({spelled}) * n").update["n"]))


def algebra():
    return Algebra(model().inputs)


# -- forms -------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("update, want", [
    ("S + outer(k, v)", [("1", "k", "v")]),
    ("S - a * outer(k, v)", [("-a", "k", "v")]),
    ("S + outer(a * k, x * v)", [("a * x", "k", "v")]),
    ("S + outer(-k, v / p)", [("-1 / p", "k", "v")]),
    ("S + (outer(v, k)).T", [("1", "k", "v")]),
    ("S + diag(q) @ outer(k, v)", [("1", "k * q", "v")]),
    ("S + outer(k, v) @ diag(v)", [("1", "k", "v * v")]),
    ("S + outer(k, v) * outer(q, v)", [("1", "k * q", "v * v")]),
    ("S + (outer(k, k) - a * eye(K)) @ outer(q, v)", [("dot(q, k)", "k", "v"), ("-a", "q", "v")]),
    ("S + a * (outer(k, v) - outer(q, v))", [("a", "k", "v"), ("-a", "q", "v")]),
    ("S + x * outer(delay(k, 1), delay(v, 2))", [("x", "delay(k, 1)", "delay(v, 2)")]),
    ("S + delay(a * outer(k, v), 2)", [("delay(a, 2)", "delay(k, 2)", "delay(v, 2)")]),
    ("S + window(outer(k, v), 3)", [("1", "k", "v"), ("delay(1, 1)", "delay(k, 1)", "delay(v, 1)"), ("delay(1, 2)", "delay(k, 2)", "delay(v, 2)")]),
    ("a * S + 0 * S", []),
])
def test_writes(update, want):
    assert writes(S=update) == want


def test_writes_of_vectors_and_scalars():
    assert writes(z="a * z + x * (k / p)") == [("x * 1 / p", "k")]
    assert writes(n="n + dot(q, k)") == [("dot(q, k)",)]


KEPT = [(0, None), (1, None)]


@pytest.mark.parametrize("update, want", [
    ("S", [("S", "1", KEPT, [])]), ("a * S", [("S", "a", KEPT, [])]), ("S / p", [("S", "1 / p", KEPT, [])]), ("-(a * S)", [("S", "-a", KEPT, [])]),
    ("(a * S.T).T", [("S", "a", KEPT, [])]), ("exp(g) * (S + outer(k, v))", [("S", "exp(g)", KEPT, [])]),
    ("diag(k) @ S", [("S", "1", [(0, "k"), (1, None)], [])]), ("S @ diag(v)", [("S", "1", [(0, None), (1, "v")], [])]),
    ("outer(k, v) * S", [("S", "1", [(0, "k"), (1, "v")], [])]),
    ("outer(k, S.T @ q)", [("S", "1", [(None, "k"), (1, None)], [(0, "q")])]),
    ("outer(S @ v, x * v)", [("S", "x", [(0, None), (None, "v")], [(1, "v")])]),
    ("a * outer(k, q) @ S", [("S", "a", [(None, "k"), (1, None)], [(0, "q")])]),
    ("S @ outer(v, v)", [("S", "1", [(0, None), (None, "v")], [(1, "v")])]),
    ("(eye(K) - a * outer(k, k)) @ (exp(g) * S)", [("S", "exp(g)", KEPT, []), ("S", "-a * exp(g)", [(None, "k"), (1, None)], [(0, "k")])]),
    ("window(a * S, 2)", [("S", "a", KEPT, []), ("S", "delay(a, 1)", KEPT, [])]),
    ("outer(k, sum(S, 0))", [("S", "1", [(None, "k"), (1, None)], [(0, "1")])]),
    ("dot(k, S @ v) * outer(k, v)", [("S", "1", [(None, "k"), (None, "v")], [(1, "v"), (0, "k")])]),
])
def test_pieces(update, want):
    assert [p for p in pieces(model(S=update).update["S"]) if p[0] == "S"] == want


def test_a_vector_that_reads_a_matrix_has_its_kept_axis():
    assert pieces(model(z="z + S @ v").update["z"])[1] == ("S", "1", [(0, None)], [(1, "v")])


def test_split():
    m = model(z="z + x * (-(a * k)) / p")
    coef, vector = split(m.update["z"].args[1])
    assert text(vector) == "k" and text(coef).count("-") == 1 and {"x", "a", "p"} <= set(re.findall(r"\w+", text(coef)))


# -- groups ------------------------------------------------------------------------------------------------------------

def written(g):
    return [({n: spelled(*k) for n, k in w.keys}, *spelled(w.plain), {n: text(y) for n, y in w.reads}) for w in g.writes]


@pytest.mark.parametrize("update, want", [
    ("S + a * outer(k, v)", [({"S": ("1", "k")}, "a * v", {})]),
    ("S + outer(k, v) - outer(k, x * v)", [({"S": ("1", "k")}, "v + -x * v", {})]),
    ("S + outer(k, v) - a * outer(q, v)", [({"S": ("1", "k + -a * q")}, "v", {})]),
    ("S + a * outer(k, v - S.T @ k)", [({"S": ("1", "k")}, "a * v", {"S": "-a * k"})]),
    ("S + outer(k, v) - a * outer(q, S.T @ k)", [({"S": ("1", "k")}, "v", {}), ({"S": ("1", "q")}, None, {"S": "-a * k"})]),
    ("S - outer(S @ v, a * v)", [({"S": ("1", "v")}, None, {"S": "-a * v"})]),
])
def test_what_is_erased_and_what_is_written_under_one_key_are_one_value(update, want):
    assert written(group(S=update)) == want


def test_steps_inside_a_token_compose():
    """The second step's read of the first one's write stands in its plain part and in what it asks of the old state."""
    g = group(S="(a * S + outer(k, v)) - outer(q, (a * S + outer(k, v)).T @ q)")
    assert written(g) == [({"S": ("1", "k")}, "v", {}), ({"S": ("1", "q")}, "-dot(k, q) * v", {"S": "-a * q"})]


def test_states_that_hold_a_value_in_proportion_share_it():
    text_of_two = TEXT.replace("n: []}}", "n: [], Z: [K, V]}}").replace("    n: {n}", "    n: {n}\n    Z: a * Z - x * outer(k, S.T @ k - v)")
    m = elaborate(load_text(text_of_two.format(S="exp(g) * S + p * new(Z)", z="z", n="n", read="S.T @ q")
                            .replace("    S: exp(g) * S + p * new(Z)\n", "").replace("  read:", "    S: exp(g) * S + p * new(Z)\n  read:"), "small.yaml"))
    g = next(g for g in collect_affine(m) if "S" in g.states)
    assert g.states == ("Z", "S") and g.coupled and text(g.factors["S", "Z"].scalar) == "p * a"
    (w,) = g.writes
    assert {n: k[1].op for n, k in w.keys} == {"S": "input", "Z": "input"} and len(w.reads) == 1


@pytest.mark.parametrize("update, want", [
    ("S", ("1", None, None)), ("a * S + x * S", ("a + x", None, None)), ("c * S - S", ("c + -1", None, None)),
    ("a * diag(k) @ S", ("1", "a * k", None)), ("diag(k) @ S + x * S", ("1", "k + x", None)), ("S @ diag(x * v)", ("1", None, "x * v")),
    ("diag(k) @ S @ diag(v)", ("1", "k", "v")),
])
def test_the_factor_of_the_old_state(update, want):
    f = group(S=update).factors["S", "S"]
    assert spelled(f.scalar, f.rows, f.cols) == want


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
    log, sign = log_decay(scalar(factor), algebra())
    assert text(log) == want and sign is None


def test_the_factor_one_has_no_logarithm():
    assert log_decay(group(S="S").factors["S", "S"].scalar, algebra()) == (None, None)


@pytest.mark.parametrize("factor, log, sign", [("x", "log(x)", "x"), ("a - 0.5", "log(a - 0.5)", "a - 0.5"), ("exp(g) * tanh(x)", "g + log(tanh(x))", "tanh(x)"),
                                               ("-a", "log(-a)", "-a"), ("x * g", "log(x) + log(g)", "where(x < 0, -1, 1) * where(g < 0, -1, 1)")])
def test_what_may_be_negative_has_a_sign(factor, log, sign):
    found = log_decay(scalar(factor), algebra())
    assert spelled(*found) == (log, sign)


# -- refusals ----------------------------------------------------------------------------------------------------------

def refused(call):
    with pytest.raises(NotLowered) as e:
        call()
    d, = e.value.diagnostics
    return d.message.removeprefix("not lowered yet: "), d.pos.line, d.pos.text[d.pos.column - 1: d.pos.column - 1 + d.pos.width]


@pytest.mark.parametrize("update, want", [
    ("S * S", ("a product of two values that both depend on a state (a rule that is not affine)", 14, "S * S")),
    ("tanh(outer(k, v)) * S", ("elementwise decay of a state (it needs the scan over tokens)", 14, "tanh(outer(k, v)) * S")),
    ("tanh(S)", ("'tanh' of a state in an update (it needs the scan over tokens)", 14, "tanh(S)")),
    ("S + tanh(outer(k, v))", ("a write to a matrix state that is not a sum of outer products ('tanh')", 14, "tanh(outer(k, v))")),
    ("outer(S.T @ q, S @ v).T", ("a product of two values that both depend on a state (a rule that is not affine)", 14, "outer(S.T @ q, S @ v)")),
])
def test_updates_that_are_refused(update, want):
    assert refused(lambda: form(model(S=update).update["S"])) == want


@pytest.mark.parametrize("update, why", [
    (dict(S="outer(k, v)"), "an update that forgets the whole state"),
    (dict(z="z + S @ v"), "a state's update that reads another state of another shape"),
    (dict(S="S - outer(k, S.T @ k) - outer(S @ v, v)"), "a state that is read along both axes by its own update"),
    (dict(S="diag(k) @ S + S @ diag(v)"), "a sum of decays along different axes"),
    (dict(S="S @ diag(v) - outer(k, S.T @ k)"), "a rank-one term across channels that decay on their own"),
    (dict(S="S + dot(k, S @ v) * outer(k, v)"), "a term that is neither a decay nor of rank one"),
    (dict(S="S + outer(k, v * (S.T @ q))"), "a value read of the state and scaled by channel, so that every channel has a triangular system of its own"),
])
def test_affine_updates_without_a_chunk_form(update, why):
    assert refused(lambda: collect_affine(model(**update)))[0] == why


@pytest.mark.parametrize("read, whole", [
    ("S.T @ (S @ v)", {}),
    ("v * sum(S)", {"S": "'sum' of a matrix state in a read"}),
    ("tanh(S).T @ q", {"S": "'tanh' of a state in an update (it needs the scan over tokens)"}),
    ("tanh(outer(z, S.T @ q)).T @ k", {"z": "'tanh' of a state in an update (it needs the scan over tokens)",
                                       "S": "'tanh' of a state in an update (it needs the scan over tokens)"}),
])
def test_reads_that_need_a_state_whole(read, whole):
    """The smallest part that is no product of a state with a vector is one free atom; a product's vector may be read from a state."""
    found = analyse_read(model(read=read).read)
    assert {n: e.diagnostics[0].message.removeprefix("not lowered yet: ") for n, e in found.whole.items()} == whole
    assert found.nested and not found.linear
    assert [a.kind for a in found.atoms] == (["free"] if whole else ["cols", "rows"]) and (whole or found.atoms[1].inner == (0,))


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


def test_equal_scalars_are_proved_and_others_seen_at_a_point(monkeypatch):
    from mcgen.symbolic import algebra as module

    questions = algebra()
    assert questions.equal(scalar("a * (1 - a) + a**2"), scalar("a"))
    assert questions.equal(scalar("log(exp(g))"), scalar("g"))
    monkeypatch.setattr(module.sp, "simplify", None)          # minutes, for terms that fuzzing makes
    assert not questions.equal(scalar("sigmoid(x) * exp(-softplus(g)) / (1 + abs(tanh(x)))"), scalar("exp(g)"))
