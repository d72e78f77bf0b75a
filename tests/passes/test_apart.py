"""Levels of merging segments are computed apart: nothing large is summed over them but by loops, and values stay."""
from __future__ import annotations

from functools import cache

import pytest

from mcgen.ir import interpreter
from mcgen.ir.nodes import bodies, slot_axis
from mcgen.ir.verifier import verify_program
from mcgen.passes.apart import Entangled, levelled, levels_apart, of_levels, over_levels
from mcgen.passes.bisect import bound, table
from mcgen.passes.pipeline import compile_model
from mcgen.passes.slice import cut
from mcgen.passes.thin import thin
from mcgen.passes.unstack import unstack
from mcgen.spec import load_spec
from mcgen.symbolic.elaborate import elaborate

from ops.specs import APART, DECAY, LEVELS, op

from .cases import drawn, errors, trial

RULES = {
    "decay": {},
    "window": {"update": {"S": "exp(g) * S + window(sigmoid(g) * outer(k, v), 3)"}},
    # the backward pass adds up what every token and level has for A
    "tokens": {"inputs": {**DECAY["inputs"], "A": {"shape": ["K", "K"], "per": "head"}}, "update": {"S": "tanh(exp(g) * A @ S + outer(k, v))"}},
    # which branch is taken differs from level to level; a condition of the token alone leaves gradients that are sums over levels
    "branches": {"inputs": {**DECAY["inputs"], "a": {"shape": [], "per": "head"}},
                 "update": {"S": "where(g > a, where(abs(S) < 1, tanh(a) * (outer(k, v) * S), 0.5 * S), huber(S, 0.5)) + exp(g) * S"}},
}


@cache
def compiled(name):
    tree = op(name, rule=RULES[name], cache={**LEVELS, "segments": APART})
    return compile_model(elaborate(load_spec({k: {a: b for a, b in v.items() if b is not None} if isinstance(v, dict) else v for k, v in tree.items()})))


def whole(program):
    """The program's values, with what is in loops."""
    for v in program.order():
        yield v
        for body in bodies(v):
            yield from whole(body)


def ready(program, b):
    return thin(unstack(program, b), b)


@pytest.mark.parametrize("name", RULES)
def test_values_stay(name):
    state = compiled(name)
    b, call, made = state.source.builder, trial(state.model, drawn(state.model, 23), 4), {}
    for program in (state.forward, state.backward):
        inputs, args = bound(program, call, made), (table(call), call.chunk, call.sizes)
        before = ready(program, b)
        after = levels_apart(before, b)
        verify_program(after)
        want, got = (interpreter.run(p, inputs, *args) for p in (before, after))
        assert not {n: e for n, e in errors(got, want).items() if not e < 1e-9}
        assert any(map(of_levels, after.order()))
        assert not [v for v in whole(after) if over_levels(v) and any(map(levelled, v.args))]
        made |= want


def test_a_memory_is_the_run_of_one_level():
    """It is not summed from all of them: the program of its level stores it."""
    state = compiled("decay")
    after = levels_apart(ready(state.forward, state.source.builder), state.source.builder)
    table_of_units = next(r.parts[0][0] for r in after.results if r.name == "new.cache.S")
    assert levelled(table_of_units.args[0]) and table_of_units.args[2].axes == ("r", "l") and table_of_units.args[2].dtype == "b"
    assert not [v for v in after.order() if v.op == "slots" and slot_axis(v) == "l"]


def test_kernels_of_one_level_and_of_all():
    state = compiled("decay")
    for program in (state.forward, state.backward):
        slices = cut(program, state.source.builder).slices
        assert any(s.levels for s in slices) and not all(s.levels for s in slices)
        for s in slices:
            assert s.slot == "m" and not (s.levels and [v for v in whole(s.program) if over_levels(v)])


def test_levels_that_need_each_other():
    """A carry that reads the sum of all levels: no program of one level has it."""
    state = compiled("decay")
    b = state.source.builder
    scan = next(v for v in state.forward.order() if of_levels(v))
    body, old = scan["body"], b.param(scan["body"].params[0])
    mixed = b.map("add", old, b.sum(old, ["l"]))
    results = tuple(type(r)(r.name, r.kind, r.axes, ((mixed, 0),)) for r in body.results[:1])
    loop = b.make("scan", scan.args, (), "f", **{**dict(scan.attrs), "body": type(body)(body.name, body.params, results)})
    result = type(results[0])("new.live.S", "levels", ("K", "V"), ((b.out(loop, "final", 0), 0),))
    program = type(state.forward)("entangled", state.forward.params, (result,), "chunk", state.forward.segment)
    verify_program(program)
    with pytest.raises(Entangled, match="need each other"):
        levels_apart(program, b)
