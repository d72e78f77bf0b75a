"""What names mean where, and the terms that come out."""
from __future__ import annotations

import pytest

from mcgen.diagnostics import SpecError
from mcgen.spec import load_spec
from mcgen.symbolic.elaborate import elaborate
from mcgen.symbolic.facts import Unknown, evaluate, kinds, numbers
from mcgen.symbolic.model import Model
from mcgen.symbolic.terms import Term, walk


def model(update: str = "S", read: str = "S.T @ q", cache: dict | None = None, **keys) -> Model:
    rule = {"inputs": {"q": ["K"], "k": ["K"], "v": ["V"], "a": [], "h": {"shape": ["K"], "per": "head"}},
            "state": {"Z": ["K", "V"], "S": ["K", "V"]}, "update": {"Z": "Z + outer(k, v)", "S": update}, "read": read, **keys}
    return elaborate(load_spec({"rule": rule, **({"cache": cache} if cache is not None else {})}))


def update(text: str, **keys) -> Term:
    return model(text, **keys).update["S"]


def code(*args, **kwargs) -> str:
    with pytest.raises(SpecError) as e:
        model(*args, **kwargs)
    return e.value.code


def states(t: Term) -> set[tuple[str, str]]:
    return {(n["name"], n["when"]) for n in walk(t) if n.op == "state"}


# -- what a state's name means -----------------------------------------------------------------------------------------

def test_states_by_place() -> None:
    m = model("S + new(Z)", "prev(S).T @ q + Z.T @ q", objective="sum(S)", gradient={"chunk": 2},
              end={"Z": "S - Z", "S": "S + new(Z)"})
    assert states(m.update["S"]) == {("S", "old"), ("Z", "old")}
    assert m.update["S"].args[1] is m.update["Z"]
    assert states(m.read) == {("S", "old"), ("Z", "new")}
    assert states(m.objective) == {("S", "old")}
    assert states(m.end["S"]) == {("S", "new"), ("Z", "new")} and m.end["S"].args[1] is m.end["Z"]


def test_a_state_without_a_line_keeps_its_value() -> None:
    m = elaborate(load_spec({"rule": {"inputs": {"q": ["K"]}, "state": {"S": ["K"], "n": {"shape": [], "init": "1/K"}},
                                      "update": {"n": "n + 1"}, "read": "S * n"}}))
    assert m.update["S"].op == "state" and m.update["S"]["when"] == "old"
    assert set(m.inits) == {"n"} and m.dims == ("K",)


def test_functions_see_the_states_of_the_caller() -> None:
    m = model("A(k)", "A(q).T @ q", functions={"A(x)": "diag(x) @ S"})
    assert states(m.update["S"]) == {("S", "old")} and states(m.read) == {("S", "new")}


def test_parameters_hide_other_names() -> None:
    assert update("f(a)", functions={"f(k)": "k * S"}) is update("a * S")
    assert update("f(S, k)", functions={"f(y, score)": "diag(score) @ y"}) is update("diag(k) @ S")


def test_gradients() -> None:
    m = model("S - a * grad(S, at=2*S)", objective="sum(S * S)")
    grad = next(t for t in walk(m.update["S"]) if t.op == "grad")
    assert grad["state"] == "S" and grad.shape == ("K", "V") and states(grad.args[0]) == {("S", "old")}
    assert update("S - grad(S)", objective="sum(S)").args[1].args == ()
    assert code("S - grad(S, at=new(Z))", objective="sum(S)", gradient={"chunk": 4}) == "not-here"
    assert model("S - grad(S, at=new(Z))", objective="sum(S)")
    assert code(objective="sum(grad(S))") == "not-here"


# -- simplification and sharing ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("a, b", [
    ("1 * S + 0", "S"), ("S / 1 - 0", "S"), ("--S", "S"), ("S.T.T", "S"), ("S**1", "S"), ("0 - S", "-S"), ("(1 + 1) * S", "2 * S"),
    ("2.0 * S", "2 * S"), ("window(S, 1)", "S"), ("outer(delay(k, 0), v)", "outer(k, v)"), ("sum(a) * S", "a * S"),
    ("4**0.5 * S", "2 * S"), ("S[0][0] * S", "S[0.0][0] * S"),
])
def test_equal_terms(a: str, b: str) -> None:
    assert update(a) is update(b)


@pytest.mark.parametrize("a, b", [("a * S", "S * a"), ("S + (Z + S)", "(S + Z) + S"), ("0 * S", "S - S"), ("S**2", "S * S")])
def test_nothing_is_reordered(a: str, b: str) -> None:
    assert update(a) is not update(b)


def test_five_newton_schulz_steps_stay_small() -> None:
    t = update("n(n(n(n(n(S)))))", functions={"p(X, A)": "3 * X + (A + A @ A) @ X", "n(X)": "p(X, X @ X.T)"})
    assert sum(1 for _ in walk(t)) < 60


def test_equal_calls_are_shared() -> None:
    functions = {"f0(x)": "x + x"} | {f"f{i}(x)": f"f{i-1}(x) * f{i-1}(x)" for i in range(1, 30)}
    assert sum(1 for _ in walk(update("f29(S)", functions=functions))) < 40


def test_places_are_those_of_the_last_spec() -> None:
    first = elaborate(load_spec("linear_attention"))
    assert first.read.pos.file == "specs/rules/linear_attention.yaml"
    assert model("S + outer(k, v)", "K**-0.5 * S.T @ q").read.pos.file == "<dict>"


# -- shapes ------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("text, shape", [
    ("outer(k, v)", ("K", "V")), ("S.T @ k", ("V",)), ("S @ S.T", ("K", "K")), ("diag(k)", ("K", "K")), ("eye(3)", (3, 3)),
    ("sum(S, 0)", ("V",)), ("sum(S, 1)", ("K",)), ("sum(S)", ()), ("mean(S)", ()), ("norm(S)", ()), ("dot(k, q)", ()),
    ("S[0]", ("V",)), ("k[0]", ()), ("solve(eye(K), k)", ("K",)), ("solve(eye(K), S)", ("K", "V")), ("softmax(S)", ("K", "V")),
    ("layernorm(v)", ("V",)), ("where(k < 0, 1, q)", ("K",)), ("where(a < 0, S, 0)", ("K", "V")), ("huber(S, a)", ("K", "V")),
    ("maximum(a, S)", ("K", "V")), ("S / a", ("K", "V")), ("a / S", ("K", "V")), ("window(outer(k, v), 3)", ("K", "V")),
    ("delay(S.T @ k, 0) if 0 else 1", None), ("delay(k, 2)", ("K",)), ("K * k", ("K",)), ("S**K", ("K", "V")),
    ("new(Z)", ("K", "V")), ("window(a * S, 2)", ("K", "V")), ("exp(S)", ("K", "V")), ("S @ diag(v)", ("K", "V")),
])
def test_shapes(text: str, shape) -> None:
    if shape is None:
        assert code(text) == "not-allowed"
    elif shape == ("K", "V"):
        assert update(text).shape == shape
    else:
        with pytest.raises(SpecError) as e:
            update(text)
        said = str(e.value)
        assert "must be a matrix [K, V], not" in said
        assert (f"[{', '.join(map(str, shape))}]" if shape else "not a scalar") in said


def test_integers_are_dims() -> None:
    rule = {"inputs": {"q": [4], "v": [2]}, "state": {"S": [4, 2]}, "update": {"S": "S + outer(q, v)"}, "read": "S.T @ q + v[1] * v"}
    assert elaborate(load_spec({"rule": rule})).dims == ()
    with pytest.raises(SpecError, match="bad-index"):
        elaborate(load_spec({"rule": {**rule, "read": "v[2] * v"}}))


# -- dims and constants --------------------------------------------------------------------------------------------------

def test_dims_and_constants() -> None:
    m = model(dims={"D": "e*K"}, constants={"e": 4, "s": "D**-0.5", "n": "e - 2"}, let={"w": "delay(k, n)"},
              read="s * w[n] * (S.T @ q)")
    assert m.dims == ("K", "V") and numbers(m, {"K": 16, "V": 8}) == {"K": 16, "V": 8, "D": 64, "e": 4, "s": 0.125, "n": 2}
    assert next(t for t in walk(m.read) if t.op == "delay")["n"] == 2
    with pytest.raises(Unknown):
        evaluate(m.constants["s"], {}, m.constants, m.derived)
    with pytest.raises(ValueError, match="'E' is 1.5"):
        numbers(model(dims={"E": "K/2"}), {"K": 3, "V": 1})


def test_what_terms_depend_on() -> None:
    m = model("S + outer(delay(k, 1), v)", "prev(S).T @ q", {"score": "sum(q) * age", "weight": "softmax(score) * exp(after(a))"})
    assert kinds(m.update["S"]) == {"old", "input", "delay"} and kinds(m.read) == {"old", "input"}
    assert kinds(m.cache.weight) == {"online", "mix", "after", "input"}


# -- the cache -----------------------------------------------------------------------------------------------------------

def test_cache_names() -> None:
    m = model(cache={"inputs": {"lam": ["L"]}, "let": {"kn": "l2norm(k)"}, "constants": {"t": 2}, "summary": "mean(outer(kn, v))",
                     "score": "t * sum(summary.T @ q) - age", "weight": "lam[level] * softmax(score) / count"})
    assert m.cache.summary[0] == "mean" and m.cache.summary[1].shape == ("K", "V")
    assert {t["name"] for t in walk(m.cache.weight) if t.op == "online"} == {"level", "score", "count"}
    assert any(t.op == "mixsoftmax" for t in walk(m.cache.weight)) and list(m.inputs)[-1] == "lam"
    assert m.dims == ("K", "V", "L")


def test_softmax_of_a_vector_stays_a_softmax() -> None:
    m = model(cache={"weight": "softmax(k)[0]"})
    assert m.cache.weight.args[0].op == "softmax"


@pytest.mark.parametrize("cache", [
    {"weight": "after(softmax(a))"}, {"weight": "S[0][0]"}, {"score": "softmax(a)"}, {"weight": "after(age)"}, {"summary": "mean(S)"},
    {"let": {"x": "age"}}, {"weight": "y"}, {"score": "score"}, {"weight": "grad(S)"}, {"weight": "delay(age, 1)"},
    {"weight": "k[age]"}, {"weight": "q"}, {"weight": "after(after(a))"},
])
def test_cache_refuses(cache: dict) -> None:
    assert code(cache=cache) in ("not-here", "wrong-type", "bad-index")


def test_rule_without_the_caches_names() -> None:
    assert code(read="S.T @ (q * w)", cache={"let": {"w": "a"}}) == "not-here"
    assert code(constants={"c": "d"}, cache={"constants": {"d": 1}}) == "not-here"


def test_several_findings_at_once() -> None:
    with pytest.raises(SpecError) as e:
        model("S + x1", "S.T @ x2", {"score": "x3", "weight": "x4"}, let={"bad": "x5", "worse": "bad + 1"})
    assert sorted(d.message[1:3] for d in e.value.diagnostics) == ["x1", "x2", "x3", "x4", "x5"]
