"""A program cut into kernels computes what the whole program computes, and is cut where it should be."""
from __future__ import annotations

import pytest

from mcgen.ir import interpreter
from mcgen.ir.nodes import bodies
from mcgen.passes.apart import levelled
from mcgen.passes.bisect import bound, table
from mcgen.passes.pipeline import compile_model
from mcgen.passes.slice import Sliced, cut
from mcgen.passes.token_loops import over_tokens
from mcgen.spec import load_spec
from mcgen.symbolic.elaborate import elaborate

from ops.scans import SCANS
from ops.specs import CORNERS, LOGARITHMIC, SMALL_OF_LARGE
from .cases import CACHES, RULES, compiled, drawn, errors, trial
from .test_scans import compiled as scan


def run_sliced(sliced: Sliced, results, inputs, rows, chunk, sizes):
    """Every result, kernel after kernel in the interpreter."""
    found = dict(inputs)
    slots = next((t.shape[1] for n, t in inputs.items() if n.startswith("cache.")), 0)
    merging = any(p.kind == "units" for s in sliced.slices for p in (*s.program.params, *s.program.results))
    sizes = {**sizes, "#tokens": 23, "#slots": slots.bit_length() + 1 if merging else slots, "#units": slots}
    for s in sliced.slices:
        found |= interpreter.run(s.program, {p.name: found[p.name] for p in s.program.params}, rows, chunk, sizes)
    for name, parts in sliced.shifted:
        delay = next(r.delay for r in results if r.name == name)
        first = found[parts[0][0]]
        total = first.new_zeros(first.shape[0], delay + first.shape[1], *first.shape[2:])
        for part, shift in parts:
            total[:, delay - shift:total.shape[1] - shift] += found[part]
        found[name] = total
    return {r.name: found[r.name] for r in results}


def corner(name, known=CORNERS):
    return compile_model(elaborate(load_spec({k: {a: b for a, b in v.items() if b is not None} if isinstance(v, dict) else v
                                              for k, v in known[name].items()})))


def agree(rule, cache_name=None, start="carry", forms=(False, True)):
    agree_state(compiled(rule, cache_name, 6, start), forms)


def agree_state(state, forms=(False, True)):
    call = trial(state.model, drawn(state.model, 23), 4)
    made = {}
    for program in (state.forward, state.backward):
        inputs = bound(program, call, made)
        args = (table(call), call.chunk, call.sizes)
        want = interpreter.run(program, inputs, *args)
        for fused in forms:
            got = run_sliced(cut(program, state.source.builder, fused), program.results, inputs, *args)
            assert not {n: e for n, e in errors(got, want).items() if not e < 1e-9}, f"fused: {fused}"
        made |= want


# products that scale every channel by its own decays, and inverses, keep kernels of their own
@pytest.mark.parametrize("rule, forward, backward", [("scalar", [], []), ("nonlinear", [], []), ("erase", ["stored.inverse"], ["stored.inverse"]),
                                                     ("channels", ["stored.P"], ["stored.P", "stored.channels"])])
def test_one_pass_over_the_rows(rule, forward, backward):
    """The fused form is one loop: it gives every result, and only then memory between kernels is left where others make it."""
    state = compiled(rule, None, 6, "carry")
    for program, stored in ((state.forward, forward), (state.backward, backward)):
        *before, loop = cut(program, state.source.builder, True).slices
        assert loop.kind == "loop" and {r.name for r in loop.program.results} == {r.name for r in program.results}
        assert [s.kind for s in before] == ["rows"] * len(stored) and [s.program.results[0].name for s in before] == stored


def test_work_over_the_slots_stays_in_grids():
    state = compiled("scalar", "softmax", 6, "carry")
    kinds = {r.name: s.kind for s in cut(state.forward, state.source.builder, True).slices for r in s.program.results}
    assert kinds["y"] == "rows" and kinds["new.state.S"] == "loop"


@pytest.mark.parametrize("name", ["mlstm", "comba", "kda", "rwkv7", "titans_linear"])
def test_kernels_fit_in_registers(name):
    """What would fill them is cut, into kernels that agree with the whole; loops are not."""
    state = compile_model(elaborate(load_spec(name)))
    agree_state(state, [False])
    slices = cut(state.backward, state.source.builder).slices
    assert max(s.load for s in slices if s.kind == "rows") <= 1
    assert len({s.program.name for s in slices for r in s.program.results if s.kind == "loop" and r.name.startswith("d.state.")}) == 1


def test_what_is_summed_along_a_dim_is_read():
    """The gradients of mLSTM's q and k take its normaliser, a sum along K, and scores of pairs: stored, they leave K to programs."""
    state = compile_model(elaborate(load_spec("mlstm")))
    kernel, = (s for s in cut(state.backward, state.source.builder).slices if "d.q" in {r.name for r in s.program.results})
    assert kernel.blocked == ("K",) and {r.name for r in kernel.program.results} == {"d.q", "d.k"}
    assert {p.axes for p in kernel.program.params if p.name.startswith("stored.")} >= {("c",), ("c", "d")}


@pytest.mark.parametrize("rule", RULES)
def test_rules(rule):
    agree(rule)
    agree(rule, "softmax", forms=(False,))


# read_twice divides by what a slot that is not written yet has: a kernel's loop stops before it, the interpreter's does not
@pytest.mark.parametrize("name", [*(n for n in SCANS if n != "read_twice"), "mesa", "mamba1"])
def test_scans_over_tokens(name):
    agree_state(scan(name), (False,))


ONE_KEY = {"name": "one_key", "rule": {
    "inputs": {"k": {"shape": ["K"], "per": "head"}, "v": ["K"], "b": {"shape": [], "domain": [0, 1]}, "q": {"shape": ["K"], "domain": ["-inf", 0]}},
    "state": {"S": ["K", "K"]}, "update": {"S": "diag(exp(q)) @ S - b * outer(l2norm(k), S.T @ l2norm(k) - v)"}, "read": "S.T @ k"}}


def test_a_key_of_the_head_erases():
    """What its gradient sums over rows is of pairs of tokens: stored with their axes."""
    agree_state(compile_model(elaborate(load_spec(ONE_KEY))), (False, True))


def test_what_goes_token_by_token_is_cut_and_done_once():
    """Sums along either dim are loops of their own, each cut along the other one; a system of a token has no blocks of another state."""
    def loops(program, b):
        return [s for s in cut(program, b).slices if s.kind == "loop"]
    state = scan("mamba1")
    both = loops(state.backward, state.source.builder)
    assert [s.blocked for s in both] == [("V",), ("K",)] and both[0].kept[0][1] == both[1].kept[0][1]        # the same scratch memory
    state = scan("mesa")
    sums, solves = loops(state.forward, state.source.builder)
    assert sums.blocked == ("K", "V") and not any("V" in v.axes for v in solves.program.order())


MERGING = [s["name"] for s in LOGARITHMIC]


@pytest.mark.parametrize("name", [n if n in ("merging_gate", "merging_levels", "merging_steps", "merging_tokens") else
                                  pytest.param(n, marks=pytest.mark.slow) for n in MERGING])
def test_merging_segments(name):
    agree_state(corner(name))


@pytest.mark.parametrize("name", SMALL_OF_LARGE)
def test_what_is_small_and_made_of_what_has_levels(name):
    """Loops over tokens with matrices of a level in them, carried or not, are in programs of one level each, whatever asks for their results."""
    state = corner(name, SMALL_OF_LARGE)
    agree_state(state)
    for program in (state.forward, state.backward):
        for s in (s for fused in (False, True) for s in cut(program, state.source.builder, fused).slices):
            assert s.levels or not [v for loop in loops_over_tokens(s.program) for v in loop["body"].order() if levelled(v)]


def loops_over_tokens(program):
    """All of a program, those in loops too."""
    for v in program.order():
        if over_tokens(v):
            yield v
        for body in bodies(v):
            yield from loops_over_tokens(body)


@pytest.mark.parametrize("start", ["carry", "fresh"])
@pytest.mark.parametrize("cache_name", CACHES)
def test_caches(cache_name, start):
    agree("nonlinear", cache_name, start, (False,))
    agree("delay", cache_name, start, (False,))


@pytest.mark.slow
@pytest.mark.parametrize("name", [*((r, c) for r in RULES for c in CACHES), *(n for n in SCANS if n != "read_twice"), "mesa", "mamba1"])
def test_the_fused_form(name):
    if isinstance(name, tuple):
        agree(*name, forms=(True,))
    else:
        agree_state(scan(name), (True,))
