"""Memory: splits, steps, capacity, rows at different positions, gradients."""
import pytest
import torch
from torch.utils._pytree import tree_map

from mcgen.diagnostics import UsageError

from .helpers import close, decay_softmax, fresh_sums, tensors


def cut(args, start, stop):
    return [x[:, start:stop] for x in args]


@pytest.mark.parametrize("cuts", [(0, 11), (0, 1, 11), (0, 4, 11), (0, 3, 5, 5, 11), (0, 8, 9, 11), (0, 6, 7, 11)])
def test_split_is_whole(op, cuts):
    args = tensors()
    whole, end = op(*args, return_memory=True)
    parts, memory = [], None
    for start, stop in zip(cuts, cuts[1:]):
        y, memory = op(*cut(args, start, stop), memory=memory, return_memory=True)
        parts.append(y)
    close(torch.cat(parts, 1), whole)
    for path in (("state", "S"), ("cache", "S"), ("past", "v")):
        close(memory[path[0]][path[1]], end[path[0]][path[1]])
    for name in ("summary", "partial"):
        close(memory[name], end[name])
    assert memory["position"].tolist() == [11, 11]


@pytest.mark.parametrize("capacity", [None, 2, 5])
def test_steps(op, capacity):
    args = tensors()
    whole = op(*args)
    memory = None if capacity is None else op.empty_memory(2, 2, K=3, V=5, capacity=capacity, dtype=torch.float64)
    shapes = None if memory is None else tree_map(lambda x: x.shape, memory)
    for t in range(11):
        y, memory = op.step(*(x[:, t] for x in args), memory=memory)
        close(y, whole[:, t])
        if shapes:
            assert tree_map(lambda x: x.shape, memory) == shapes


def test_capacity_is_named(op):
    args = tensors(tokens=8)
    _, memory = op(*args, memory=op.empty_memory(2, 2, K=3, V=5, capacity=2, dtype=torch.float64))
    _, memory = op(*cut(args, 0, 3), memory=memory)
    with pytest.raises(UsageError, match="capacity of 2 segments"):
        op(*cut(args, 0, 1), memory=memory)


def test_fresh_split(fresh):
    x, a, z, S = (torch.randn(shape, dtype=torch.float64) for shape in [(2, 8, 2, 3), (2, 3), (2, 8, 2, 6), (2, 3)])
    whole, memory, parts = fresh_sums(x, a, z, S), None, []
    for start, stop in ((0, 2), (2, 3), (3, 7), (7, 8)):
        y, memory = fresh(x[:, start:stop], a, z[:, start:stop], S_init=S, memory=memory, return_memory=True)
        parts.append(y)
    close(torch.cat(parts, 1), whole)
    memory = fresh.empty_memory(2, 2, K=3, capacity=4, S_init=S, a=a, dtype=torch.float64)
    close(fresh(x, a, z, S_init=S, memory=memory)[0], whole)
    with pytest.raises(UsageError, match="S_init"):
        fresh.empty_memory(2, 2, K=3, a=a)
    with pytest.raises(UsageError, match="needs a"):
        fresh.empty_memory(2, 2, K=3, S_init=S)


def test_state_alone(op):
    args = tensors()
    S0 = torch.randn(2, 2, 3, 5, dtype=torch.float64, requires_grad=True)
    y, memory = op(*args, memory={"state": {"S": S0}})
    want, last = decay_softmax(*args, S0)
    close(y, want)
    close(memory["state"]["S"], last)
    close(*(torch.autograd.grad(out.sum(), S0)[0] for out in (y, want)))


def test_rows_at_different_positions(op):
    args = tensors(batch=3, tokens=12)
    whole = op(*args)
    lengths, memories = (2, 5, 8), []
    for row, n in enumerate(lengths):
        _, memory = op(*(x[row:row + 1, :n] for x in args), memory=op.empty_memory(1, 2, K=3, V=5, capacity=3, dtype=torch.float64))
        memories.append(memory)
    memory = tree_map(lambda *rows: torch.cat(rows), *memories)
    rest = [torch.stack([x[row, n:n + 4] for row, n in enumerate(lengths)]) for x in args]
    y, after = op(*rest, memory=memory)
    close(y, torch.stack([whole[row, n:n + 4] for row, n in enumerate(lengths)]))
    assert after["position"].tolist() == [6, 9, 12]
    grown = {key: value for key, value in memory.items() if key != "capacity"}
    close(op(*rest, memory=grown)[0], y)


def test_beams_are_reordered(op):
    args = tensors()
    _, memory = op(*cut(args, 0, 6), return_memory=True)
    order = torch.tensor([1, 0, 1])
    rest = [x[:, 6:].index_select(0, order) for x in args]
    y, _ = op(*rest, memory=tree_map(lambda x: x.index_select(0, order), memory))
    close(y, op(*args)[:, 6:].index_select(0, order))


def test_gradients_through_memory(op):
    args = tensors(grad=True)
    whole, end = op(*args, return_memory=True)
    first, memory = op(*cut(args, 0, 6), return_memory=True)
    second, last = op(*cut(args, 6, 11), memory=memory)
    weights = [torch.randn_like(x) for x in (whole, end["state"]["S"], end["cache"]["S"], end["summary"], end["partial"], end["past"]["v"])]

    def loss(y, memory):
        outputs = (y, memory["state"]["S"], memory["cache"]["S"], memory["summary"], memory["partial"], memory["past"]["v"])
        return sum((w * x).sum() for w, x in zip(weights, outputs))

    want = torch.autograd.grad(loss(whole, end), args)
    for a, b in zip(torch.autograd.grad(loss(torch.cat([first, second], 1), last), args), want):
        close(a, b)


def test_memory_is_not_written(op):
    args = tensors()
    _, memory = op(*args, return_memory=True)
    before = tree_map(torch.clone, memory)
    op(*args, memory=memory)
    tree_map(lambda a, b: close(a, b), before, memory)
