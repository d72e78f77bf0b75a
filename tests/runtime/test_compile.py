"""torch.compile and torch.export: one graph, one trace for every length, the same values."""
import io

import pytest
import torch
from torch.utils._pytree import tree_map

from mcgen.diagnostics import UsageError

from .helpers import close, tensors


@pytest.fixture(autouse=True)
def _reset():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


class Counter:
    """A torch.compile back end that counts graphs."""

    def __init__(self):
        self.graphs = 0

    def __call__(self, graph, inputs):
        self.graphs += 1
        return graph


def test_whole_graph_with_gradients(op):
    args = tensors(grad=True)
    traced = torch.compile(op, backend="aot_eager", fullgraph=True)
    y = traced(*args)
    close(y, op(*args))
    for a, b in zip(torch.autograd.grad(y.square().sum(), args), torch.autograd.grad(op(*args).square().sum(), args)):
        close(a, b)


@pytest.mark.parametrize("grad", [False, True])
def test_lengths_share_a_trace(op, grad):
    counter = Counter()
    traced = torch.compile(lambda *args: op(*args) * 2, backend=counter, fullgraph=True, dynamic=True)
    for tokens in (11, 6, 17, 4, 3, 2):
        args = tensors(tokens=tokens, grad=grad)
        y = traced(*args)
        close(y, 2 * op(*args))
    assert counter.graphs == 1


def test_lengths_marked_dynamic_later(op):
    counter = Counter()
    traced = torch.compile(op, backend=counter, fullgraph=True)
    for tokens in (11, 6, 17, 4, 9):
        args = tensors(tokens=tokens)
        close(traced(*args), op(*args))
    assert counter.graphs == 2


def test_traced_steps(op):
    counter = Counter()
    step = torch.compile(op.step, backend=counter, fullgraph=True)
    args = tensors()
    memory, whole = op.empty_memory(2, 2, K=3, V=5, capacity=3, dtype=torch.float64), op(*args)
    for t in range(11):
        y, memory = step(*(x[:, t].contiguous() for x in args), memory=memory)
        close(y, whole[:, t])
    assert counter.graphs == 1
    for t in range(4):
        _, memory = step(*(x[:, t].contiguous() for x in args), memory=memory)
    with pytest.raises(UsageError, match="capacity of 3"):
        step(*(x[:, 0].contiguous() for x in args), memory=memory)


def test_prompts_share_a_trace(op):
    counter = Counter()
    traced = torch.compile(op, backend=counter, fullgraph=True, dynamic=True)
    for tokens in (11, 6, 17, 4):
        args, memory = tensors(tokens=tokens), op.empty_memory(2, 2, K=3, V=5, capacity=4, dtype=torch.float64)
        y, after = traced(*args, memory=memory)
        close(y, op(*args))
        assert after["position"].tolist() == [tokens, tokens]
    assert counter.graphs == 1
    with pytest.raises(UsageError, match="capacity of 4"):
        traced(*args, memory={**after, "position": after["position"] + 16})


@pytest.mark.gpu
def test_steps_in_a_cuda_graph(op):
    args = [x.cuda() for x in tensors()]
    memory, whole = op.empty_memory(2, 2, K=3, V=5, capacity=3, dtype=torch.float64, device="cuda"), op(*args)
    token = [x[:, 0].clone() for x in args]
    start = tree_map(torch.clone, memory)

    def step():
        y, after = op.step(*token, memory=memory)
        tree_map(lambda x, new: x.copy_(new), memory, after)
        return y

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = step()
    tree_map(lambda x, new: x.copy_(new), memory, start)
    for t in range(11):
        for x, given in zip(token, args):
            x.copy_(given[:, t])
        graph.replay()
        close(y, whole[:, t])


def test_traced_memory_without_capacity(op):
    args = tensors()
    whole = op(*args)
    traced = torch.compile(op, backend="eager", fullgraph=True)
    memory, parts = None, []
    for start, stop in ((0, 5), (5, 7), (7, 11)):
        y, memory = traced(*(x[:, start:stop] for x in args), memory=memory, return_memory=True)
        parts.append(y)
    close(torch.cat(parts, 1), whole)
    y, memory = op(*(x[:, :1] for x in args), memory=memory)


def test_inductor(op):
    args = tensors(tokens=6, grad=True)
    traced = torch.compile(lambda *a: op(*(x * 2 for x in a)).sin().sum(), fullgraph=True)
    got, want = traced(*args), op(*(2 * x for x in args)).sin().sum()
    close(got, want)
    for a, b in zip(torch.autograd.grad(got, args), torch.autograd.grad(want, args)):
        close(a, b)


def test_export(op):
    class Module(torch.nn.Module):
        def forward(self, *args):
            return op(*args)

    tokens = torch.export.Dim("tokens", min=2, max=64)
    shapes = tuple({1: tokens} for _ in range(5))
    program = torch.export.export(Module(), tuple(tensors()), dynamic_shapes=(shapes,))
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    for made in (program, torch.export.load(file)):
        for length in (7, 2, 30):
            args = tensors(tokens=length)
            close(made.module()(*args), op(*args))


def test_transforms_inside_compile(op):
    args = tensors(batch=1, tokens=5, heads=1, K=2, V=2)
    grad = torch.func.grad(lambda *a: op(*a).square().sum())
    close(torch.compile(grad, backend="aot_eager", fullgraph=True)(*args), grad(*args))
    stacked = [torch.stack([x, 2 * x]) for x in args]
    close(torch.compile(torch.func.vmap(grad), backend="aot_eager", fullgraph=True)(*stacked), torch.func.vmap(grad)(*stacked))
    twice = torch.func.grad(lambda *a: grad(*a).square().sum())
    with pytest.raises(Exception, match="gradient of a gradient inside torch.compile"):
        torch.compile(twice, backend="aot_eager", fullgraph=True)(*args)
