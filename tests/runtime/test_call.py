"""Calls: inputs, outputs, shapes, dtypes."""
import copy
import inspect
import pickle
import pydoc

import pytest
import torch

from mcgen.diagnostics import UsageError
from mcgen.runtime import load_package

from .helpers import HANDMADE, close, decay_softmax, fresh_sums, tensors


@pytest.mark.parametrize("tokens", [1, 2, 3, 4, 5, 8, 11])
def test_forward(op, tokens):
    args = tensors(tokens=tokens)
    close(op(*args), decay_softmax(*args)[0])


@pytest.mark.parametrize("batch, heads", [(1, 1), (1, 2), (3, 1)])
def test_gradients(op, batch, heads):
    args = tensors(batch, heads=heads, grad=True)
    weight = torch.randn(*args[2].shape, dtype=torch.float64)
    got = torch.autograd.grad((op(*args) * weight).sum(), args)
    want = torch.autograd.grad((decay_softmax(*args)[0] * weight).sum(), args)
    for a, b in zip(got, want):
        close(a, b)


def test_fresh_starts(fresh):
    x, a, z, S = (torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in [(2, 8, 2, 3), (2, 3), (2, 8, 2, 6), (2, 3)])
    y, want = fresh(x, a, z, S_init=S), fresh_sums(x, a, z, S)
    close(y, want)
    weight = torch.randn_like(y)
    for got, expected in zip(torch.autograd.grad((y * weight).sum(), (x, a, z, S)), torch.autograd.grad((want * weight).sum(), (x, a, z, S))):
        close(got, expected)
    close(fresh(x, a, S_init=S), fresh_sums(x, a, torch.zeros_like(z), S))


def test_by_name_and_default(op):
    q, k, v, g, u = tensors()
    close(op(q, k, u=u, v=v), op(q, k, v, torch.zeros_like(g), u))
    close(op(q, k, v, None, u), op(q, k, v, torch.zeros_like(g), u))


def test_fewer_heads(op):
    q, k, v, g, u = tensors(heads=4)
    k, g = k[:, :, :2].clone().requires_grad_(), g[:, :, :1].clone().requires_grad_()
    wide = [q, k.repeat_interleave(2, 2), v, g.expand(-1, -1, 4), u]
    y, want = op(q, k, v, g, u), decay_softmax(*wide)[0]
    close(y, want)
    for got, expected in zip(torch.autograd.grad(y.sum(), (k, g)), torch.autograd.grad(want.sum(), (k, g))):
        close(got, expected)


def test_strides(op):
    q, k, v, g, u = args = tensors()
    want = op(*args)
    moved = [x.transpose(1, 2).contiguous().transpose(1, 2) for x in args]
    close(op(*moved), want)
    padded = [torch.cat([x, x], -1)[..., :x.shape[-1]] if x.ndim == 4 else x for x in args]
    close(op(*padded), want)
    one = u[:, :1].expand(u.shape)
    close(op(q, k, v, g, one), op(q, k, v, g, one.contiguous()))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_dtypes(dtype):
    op = load_package(HANDMADE / "decay_softmax", backend="torch")
    args = [x.to(dtype) for x in tensors()]
    y, memory = op(*args, return_memory=True)
    assert y.dtype is dtype
    assert memory["state"]["S"].dtype is (torch.float64 if dtype is torch.float64 else torch.float32)
    close(y.double(), decay_softmax(*(x.double() for x in args))[0], {torch.bfloat16: 3e-2, torch.float16: 3e-3, torch.float32: 1e-5}.get(dtype, 1e-9))
    args = [x.requires_grad_() for x in args]
    assert all(g.dtype is dtype for g in torch.autograd.grad(op(*args).sum(), args))


def test_y_has_the_dtype_of_v(op):
    q, k, v, g, u = tensors(dtype=torch.float32)
    assert op(q, k, v.bfloat16(), g, u).dtype is torch.bfloat16
    assert op(q.bfloat16(), k, v, g, u).dtype is torch.float32


def test_no_tokens(op):
    args = tensors(tokens=0)
    y, memory = op(*args, return_memory=True)
    assert y.shape == (2, 0, 2, 5) and memory["position"].tolist() == [0, 0] and memory["cache"]["S"].shape[2] == 0
    args = tensors(tokens=6)
    _, memory = op(*args, return_memory=True)
    _, same = op(*(x[:, :0] for x in args), memory=memory)
    for group in ("state", "cache", "past"):
        for name in memory[group]:
            close(same[group][name], memory[group][name])
    assert op(*tensors(batch=0)).shape == (0, 11, 2, 5)
    y, details = op(*tensors(tokens=0), return_weights=True)
    assert details["weights"].shape == details["selected"].shape == (2, 0, 2, 1)


def test_chunks_agree(op):
    args = tensors()
    for chunk in (1, 2, 4, 8):
        close(op.with_chunk(chunk)(*args), op(*args))
    with pytest.raises(UsageError, match="chunks of 3"):
        op.with_chunk(3)


def test_weights(op):
    y, details = op(*tensors(), return_weights=True)
    assert details["weights"].shape == (2, 11, 2, 3) and details["selected"].dtype is torch.bool
    close(details["weights"].sum(-1), torch.ones(2, 11, 2, dtype=torch.float64))
    assert details["selected"][0, 5, 0].tolist() == [True, True, False]
    assert len(op(*tensors(), return_weights=True, return_memory=True)) == 3


def test_help(op, fresh):
    assert list(inspect.signature(op).parameters) == ["q", "k", "v", "g", "u", "memory", "return_memory", "return_weights", "cu_seqlens"]
    assert inspect.signature(fresh).parameters["S_init"].kind is inspect.Parameter.KEYWORD_ONLY
    text = pydoc.render_doc(op, renderer=pydoc.plaintext)
    for part in ("Scalar decay", "[B, T, H, K]", "in [-inf, 0]", "log decay", "segments of 4 tokens"):
        assert part in text
    assert "D = 2*K" in fresh.__doc__
    assert [f.name for f in op.inputs] == ["q", "k", "v", "g", "u"] and op.spec == "decay+softmax"


def test_written_package_text():
    import json

    from mcgen.runtime import init_text
    text = init_text(json.loads((HANDMADE / "decay_softmax" / "manifest.json").read_text()))
    compile(text, "init", "exec")
    assert text.endswith("decay_softmax = load_package(__file__)\n")


def test_copies_and_pickles(op):
    assert copy.deepcopy(op) is op
    assert pickle.loads(pickle.dumps(op)) is op
    assert pickle.loads(pickle.dumps(op.with_chunk(2))).chunk_at("cpu", {}) == 2


def test_import_of_the_package():
    from .handmade.decay_softmax import decay_softmax as written
    assert written is load_package(HANDMADE / "decay_softmax")
