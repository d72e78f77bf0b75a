"""The hand-written kernels against a loop over tokens in float64, forward and backward."""
import pytest
import torch

from mcgen.runtime.tvm import compile

from . import kernels
from .helpers import close, margins, table_of


def decay_reference(q, k, v, g, S):
    y = []
    for t in range(q.shape[1]):
        S = S * g[:, t].exp()[..., None, None] + k[:, t, :, :, None] * v[:, t, :, None, :]
        y.append(torch.einsum("bhk,bhkv->bhv", q[:, t], S))
    return torch.stack(y, 1), S


def gated_reference(q, k, v, u, g, S, segment):
    B, T, H, K = q.shape
    y, cached, summaries, total = [], [], [], torch.zeros(B, H, K, dtype=q.dtype)
    for t in range(T):
        S = S * g[:, t].exp()[..., None, None] + k[:, t, :, :, None] * v[:, t, :, None, :]
        total = total + k[:, t]
        means = torch.stack([total / (t % segment + 1), *summaries], 2)
        weight = torch.softmax(torch.einsum("bhk,bhnk->bhn", u[:, t], means), -1)
        y.append(torch.einsum("bhn,bhnkv,bhk->bhv", weight, torch.stack([S, *cached], 2), q[:, t]))
        if (t + 1) % segment == 0:
            cached.append(S)
            summaries.append(total / segment)
            total = torch.zeros_like(total)
    return torch.stack(y, 1)


def inputs(B, T, H, K, V):
    torch.manual_seed(T)
    return {"q": torch.randn(B, T, H, K), "k": torch.randn(B, T, H, K) / K ** 0.5, "v": torch.randn(B, T, H, V),
            "u": torch.randn(B, T, H, K), "g": -torch.rand(B, T, H), "S0": torch.randn(B, H, K, V)}


def call(fn, sizes, table, **tensors):
    """One call, every tensor between margins that must survive."""
    kernel = compile(fn, sizes)
    placed = {name: margins(tensor) for name, tensor in tensors.items()}
    kernel(table, **{name: tensor for name, (tensor, _) in placed.items()})
    assert all(intact() for _, intact in placed.values())
    return {name: tensor for name, (tensor, _) in placed.items()}


@pytest.mark.parametrize("B, T, H, K, V, C", [(2, 37, 3, 5, 7, 4), (1, 65, 2, 32, 16, 16), (1, 0, 1, 3, 3, 4)])
def test_decay(B, T, H, K, V, C):
    x = inputs(B, T, H, K, V)
    del x["u"]
    out = call(kernels.decay_forward, {"K": K, "V": V, "#chunk": C}, table_of(B, T, C, 10 * C), **x, y=torch.empty(B, T, H, V), SN=torch.empty(B, H, K, V))
    if T:
        y, SN = decay_reference(*(x[n].double() for n in ("q", "k", "v", "g", "S0")))
        close(out["y"], y)
        close(out["SN"], SN)
    else:
        close(out["SN"], x["S0"])


@pytest.mark.parametrize("B, T, H, K, V, C, segment", [(2, 23, 2, 5, 6, 4, 7), (1, 64, 1, 16, 16, 16, 16)])
def test_gated(B, T, H, K, V, C, segment):
    x, table = inputs(B, T, H, K, V), table_of(B, T, C, segment)
    N, R, dy = T // segment, table.shape[1], torch.randn(B, T, H, V)
    saved = {"M": torch.zeros(B, H, N, K, V), "summaries": torch.zeros(B, H, N, K), "S_starts": torch.empty(B, H, R, K, V),
             "sum_starts": torch.empty(B, H, R, K), "y": torch.empty(B, T, H, V)}
    sizes = {"K": K, "V": V, "#chunk": C}
    out = call(kernels.gated_forward(segment), sizes, table, **x, **saved)
    exact = {name: tensor.double().requires_grad_() for name, tensor in x.items()}
    y = gated_reference(*(exact[n] for n in ("q", "k", "v", "u", "g", "S0")), segment)
    close(out["y"], y.detach())
    (y * dy.double()).sum().backward()
    S0 = x.pop("S0")
    grads = {"d" + name: torch.empty_like(tensor) for name, tensor in {**x, "S0": S0}.items()}
    out = call(kernels.gated_backward(segment), sizes, table, **x, **{n: out[n] for n in saved}, dy=dy,
               dM=torch.zeros_like(saved["M"]), dsummaries=torch.zeros_like(saved["summaries"]), **grads)
    for name in exact:
        close(out["d" + name], exact[name].grad, 1e-5)
