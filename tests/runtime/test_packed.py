"""Packed sequences: as each of them alone, in values, gradients and memory; offsets that do not fit."""
import pytest
import torch
from torch.utils._pytree import tree_leaves, tree_map

import mcgen
from mcgen.diagnostics import UsageError
from mcgen.runtime.packed import Packed
from mcgen.runtime.partition import chunk_table

from .helpers import close

K, V, H = 3, 5, 2
COUNTS = (7, 0, 1, 14, 0, 9)
RULE = {
    "inputs": {"q": ["K"], "k": ["K"], "v": ["V"], "g": {"shape": [], "domain": ["-inf", 0]}, "a": {"shape": [], "per": "head"}},
    "state": {"S": ["K", "V"]}, "update": {"S": "exp(g) * S + a * outer(k, v + 0.5 * delay(v, 2))"}, "read": "S.T @ q",
}
CACHE = {"inputs": {"u": ["K"]}, "summary": "mean(k + delay(k, 1))", "score": "dot(u, summary)", "weight": "softmax(score)"}
SPECS = {
    "plain": {"name": "packed_plain", "rule": RULE},
    "carry": {"name": "packed_carry", "rule": RULE, "cache": {**CACHE, "segments": {"length": 6}}},
    "fresh": {"name": "packed_fresh", "rule": RULE, "cache": {**CACHE, "segments": {"length": 6, "start": "fresh"}}},
}
BACKENDS = [("torch", torch.float64, 1e-9), ("tvm", torch.float32, 1e-4)]


def offsets(counts=COUNTS):
    return torch.tensor([0, *counts]).cumsum(0)


def draw(op, tokens, batch=1, dtype=torch.float64):
    """Inputs by name, in need of gradients."""
    made = {f.name: torch.randn(*((batch, tokens, H) if f.per == "token" else (H,)), *({"K": K, "V": V}[d] for d in f.shape), dtype=dtype)
            for f in op.inputs}
    made["g"] = -made["g"].abs()
    return {name: x.requires_grad_() for name, x in made.items()}


def one_by_one(op, inputs, counts, memory=None):
    """Each sequence alone: y joined again, memories in a list."""
    ys, memories, bounds = [], [], offsets(counts).tolist()
    for i, (a, b) in enumerate(zip(bounds, bounds[1:])):
        own = {name: x if name == "a" else x[:, a:b] for name, x in inputs.items()}
        y, after = op(**own, memory=None if memory is None else tree_map(lambda x: x[i:i + 1], memory), return_memory=True)
        ys.append(y)
        memories.append(after)
    return torch.cat(ys, 1), memories


def begun(op, dtype):
    """A memory of sequences at different positions, in need of gradients."""
    with torch.no_grad():
        _, memory = op(**draw(op, 9, len(COUNTS), dtype), return_memory=True)
        counts = (1, 2, 0, 8, 3, 0)
        _, memory = op(**draw(op, sum(counts), dtype=dtype), memory=memory, cu_seqlens=offsets(counts))
    assert memory["position"].tolist() == [9 + n for n in counts]
    return tree_map(lambda x: x.requires_grad_() if x.is_floating_point() else x, memory)


def fitted(row, like):
    """A row of a leaf without the cache slots that another, longer row needs."""
    return row if row.shape == like.shape else row[:, :, :like.shape[2]]


@pytest.mark.parametrize("held", [False, True], ids=["start", "memory"])
@pytest.mark.parametrize("backend,dtype,tolerance", BACKENDS, ids=["torch", "tvm"])
@pytest.mark.parametrize("kind", SPECS)
def test_packed_is_separate(kind, backend, dtype, tolerance, held):
    op = mcgen.load(SPECS[kind], backend=backend)
    inputs = draw(op, sum(COUNTS), dtype=dtype)
    memory = begun(op, dtype) if held else None
    y, after = op(**inputs, memory=memory, return_memory=True, cu_seqlens=offsets().int())
    want, alone = one_by_one(op, inputs, COUNTS, memory)
    close(y, want, tolerance)
    weights, got_sum, want_sum = torch.randn_like(y), 0, 0
    for row, other in enumerate(alone):
        for mine, its in zip(tree_leaves(after), tree_leaves(other)):
            mine = fitted(mine[row:row + 1], its)
            close(mine, its, tolerance)
            if mine.is_floating_point():
                weight = torch.randn_like(its)
                got_sum, want_sum = got_sum + (weight * mine).sum(), want_sum + (weight * its).sum()
    leaves = [*inputs.values(), *(x for x in tree_leaves(memory) if x is not None and x.is_floating_point())]
    made, expected = (torch.autograd.grad(total + (weights * out).sum(), leaves, materialize_grads=True, allow_unused=True)
                      for total, out in ((got_sum, y), (want_sum, want)))
    for a, b in zip(made, expected):
        close(a, b, 10 * tolerance)


def test_split_in_packed_parts():
    op = mcgen.load(SPECS["carry"], backend="torch")
    inputs, whole = draw(op, sum(COUNTS)), offsets()
    want, end = op(**inputs, cu_seqlens=whole, return_memory=True)
    firsts = (3, 0, 1, 8, 0, 2)
    inside = torch.cat([torch.arange(n) < first for n, first in zip(COUNTS, firsts)])
    memory, got = None, torch.zeros_like(want)
    for taken, counts in ((inside, firsts), (~inside, [n - f for n, f in zip(COUNTS, firsts)])):
        part = {name: x if name == "a" else x[:, taken] for name, x in inputs.items()}
        y, memory = op(**part, cu_seqlens=offsets(counts), memory=memory, return_memory=True)
        got = got.index_copy(1, taken.nonzero()[:, 0], y)
    close(got, want)
    for a, b in zip(tree_leaves(memory), tree_leaves(end)):
        close(a, b)


def test_weights_and_capacity():
    op = mcgen.load(SPECS["carry"], backend="torch")
    inputs, counts = draw(op, 12), (4, 0, 8)
    _, details = op(**inputs, cu_seqlens=offsets(counts), return_weights=True)
    for a, b in ((0, 4), (4, 12)):
        _, alone = op(**{n: x if n == "a" else x[:, a:b] for n, x in inputs.items()}, return_weights=True)
        close(details["weights"][:, a:b, :, :alone["weights"].shape[-1]], alone["weights"])
    room = op.empty_memory(3, H, K=K, V=V, capacity=1, dtype=torch.float64)
    y, memory = op(**inputs, cu_seqlens=offsets(counts), memory=room)
    close(y, op(**inputs, cu_seqlens=offsets(counts)))
    assert memory["cache"]["S"].shape[2] == 1
    with pytest.raises(UsageError, match="capacity of 1"):
        op(**inputs, cu_seqlens=offsets((4, 4, 4)), memory=memory)


@pytest.mark.parametrize("backend,dtype", [("torch", torch.float64), ("tvm", torch.float32)])
def test_garbage_stays_with_its_sequence(backend, dtype):
    op = mcgen.load(SPECS["carry"], backend=backend)
    inputs = {name: x.detach().clone() for name, x in draw(op, 9, dtype=dtype).items()}
    for name, x in inputs.items():
        if name != "a":
            x[:, 4:6] = float("nan")
    _, memory = op(**inputs, cu_seqlens=offsets((4, 2, 0, 3)), return_memory=True)
    y = op(**inputs, cu_seqlens=offsets((4, 2, 0, 3)))
    assert y.isnan().any(-1).any(-1)[0].tolist() == [t in (4, 5) for t in range(9)]
    assert memory["state"]["S"].isnan().flatten(1).any(1).tolist() == [False, True, False, False]


def test_nothing_packed():
    op = mcgen.load(SPECS["carry"])
    inputs = draw(op, 0)
    for counts in ((), (0, 0)):
        y, memory = op(**inputs, cu_seqlens=offsets(counts), return_memory=True)
        assert y.shape == (1, 0, H, V) and memory["state"]["S"].shape[0] == len(counts)


def test_traced():
    op = mcgen.load(SPECS["carry"], backend="torch")
    graphs = []
    traced = torch.compile(op, backend=lambda graph, _: graphs.append(graph) or graph, fullgraph=True, dynamic=True)
    memory = begun(op, torch.float64)
    for counts in (COUNTS, (3, 9, 0, 2, 6, 1), (0, 0, 0, 0, 5, 30)):
        inputs = draw(op, sum(counts))
        y, after = traced(**inputs, cu_seqlens=offsets(counts), memory=memory)
        want, end = op(**inputs, cu_seqlens=offsets(counts), memory=memory)
        close(y, want)
        close(fitted(after["cache"]["S"], end["cache"]["S"]), end["cache"]["S"])
        for a, b in zip(*(torch.autograd.grad(out.square().sum(), list(inputs.values())) for out in (y, want))):
            close(a, b)
    assert len(graphs) == 1
    with pytest.raises(UsageError, match="ends at 36"):
        traced(**inputs, cu_seqlens=offsets((0, 0, 0, 0, 5, 31)), memory=memory)
    torch._dynamo.reset()


@pytest.mark.parametrize("given,message", [
    (torch.tensor([1, 9]), "starts at 1"), (torch.tensor([0, 6, 4, 9]), "falls from 6 to 4"), (torch.tensor([0, 4]), "ends at 4"),
    (torch.tensor([]).long(), r"shape \[0\]"), (torch.tensor([[0, 9]]), r"shape \[1, 2\]"), (torch.tensor([0.0, 9.0]), "dtype float32"),
    (torch.tensor([0, 9], dtype=torch.int16), "dtype int16"), ([0, 9], "is a list"), (torch.tensor([0, 9], device="meta"), "on meta"),
])
def test_offsets_that_do_not_fit(given, message):
    op = mcgen.load(SPECS["plain"], backend="torch")
    with pytest.raises(UsageError, match=message):
        op(**draw(op, 9), cu_seqlens=given)


def test_other_mistakes():
    op = mcgen.load(SPECS["plain"], backend="torch")
    with pytest.raises(UsageError, match="B = 1, got B = 2"):
        op(**draw(op, 9, batch=2), cu_seqlens=offsets((9,)))
    _, memory = op(**draw(op, 9, batch=2), return_memory=True)
    with pytest.raises(UsageError, match=r"expected \[1, 2, 3, 5\]"):
        op(**draw(op, 9), cu_seqlens=offsets((9,)), memory=memory)


def test_operator_passes_opcheck():
    torch.library.opcheck(torch.ops.mcgen.offsets.default, (torch.tensor([0, 2, 5], dtype=torch.int32), 5))
    torch.library.opcheck(torch.ops.mcgen.offsets.default, (torch.tensor([0, 2, 5]), 5))


@pytest.mark.parametrize("boundary", [None, 6])
def test_rows_without_tokens_stand_at_their_sequence_s_end(boundary):
    """As many rows each as the longest sequence has; one that is empty reads no token beyond its sequence's end."""
    cu = offsets()
    packed = Packed(cu, list(COUNTS), max(COUNTS))
    table = chunk_table(torch.zeros(len(COUNTS), dtype=torch.int64), int(cu[-1]), 4, boundary, boundary, False, packed)
    start, count = table[..., 0], table[..., 1]
    assert (count >= 0).all() and count.sum(1).tolist() == list(COUNTS)
    assert ((start + count) <= cu[1:, None]).all() and (start[count == 0] == cu[1:, None].expand_as(start)[count == 0]).all()
