"""Which back end computes a call, and that the two agree."""
import pytest
import torch

from mcgen.diagnostics import UsageError
from mcgen.runtime import load_package

from .helpers import HANDMADE, close

pytest.importorskip("tvm")


@pytest.fixture(params=[None, "tvm", "torch"])
def running(request):
    return load_package(HANDMADE / "running_sum", backend=request.param)


@pytest.mark.parametrize("batch, tokens, heads, K", [(2, 19, 3, 5), (1, 1, 1, 1), (1, 8, 2, 16), (2, 0, 1, 3), (0, 3, 1, 3)])
def test_values_and_gradients(running, batch, tokens, heads, K):
    x, S = torch.randn(batch, tokens, heads, K), torch.randn(batch, heads, K)
    x, S = x.requires_grad_(), S.requires_grad_()
    y, memory = running(x, memory={"state": {"S": S}})
    want = S[:, None] + x.cumsum(1)
    close(y, want, 1e-5)
    if batch and tokens:
        close(memory["state"]["S"], want[:, -1], 1e-5)
        weight = torch.randn_like(y)
        for loss in (lambda y, end: (y * weight).sum(), lambda y, end: end.square().sum()):
            got = torch.autograd.grad(loss(y, memory["state"]["S"]), (x, S), retain_graph=True)
            for a, b in zip(got, torch.autograd.grad(loss(want, want[:, -1]), (x, S), retain_graph=True)):
                close(a, b, 1e-5)


def test_any_layout(running):
    x = torch.randn(2, 9, 3, 8)
    for moved in (x.transpose(1, 2).contiguous().transpose(1, 2), torch.randn(2, 9, 3, 9)[..., 1:], x[:, 1:], x[:, :, 1:2], x[:1].expand(4, -1, -1, -1)):
        close(running(moved), moved.cumsum(1), 1e-5)


def test_choice():
    by_size, tvm, slow = (load_package(HANDMADE / "running_sum", backend=name) for name in (None, "tvm", "torch"))
    single, double = torch.zeros(1, 2, 1, 3), torch.zeros(1, 2, 1, 3, dtype=torch.float64)
    chosen = [op._backends.choose(x.dtype, x.device) for op in (by_size, slow) for x in (single, double)]
    assert chosen == [by_size._backends.tvm, by_size._backends.torch, slow._backends.torch, slow._backends.torch]
    assert (by_size.backend, tvm.backend, slow.backend) == (None, "tvm", "torch")
    with pytest.raises(UsageError, match="computes in float32, got float64"):
        tvm(double)
    assert tvm(single.bfloat16()).dtype is torch.bfloat16


def test_second_gradient_of_compiled_kernels():
    op = load_package(HANDMADE / "running_sum", backend="tvm")
    x = torch.randn(1, 5, 1, 3, requires_grad=True)
    first, = torch.autograd.grad(op(x).pow(3).sum(), x, create_graph=True)
    expected, = torch.autograd.grad(x.cumsum(1).pow(3).sum(), x, create_graph=True)
    close(torch.autograd.grad(first.square().sum(), x)[0], torch.autograd.grad(expected.square().sum(), x)[0], 1e-4)


def test_compiled_and_repeated(running):
    x = torch.randn(2, 9, 3, 8)
    traced = torch.compile(running, fullgraph=True, backend="aot_eager")
    assert torch.equal(running(x), running(x))
    close(traced(x), x.cumsum(1), 1e-5)
