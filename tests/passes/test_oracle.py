"""The chunk form equals the token-by-token reference, forward and in every gradient, for rules x caches x lengths x chunks."""
from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mcgen.passes.bisect import noise, values

from .cases import CACHES, RULES, compiled, drawn, errors, expected, halves, only_y, results, trial

TOLERANCE = 1e-9


def agree(rule, cache_name=None, length=6, start="carry", tokens=23, chunk=4, zeros=(), without=(), growth="constant"):
    state = compiled(rule, cache_name, length, start, growth)
    x = drawn(state.model, tokens, zeros)
    want = expected(state.model, x)
    found = errors(results(state, x, chunk), {n: w for n, w in want.items() if n not in without})
    assert not {n: e for n, e in found.items() if not e < TOLERANCE}


@pytest.mark.parametrize("rule", [r for r in RULES if r != "expression_init"])
def test_rules(rule):
    agree(rule)


@pytest.mark.parametrize("start", ["carry", "fresh"])
@pytest.mark.parametrize("cache_name", CACHES)
@pytest.mark.parametrize("rule", ["scalar", "nonlinear"])
def test_caches(rule, cache_name, start):
    agree(rule, cache_name, start=start)


@pytest.mark.parametrize("start", ["carry", "fresh"])
@pytest.mark.parametrize("cache_name", CACHES)
@pytest.mark.parametrize("rule", ["scalar", "nonlinear"])
def test_merging_segments(rule, cache_name, start):
    agree(rule, cache_name, length=3, start=start, growth="logarithmic")


@pytest.mark.parametrize("rule", ["plain", "per_head", "delay", "window", "learned", "raw", "output", "vectors", "steps", "momentum", "two_sided"])
def test_rules_whose_segments_merge(rule):
    agree(rule, "after", length=2, start="fresh", growth="logarithmic", tokens=19)


@pytest.mark.parametrize("tokens", [1, 2, 3, 5, 6, 12])
def test_merging_segments_of_ragged_lengths(tokens):
    agree("delay", "softmax", length=3, start="fresh", tokens=tokens, growth="logarithmic")


@pytest.mark.parametrize("start", ["carry", "fresh"])
@pytest.mark.parametrize("rule", ["plain", "per_head", "delay", "window", "learned", "raw", "output", "vectors", "steps", "erase_channels", "momentum", "two_sided"])
def test_rules_with_a_cache(rule, start):
    agree(rule, "softmax", start=start)


@pytest.mark.parametrize("cache_name, start", [(None, "carry"), ("softmax", "carry"), ("softmax", "fresh")])
def test_a_start_from_an_expression(cache_name, start):
    """S starts at diag(h): the gradient of h is the diagonal of what arrives at the start."""
    agree("expression_init", cache_name, start=start, without={"grad h"})
    state = compiled("expression_init", cache_name, start=start)
    x = drawn(state.model, 23)
    got = values(state, only_y(state.model, trial(state.model, x, 4)))
    arrives = got["grad state.S"] + got.get("grad init.S", 0.0)
    diagonal = arrives.reshape(-1, 2, *arrives.shape[1:]).sum(0).diagonal(dim1=1, dim2=2)
    assert not errors({"h": diagonal}, {"h": expected(state.model, x)["grad h"]})["h"] > TOLERANCE


@pytest.mark.parametrize("start", ["carry", "fresh"])
@pytest.mark.parametrize("tokens", [1, 3, 5, 6, 7, 12, 17])
def test_ragged_lengths(tokens, start):
    agree("delay", "softmax", start=start, tokens=tokens)


@pytest.mark.parametrize("chunk", [1, 2, 5, 7, 16])
def test_chunks_that_do_not_divide_a_segment(chunk):
    agree("nonlinear", "top", chunk=chunk)
    agree("delay", "after", start="fresh", chunk=chunk)


@pytest.mark.parametrize("rule", ["erase", "steps", "erase_channels", "momentum", "in_turn", "two_sided"])
def test_states_that_are_read_by_their_updates_in_chunks_of_any_length(rule):
    for chunk, tokens in ((1, 5), (5, 11), (16, 7)):
        agree(rule, chunk=chunk, tokens=tokens)
    agree(rule, "top", chunk=5)


@pytest.mark.parametrize("rule", ["raw", "delay", "vectors", "two_sided"])
def test_raw_decay_with_zeros(rule):
    agree(rule, zeros=("a", "h"))
    agree(rule, "softmax", zeros=("a",))


@pytest.mark.parametrize("rule, cache_name, start, growth", [
    ("delay", "softmax", "carry", "constant"), ("window", "top", "fresh", "constant"), ("nonlinear", "after", "fresh", "constant"),
    ("scalar", "sum", "carry", "constant"), ("output", "aged", "fresh", "constant"), ("nonlinear", "softmax", "fresh", "logarithmic"),
    ("scalar", "after", "carry", "logarithmic")])
@pytest.mark.parametrize("cut", [1, 6, 10])
def test_a_call_in_two_parts_is_one_call(rule, cache_name, start, growth, cut):
    """Values and gradients: what the second part's memory gets is the first part's cotangent."""
    state = compiled(rule, cache_name, 6 if growth == "constant" else 2, start, growth)
    levels = {p.name for p in state.forward.params if p.kind == "levels" or (p.kind == "slots" and state.forward.slot == "m")}
    whole = trial(state.model, drawn(state.model, 17), 4)
    want = values(state, whole)
    first, second = halves(whole, cut)
    before = values(state, first)
    second = replace(second, memory={n.removeprefix("new."): t for n, t in before.items() if n.startswith("new.")},
                     cotangents={n: noise("d." + n, t.shape) for n, t in want.items() if n.startswith("new.")}
                     | {"y": noise("d.y", want["y"].shape)[:, cut:]})
    after = values(state, second)

    def arrives(name, count):
        """The gradient of what was handed on; levels that it had not are its last one."""
        grad = after["grad " + name]
        return torch.cat([grad[:, :count - 1], grad[:, count - 1:].sum(1, keepdim=True)], 1) if name in levels else grad[:, :count]

    first = replace(first, cotangents={n: arrives(n.removeprefix("new."), t.shape[1]) for n, t in before.items() if n.startswith("new.")}
                    | {"y": noise("d.y", want["y"].shape)[:, :cut]})
    before = values(state, first)
    got = {n: t for n, t in after.items() if n.startswith("new.")} | {"y": torch.cat([before["y"], after["y"]], 1)}
    for name in [n for n in whole.inputs if f"grad {n}" in want]:
        early, late = before[f"grad {name}"], after[f"grad {name}"]
        if early.shape == late.shape == want[f"grad {name}"].shape:
            got[f"grad {name}"] = early + late
            continue
        reach = after.get(f"grad past {name}", early[:, :0])[:, -cut:]
        early[:, cut - reach.shape[1]:] += reach
        got[f"grad {name}"] = torch.cat([early, late], 1)
    assert set(got) >= {"y", "new.state.S", *(f"grad {n}" for n in state.model.inputs)}
    found = errors(got, {n: want[n] for n in got})
    assert not {n: e for n, e in found.items() if not e < TOLERANCE}
