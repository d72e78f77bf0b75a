"""What a careful user writes in torch for memories with a decay of each row, with rank-one updates, and with momentum.

As in peers.py: batched over chunks, [B, T, H, *] in and out, T a multiple of the chunk, states that start at zero. What must run in
order is a loop over chunks; `form` says how much is in it. torch.compile would unroll such a loop, for minutes at 64 chunks, so it gets
what is before and behind it.
"""
from __future__ import annotations

import torch
import torch.nn.functional as F

from .peers import _weights
from .peers import FORMS as READS

Tensor = torch.Tensor


def diagonal(q: Tensor, k: Tensor, v: Tensor, g: Tensor, chunk: int = 64, form: str = "loop") -> Tensor:
    """S = diag(exp(g)) S + k v^T, y = K**-0.5 S^T q, with log decays g [B, T, H, K] that no chunk sums to below -80."""
    q, k, v, g = (_chunks(x, chunk) for x in (q * q.shape[-1] ** -0.5, k, v, g))
    total = g.cumsum(-2)                                                        # [B, H, n, C, K]
    q, last = q * total.exp(), total[..., -1, :]
    within = (q @ (k * (-total).exp()).mT).tril()
    writes = (k * (last[..., None, :] - total).exp()).mT @ v                    # [B, H, n, K, V]
    starts = _decayed_loop(writes, last.exp()[..., None]) if form == "loop" else _decayed_at_once(writes, last)
    return _tokens(within @ v + q @ starts)


@torch.compiler.disable
def _decayed_loop(writes: Tensor, decay: Tensor) -> Tensor:
    state, starts = torch.zeros_like(writes[:, :, 0]), []
    for kept, write in zip(decay.unbind(2), writes.unbind(2)):
        starts.append(state)
        state = kept * state + write
    return torch.stack(starts, 2)


def _decayed_at_once(writes: Tensor, decay: Tensor) -> Tensor:
    """One product for each row of the memory with the decays between chunks."""
    count = writes.shape[2]
    total = decay.cumsum(2).transpose(2, 3)                                     # [B, H, K, n]
    causal = torch.ones(count, count, dtype=torch.bool, device=writes.device).tril()
    gap = (total[..., :, None] - total[..., None, :]).masked_fill(~causal, float("-inf")).exp()
    ends = (gap @ writes.transpose(2, 3)).transpose(2, 3)
    return F.pad(ends[:, :, :-1], (0, 0, 0, 0, 1, 0))


def rank_one(q: Tensor, k: Tensor, v: Tensor, beta: Tensor, g: Tensor | None = None, chunk: int = 64, form: str = "loop") -> Tensor:
    """S = a S + beta k (v - a S^T k)^T with a = exp(g), or 1 without g; y = K**-0.5 S^T q."""
    y, _ = _rank_one(q, k, v, beta, g, chunk, form)
    return _tokens(y)


def rank_one_cached(q: Tensor, k: Tensor, v: Tensor, beta: Tensor, u: Tensor, g: Tensor | None = None, segment: int = 256,
                    chunk: int = 64, form: str = "loop", read: str = "by segment") -> Tensor:
    """The same with its state cached after each segment: softmax of u . mean(k) over the cached memories and the online one."""
    y, ends = _rank_one(q, k, v, beta, g, chunk, form)
    step = segment // chunk
    weights = _weights(k, u, segment)
    reads = READS[read](q.transpose(1, 2) * q.shape[-1] ** -0.5, weights[..., 1:], ends[:, :, step - 1::step], segment)
    return (weights[..., :1] * y.flatten(2, 3) + reads).transpose(1, 2)


def _rank_one(q: Tensor, k: Tensor, v: Tensor, beta: Tensor, g: Tensor | None, chunk: int, form: str) -> tuple[Tensor, Tensor]:
    """The answers [B, H, n, C, V], and the states at the ends of chunks [B, H, n, K, V]."""
    zeros = torch.zeros_like(beta) if g is None else g
    q, k, v, beta, g = (_chunks(x, chunk) for x in (q * q.shape[-1] ** -0.5, k, v, beta[..., None], zeros[..., None]))
    total = g.squeeze(-1).cumsum(-1)
    gap, total, last = _gap(total), total[..., None].exp(), total[..., -1:, None].exp()
    system = beta * (k @ k.mT * gap).tril(-1)
    known = torch.linalg.solve_triangular(system, torch.cat([beta * v, beta * total * k], -1), upper=False, unitriangular=True)
    values, keys = known.split([v.shape[-1], k.shape[-1]], -1)
    kept = (k * gap[..., -1, :, None]).mT                                       # [B, H, n, K, C]
    starts, ends = (_loop if form == "loop" else _transitions)(values, keys, kept, last)
    return q * total @ starts + (q @ k.mT * gap) @ (values - keys @ starts), ends


def momentum(q: Tensor, k: Tensor, v: Tensor, g: Tensor, m: Tensor, eta: Tensor, chunk: int = 64, form: str = "loop") -> Tensor:
    """Z = m Z + eta k (v - S^T k)^T, S = exp(g) S + Z, y = S^T q: the pair (S, Z) is one state of 2 K rows."""
    q, k, v, g, m, eta = (_chunks(x, chunk) for x in (q, k, v, g[..., None], m[..., None], eta[..., None]))
    slow, fast = g.squeeze(-1).cumsum(-1), m.squeeze(-1).clamp_min(1e-30).log().cumsum(-1)
    of_fast = _gap(fast)                                                        # [.., t, i]: what Z_t has of the write of token i
    of_slow = _gap(slow) @ of_fast                                              # what S_t has of it
    kept_s, kept_z = slow.exp()[..., None], fast.exp()[..., None]
    from_z = _gap(slow) @ kept_z
    before = lambda x, first: F.pad(x[..., :-1, :], (0, 0, 1, 0), value=first)
    system = eta * (k @ k.mT * before(of_slow, 0.0)).tril(-1)
    right = torch.cat([eta * v, eta * before(kept_s, 1.0) * k, eta * before(from_z, 0.0) * k], -1)
    known = torch.linalg.solve_triangular(system, right, upper=False, unitriangular=True)
    values, keys = known.split([v.shape[-1], 2 * k.shape[-1]], -1)
    kept = torch.cat([k * of_slow[..., -1, :, None], k * of_fast[..., -1, :, None]], -1).mT             # [B, H, n, 2 K, C]
    eye = torch.eye(k.shape[-1], device=k.device, dtype=k.dtype)
    last = [x[..., -1:, :] * eye for x in (kept_s, from_z, kept_z)]
    carried = torch.cat([torch.cat([last[0], last[1]], -1), torch.cat([torch.zeros_like(last[2]), last[2]], -1)], -2)
    starts, _ = (_loop if form == "loop" else _transitions)(values, keys, kept, carried, matrix=True)
    return _tokens(torch.cat([q * kept_s, q * from_z], -1) @ starts + (q @ k.mT * of_slow) @ (values - keys @ starts))


@torch.compiler.disable
def _loop(values: Tensor, keys: Tensor, kept: Tensor, carried: Tensor, matrix: bool = False) -> tuple[Tensor, Tensor]:
    """The states at the starts and the ends of chunks: what a chunk writes is found with the state at hand."""
    states = [values.new_zeros(*values.shape[:2], kept.shape[-2], values.shape[-1])]
    for value, key, write, old in zip(*(x.unbind(2) for x in (values, keys, kept, carried))):
        state = states[-1]
        states.append((old @ state if matrix else old * state) + write @ (value - key @ state))
    return torch.stack(states[:-1], 2), torch.stack(states[1:], 2)


@torch.compiler.disable
def _transitions(values: Tensor, keys: Tensor, kept: Tensor, carried: Tensor, matrix: bool = False) -> tuple[Tensor, Tensor]:
    """The same with each chunk's whole step known before the loop: state = A state + w."""
    eye = torch.eye(kept.shape[-2], device=kept.device, dtype=kept.dtype)
    steps, writes = (carried if matrix else carried * eye) - kept @ keys, kept @ values
    states = [torch.zeros_like(writes[:, :, 0])]
    for step, write in zip(steps.unbind(2), writes.unbind(2)):
        states.append(step @ states[-1] + write)
    return torch.stack(states[:-1], 2), torch.stack(states[1:], 2)


def _gap(total: Tensor) -> Tensor:
    """exp(total_t - total_i) for i <= t, else zero."""
    causal = torch.ones(total.shape[-1], total.shape[-1], dtype=torch.bool, device=total.device).tril()
    return (total[..., :, None] - total[..., None, :]).masked_fill(~causal, float("-inf")).exp()


def _chunks(x: Tensor, chunk: int) -> Tensor:
    """[B, T, H, *] as [B, H, n, C, *]."""
    return x.transpose(1, 2).unflatten(2, (-1, chunk))


def _tokens(y: Tensor) -> Tensor:
    return y.flatten(2, 3).transpose(1, 2)
