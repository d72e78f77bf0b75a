"""Ops whose segments merge: memory handed on, its shapes, what a call reads and what is refused."""
from __future__ import annotations

import pytest
import torch
from torch.utils._pytree import tree_map

import mcgen
from mcgen.diagnostics import NotLowered
from mcgen.passes.fuse import fuse
from mcgen.passes.pipeline import compile_model
from mcgen.symbolic.elaborate import elaborate

SEGMENTS = {"length": 3, "start": "fresh", "growth": "logarithmic"}
RULE = {"inputs": {"q": ["K"], "k": ["K"], "v": ["V"], "g": {"shape": [], "domain": ["-inf", 0]}}, "state": {"S": ["K", "V"]},
        "update": {"S": "exp(g) * S + outer(k, v)"}, "read": "S.T @ q"}
SPEC = {"name": "merging", "rule": RULE, "cache": {
    "inputs": {"lam": [6], "u": ["K"]}, "segments": SEGMENTS, "summary": "mean(k)", "score": "dot(u, summary)",
    "weight": "lam[level] * sigmoid(score) * exp(after(g))"}}
TOKENS = 26                                      # 8 units and 2 tokens: levels up to 4


@pytest.fixture(scope="module")
def op():
    return mcgen.load(SPEC, backend="torch")


def inputs(tokens=TOKENS):
    g = torch.Generator().manual_seed(1)
    made = {n: torch.randn(2, tokens, 2, *shape, generator=g, dtype=torch.float64) for n, shape in (
        ("q", (4,)), ("k", (4,)), ("v", (5,)), ("g", ()), ("lam", (6,)), ("u", (4,)))}
    return {**made, "g": torch.nn.functional.logsigmoid(made["g"])}


def part(x, low, high):
    return {n: t[:, low:high] for n, t in x.items()}


@pytest.mark.parametrize("capacity", [None, 8, 13])
def test_steps_are_the_whole(op, capacity):
    """The runs of all levels go on from call to call, in a memory that grows and in one that keeps its shapes."""
    x = inputs()
    whole = op(**x)
    memory = None if capacity is None else op.empty_memory(2, 2, K=4, V=5, capacity=capacity, dtype=torch.float64)
    shapes = None if memory is None else tree_map(lambda t: t.shape, memory)
    for t in range(TOKENS):
        y, memory = op.step(**{n: v[:, t] for n, v in x.items()}, memory=memory)
        torch.testing.assert_close(y, whole[:, t], rtol=1e-10, atol=1e-10)
        assert shapes is None or tree_map(lambda t: t.shape, memory) == shapes
    if capacity is None:
        assert memory["cache"]["S"].shape == (2, 2, 8, 4, 5) and memory["live"]["S"].shape == (2, 2, 5, 4, 5)


def test_rows_at_different_positions(op):
    x = inputs()
    first = {n: t[:1] for n, t in x.items()}
    _, short = op(**part(first, 0, 4), return_memory=True)
    _, long = op(**part({n: t[1:] for n, t in x.items()}, 0, 15), return_memory=True)
    _, room = op(**part(first, 0, 0), memory=op.empty_memory(1, 2, K=4, V=5, capacity=8, dtype=torch.float64))
    assert room["live"]["S"].shape[2] == 5
    grown = [op.empty_memory(1, 2, K=4, V=5, capacity=8, dtype=torch.float64) for _ in range(2)]
    grown = [op(**part(first if i == 0 else {n: t[1:] for n, t in x.items()}, 0, 4 if i == 0 else 15), memory=m)[1] for i, m in enumerate(grown)]
    joined = tree_map(lambda a, b: torch.cat([a, b]), *grown)
    both = {n: torch.cat([first[n][:, 4:8], x[n][1:, 15:19]]) for n in x}
    y, _ = op(**both, memory=joined)
    torch.testing.assert_close(y[:1], op(**part(first, 4, 8), memory=short)[0])
    torch.testing.assert_close(y[1:], op(**part({n: t[1:] for n, t in x.items()}, 15, 19), memory=long)[0])


def test_traced_calls_of_any_length():
    """A length that is not known makes room for as many levels as there can be."""
    op, x = mcgen.load(SPEC, backend="torch"), inputs()
    compiled = torch.compile(lambda memory, **x: op(**x, memory=memory), fullgraph=True, dynamic=True, backend="aot_eager")
    whole = op(**x)
    y, memory = op(**part(x, 0, 7), return_memory=True)
    parts = [y]
    for low, high in ((7, 16), (16, 24)):
        y, memory = compiled(memory, **part(x, low, high))
        parts.append(y)
    y, memory = op(**part(x, 24, 26), memory=memory)          # untraced, with whatever room that memory has
    parts.append(y)
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=1e-10, atol=1e-10)


def test_weights_are_those_of_the_memories_there_are(op):
    x = inputs()
    _, details = op(**x, return_weights=True)
    assert details["selected"].sum(-1)[0, :, 0].tolist() == [1 + (t // 3).bit_count() for t in range(TOKENS)]
    assert not details["weights"][~details["selected"]].any()


def test_weights_of_chosen_memories_stand_where_the_memories_do():
    spec = mcgen.load_spec({**SPEC, "cache": {**SPEC["cache"], "select": {"top": 1}}})
    x = inputs()
    (_, got), (_, want) = (o(**x, return_weights=True) for o in (mcgen.load(spec, backend="torch"), mcgen.reference(spec)))
    count = want["selected"].shape[-1]
    assert torch.equal(got["selected"][..., :count], want["selected"]) and not got["selected"][..., count:].any()
    assert got["selected"][..., 2:].any() and (got["weights"][..., :count] - want["weights"]).abs().max() < 1e-9


def test_a_kernel_visits_the_digits_alone():
    """What a row does for every memory stands in a loop over the digits that are 1; tables over units are read nowhere else."""
    compiled = compile_model(elaborate(mcgen.load_spec(SPEC)))
    for program, saved in ((compiled.forward, compiled.results), (compiled.backward, None)):
        kernel = fuse(program, compiled.source.builder, saved)
        kinds = {s.kind for s in kernel.rows if hasattr(s, "kind") and hasattr(s, "body")}
        assert "digits" in kinds and "past" not in kinds and "all" not in kinds
        assert not any("m" in getattr(getattr(s, "dst", None), "axes", ()) for s in kernel.rows)


@pytest.mark.parametrize("changes, kept", [({}, False), ({"update": {"S": "exp(g) * S + outer(k, v - S.T @ k)"}}, True)])
def test_runs_that_memories_tell_are_not_saved(changes, kept):
    """Without a read of the state, runs of adjacent segments add up: log(T) states a row stay out of the saved tensors."""
    compiled = compile_model(elaborate(mcgen.load_spec({**SPEC, "rule": {**RULE, **changes}})))
    assert ("saved.live.S" in {r.name for r in compiled.forward.results}) is kept


def test_what_is_refused():
    rule = {"inputs": {"q": ["K"], "k": ["K"], "v": ["V"]}, "state": {"S": ["K", "V"]},
            "update": {"S": "S + outer(delay(k, 1), v - S.T @ delay(k, 1))"}, "read": "S.T @ q"}
    spec = mcgen.load_spec({"name": "no", "rule": rule, "cache": {"segments": SEGMENTS, "weight": "1 / count"}})
    with pytest.raises(NotLowered, match="earlier tokens in the update of a state that reads itself"):
        compile_model(elaborate(spec))
