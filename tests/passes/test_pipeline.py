"""The passes: their text before and after, product budgets, and that broken ones are caught and named."""
from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch

from mcgen.diagnostics import NotLowered
from mcgen.ir import autodiff, functions
from mcgen.ir.builder import Builder
from mcgen.ir.nodes import Param, Program, Result
from mcgen.ir.printer import print_program
from mcgen.passes import pipeline
from mcgen.passes.bisect import STAGES, bisect, values
from mcgen.passes.clean import clean, products
from mcgen.passes.cost import all_products
from mcgen.passes.expand import expand
from mcgen.passes.pipeline import compile_model, stages
from mcgen.passes.slots import large, loop_slots
from mcgen.spec import load_spec
from mcgen.symbolic.elaborate import elaborate

from .cases import compiled, drawn, errors, expected, halves, results, spec_of, trial

GOLDEN = Path(__file__).parent / "golden"
OPS = {"plain": ("plain", None), "cached": ("scalar", "softmax")}
SHOWN = [("plain", stage) for stage in STAGES] + [("cached", "build"), ("cached", "loop_slots")]


@cache
def every_stage(rule, cache_name):
    return dict(stages(elaborate(spec_of(rule, cache_name))))


@pytest.mark.parametrize("op, stage", SHOWN)
def test_text_after_every_stage(op, stage, golden):
    state = every_stage(*OPS[op])[stage]
    text = "\n\n".join(print_program(p) for p in (state.forward, state.backward) if p.results)
    golden(GOLDEN / f"{op}.{stage}.ir", text)


# -- single passes -----------------------------------------------------------------------------------------------------

def program(*values, params=(), kind="starts"):
    return Program("small", tuple(params), tuple(
        Result(f"out{i}", kind, tuple(a for a in v.axes if a not in "rn"), ((v, 0),)) for i, v in enumerate(values)))


def pair(name, before, run, b, golden):
    after = run(before, b)
    golden(GOLDEN / f"{name}.ir", f"{print_program(before)}\n\nbecomes\n\n{print_program(after)}")
    return after


def test_expand(golden):
    b, t = Builder(), Param("t", "token", ())
    after = pair("expand", program(b.sum(b.segsum(b.load(t)), ["c", "d"]), params=[t]), expand, b, golden)
    assert not any(v.op == "segsum" for v in after.order())


def test_clean_hoists_a_scale(golden):
    b, x, s, m = Builder(), Param("x", "token", ("K",)), Param("s", "token", ()), Param("m", "starts", ("K", "V"))
    value = b.dot(b.map("mul", b.load(s), b.load(x)), b.param(m), ["K"])
    after = pair("clean_hoist", program(b.sum(value, ["c"]), params=[x, s, m]), clean, b, golden)
    assert len(products(after)) <= 1


def test_clean_lets_equal_products_meet():
    b, x, s, m = Builder(), Param("x", "token", ("K",)), Param("s", "token", ()), Param("m", "starts", ("K", "V"))
    q, scale = b.load(x), b.load(s)
    one, two = b.dot(b.map("mul", scale, q), b.param(m), ["K"]), b.dot(q, b.param(m), ["K"])
    total = b.sum(b.map("exp", b.map("add", one, two)), ["c"])
    assert [len(products(p)) for p in (program(total), clean(program(total), b))] == [2, 1]


def test_clean_moves_a_sum_of_a_product_inside():
    """y . (P (w v)) with y v^T at hand is the sum of P w (y v^T); P^T turned into tokens' rows too; of two such forms of one number
    one is left; and a sum along a sum is that of its parts where these are at hand."""
    b, P, m = Builder(), Param("P", "starts", ("c", "d")), Param("m", "starts", ("K", "V"))
    x, y, z, w = (Param(name, "token", axes) for name, axes in (("x", ("V",)), ("y", ("V",)), ("z", ("K",)), ("w", ())))
    x, y, z, w, pairs, matrix = b.load(x), b.load(y), b.load(z), b.load(w), b.param(P), b.param(m)
    over_d = lambda v: b.rename(v, {"c": "d"})
    met = b.dot(y, over_d(x), ["V"])
    row = b.dot(y, b.dot(pairs, over_d(b.map("mul", w, x)), ["d"]), ["V"])
    column = b.dot(x, b.rename(b.dot(pairs, b.map("mul", w, y), ["c"]), {"d": "c"}), ["V"])
    made = clean(program(b.sum(met, ["c", "d"]), b.sum(row, ["c"]), b.sum(b.map("exp", column), ["c"])), b)
    assert len(products(made)) == 1
    (one, two) = (b.dot(z, b.dot(x, matrix, ["V"]), ["K"]), b.dot(x, b.dot(z, matrix, ["K"]), ["V"]))
    kept = [b.sum(b.map("exp", b.dot(*pair)), ["c", a]) for a, pair in (("K", (x, matrix, ["V"])), ("V", (z, matrix, ["K"])))]
    made = clean(program(*kept, b.sum(b.map("exp", one), ["c"]), b.sum(b.map("exp", two), ["c"])), b)
    assert len(products(made)) == 2 and made.roots()[2] is made.roots()[3]
    parts = [b.dot(x, other, ["V"]) for other in (y, b.sum(matrix, ["K"]))]
    whole = b.dot(x, b.map("mul", w, b.add(y, b.sum(matrix, ["K"]))), ["V"])
    made = clean(program(*(b.sum(b.map("exp", v), ["c"]) for v in (*parts, whole))), b)
    assert {id(v) for v in made.order() if v.op == "dot"} == {id(v) for v in parts}


def test_clean_sums_where_two_axes_are_equal():
    """The rows' own products alone; not where what they are made of takes products too, which are then made of every token for one."""
    b, x, y, m = Builder(), Param("x", "token", ("V",)), Param("y", "token", ("V",)), Param("m", "starts", ("c", "d"))
    same = b.map("eq", b.iota("c"), b.iota("d"))
    other = b.rename(b.load(y), {"c": "d"})
    own = b.sum(b.where(same, b.dot(b.load(x), other, ["V"])), ["d"])
    made = clean(program(own), b).roots()[0]
    assert made is b.dot(b.load(x), b.load(y), ["V"]) and not products(program(made))
    turned = b.where(same, b.dot(b.load(x), b.rename(b.dot(b.param(m), other, ["d"]), {"c": "d"}), ["V"]))
    assert len(products(clean(program(b.sum(turned, ["d"])), b))) == 2


def test_loop_slots_leaves_nothing_large(golden):
    b, q, m = Builder(), Param("q", "token", ("K",)), Param("m", "slots", ("K", "V"))
    each = b.dot(b.load(q), b.param(m), ["K"])
    before = program(b.sum(b.map("exp", each), ["n", "c"]), params=[q, m])
    assert any(map(large, before.order()))
    after = pair("loop_slots", before, loop_slots, b, golden)
    assert not any(map(large, after.order()))


@pytest.mark.parametrize("rule, cache_name", [("nonlinear", "top"), ("output", "after"), ("scalar", "states")])
def test_no_stage_of_an_op_keeps_a_large_value(rule, cache_name):
    state = compiled(rule, cache_name)
    assert not [v for p in (state.forward, state.backward, state.weights) for v in p.order() if large(v)]


# -- products ----------------------------------------------------------------------------------------------------------

# products a chunk: forward, backward; then those for every cached memory. Fewer is welcome: lower the number.
BUDGETS = {"simple_gla": (4, 9), "linear_attention": (4, 9), "linear_attention+residual": (5, 10), "mlstm": (4, 9), "swla": (7, 16)}
CACHED = {"linear_attention+grm": (4, 10, 1, 2), "mlstm+grm": (4, 11, 1, 2)}


@pytest.mark.parametrize("name", BUDGETS)
def test_product_budget(name):
    state = compile_model(elaborate(load_spec(name)))
    assert (len(products(state.forward)), len(products(state.backward))) == BUDGETS[name]
    assert name != "simple_gla" or (len(products(state.forward)) <= 4 and len(products(state.backward)) <= 10)


@pytest.mark.parametrize("name, most", [("gated_delta", (8, 20)), ("gla", (4, 10)), ("kda", (8, 22)), ("gdn2", (8, 22))])
def test_structures_stay_within_their_budgets(name, most):
    """A rank-one term, a factor for each channel, both: triangular systems and sums with factors count as products. (The
    derivative by factors adds none: it takes the products of those by both sides.)"""
    state = compile_model(elaborate(load_spec(name)))
    assert all(len(list(all_products(p))) <= limit for p, limit in zip((state.forward, state.backward), most))


@pytest.mark.parametrize("name", CACHED)
def test_product_budget_with_a_cache(name):
    state = compile_model(elaborate(load_spec(name)))
    inside = [sum(p.loop == "slots" for p in all_products(x)) for x in (state.forward, state.backward)]
    assert (len(products(state.forward)), len(products(state.backward)), *inside) == CACHED[name]


# -- what catches a broken compiler ------------------------------------------------------------------------------------

def scaled(rule):
    def wrong(b, *given):
        return tuple(None if x is None else b.map("mul", x, b.const(1.001)) for x in rule(b, *given))
    return wrong


def worst():
    state = compile_model(elaborate(spec_of("nonlinear", "softmax")))
    x = drawn(state.model, 13)
    return errors(results(state, x, 4), expected(state.model, x))


@pytest.mark.parametrize("op", ["dot", "segsum", "cumsum", "collect"])
def test_a_broken_rule_of_differentiation_is_seen(op, monkeypatch):
    monkeypatch.setitem(autodiff.RULES, op, scaled(autodiff.RULES[op]))
    found = worst()
    assert found["y"] < 1e-9 < 1e-5 < max(found.values())


@pytest.mark.parametrize("fn", ["exp", "div", "maximum", "mul"])
def test_a_broken_derivative_is_seen(fn, monkeypatch):
    monkeypatch.setitem(functions.TABLE, fn, replace(functions.TABLE[fn], grad=scaled(functions.TABLE[fn].grad)))
    found = worst()
    assert found["y"] < 1e-9 < 1e-5 < max(found.values())


def bisected(model):
    call = trial(model, drawn(model, 13), 4)
    return {name: change for name, change in bisect(model, call)}


@pytest.mark.parametrize("rule, cache_name", [("delay", "softmax"), ("vectors", None), ("nonlinear", "after"), ("learned", "sum")])
def test_no_pass_changes_a_value(rule, cache_name):
    assert bisected(elaborate(spec_of(rule, cache_name, start="fresh"))) == dict.fromkeys(STAGES)


def test_no_pass_changes_a_value_where_segments_merge():
    """The second part of a call reaches levels that its memory did not have."""
    model = elaborate(spec_of("delay", "after", 2, "fresh", "logarithmic"))
    first, second = halves(trial(model, drawn(model, 13), 4), 3)
    *_, (_, state) = stages(model)
    memory = {n.removeprefix("new."): x for n, x in values(state, first).items() if n.startswith("new.")}
    assert memory["live.S"].shape[1] < second.levels
    assert {name: change for name, change in bisect(model, replace(second, memory=memory))} == dict.fromkeys(STAGES)


def test_bisect_names_the_pass(monkeypatch):
    """A pass that drops the exclusive of running sums: wrong values; one that returns nothing: it breaks."""
    def careless(program, b):
        from mcgen.passes.rewrite import rebuild_program
        return rebuild_program(clean(program, b), b, lambda r, v, a: b.cumsum(a[0], v["axis"], v["reverse"]) if v.op == "cumsum" else None)

    model = elaborate(spec_of("scalar"))
    monkeypatch.setattr(pipeline, "PASSES", tuple((n, careless if n == "clean" else f) for n, f in pipeline.PASSES))
    found = bisected(model)
    assert list(found) == ["build", "differentiate", "expand", "lift", "solve_apart", "invert", "leave_rows", "clean"]
    assert found["clean"].stage == "clean" and found["clean"].error > 1e-3
    monkeypatch.setattr(pipeline, "PASSES", tuple((n, (lambda p, b: replace(p, params=())) if n == "expand" else f) for n, f in pipeline.PASSES))
    found = bisected(model)
    assert list(found)[-1] == "expand" and "no parameter" in str(found["expand"])


def test_bisect_holds_the_first_stage_to_what_is_known():
    model = elaborate(spec_of("scalar"))
    x = drawn(model, 13)
    want = expected(model, x)["y"]
    assert all(c is None for _, c in bisect(model, trial(model, x, 4), {"y": want}))
    (stage, change), = bisect(model, trial(model, x, 4), {"y": want + 1e-3 * torch.ones_like(want)})
    assert stage == "build" and change.what == "y"


def test_more_tensors_than_an_operator_of_torch_may_have_are_refused():
    def op(count):
        names = [f"x{i}" for i in range(count)]
        return elaborate(load_spec({"name": "many", "rule": {"inputs": {n: ["K"] for n in names}, "state": {"m": ["K"]},
                                                             "update": {"m": "0.5 * m + " + " + ".join(names)}, "read": "m"}}))
    with pytest.raises(NotLowered, match="an op of 74 tensors.*at most 62"):
        compile_model(op(70))
    compile_model(op(20))
