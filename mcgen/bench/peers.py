"""What a careful user writes in torch for a memory with a scalar decay, with and without cached memories.

Everything is batched over chunks and segments; the one loop runs over segments. All take [B, T, H, *] like an op, log decay g
[B, T, H] or None. They need T to be a multiple of the segment and the segment one of the chunk, and S to start at zero.
"""
from __future__ import annotations

import torch

CHUNK = 64


def decayed(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, g: torch.Tensor | None = None) -> torch.Tensor:
    """S = exp(g) S + k v^T, y = K**-0.5 S^T q."""
    y, _ = _recurrence(q, k, v, g, CHUNK, 0)
    return y.transpose(1, 2)


def decayed_cached(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, u: torch.Tensor, g: torch.Tensor | None = None,
                   segment: int = 256, form: str = "by segment") -> torch.Tensor:
    """The same with its state cached after each segment: softmax of u . mean(k) over the cached memories and the online one.

    `form` is one of FORMS; which is fastest depends on the machine, so a measurement takes the best.
    """
    y, cached = _recurrence(q, k, v, g, CHUNK, segment)                    # [B, H, T, V], [B, H, N, K, V]
    weights = _weights(k, u, segment)                                      # [B, H, T, 1 + N], online first
    assert cached is not None
    reads = FORMS[form](q.transpose(1, 2) * q.shape[-1] ** -0.5, weights[..., 1:], cached, segment)
    return (weights[..., :1] * y + reads).transpose(1, 2)


def _recurrence(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, g: torch.Tensor | None, chunk: int,
                segment: int) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The online answers, and the states at the ends of segments."""
    batch, length, heads, key = q.shape
    count = length // chunk
    q, k, v = (x.transpose(1, 2).unflatten(2, (count, chunk)) for x in (q, k, v))           # [B, H, n, C, *]
    q = q * key ** -0.5
    scores = q @ k.transpose(-1, -2)
    causal = torch.ones(chunk, chunk, dtype=torch.bool, device=q.device).tril()
    if g is None:
        total = None
        within = scores.masked_fill(~causal, 0.0)
        writes = k.transpose(-1, -2) @ v                                                    # [B, H, n, K, V]
    else:
        total = g.transpose(1, 2).unflatten(2, (count, chunk)).cumsum(-1)                   # [B, H, n, C]
        gap = (total[..., :, None] - total[..., None, :]).masked_fill(~causal, float("-inf"))
        within = scores * gap.exp()
        writes = (k * (total[..., -1:] - total).exp()[..., None]).transpose(-1, -2) @ v
        q = q * total.exp()[..., None]
    ends = _carry(writes, None if total is None else total[..., -1])
    starts = torch.nn.functional.pad(ends[:, :, :-1], (0, 0, 0, 0, 1, 0))
    y = (within @ v + q @ starts).flatten(2, 3)
    if not segment:
        return y, None
    step = segment // chunk
    return y, ends[:, :, step - 1:: step]


def _carry(writes: torch.Tensor, decay: torch.Tensor | None) -> torch.Tensor:
    """The state after each chunk: one product with the lower-triangular matrix of decays between chunks."""
    if decay is None:
        return writes.cumsum(2)
    count = writes.shape[2]
    total = decay.cumsum(-1)                                                                # [B, H, n]
    causal = torch.ones(count, count, dtype=torch.bool, device=writes.device).tril()
    gap = (total[..., :, None] - total[..., None, :]).masked_fill(~causal, float("-inf")).exp()
    return (gap @ writes.flatten(3)).unflatten(3, writes.shape[3:])


def _weights(k: torch.Tensor, u: torch.Tensor, segment: int) -> torch.Tensor:
    """Softmax over the online memory's running mean and the means of earlier segments."""
    length = k.shape[1]
    count = length // segment
    keys = k.transpose(1, 2).unflatten(2, (count, segment))                                 # [B, H, N, L, K]
    running = keys.cumsum(3)
    seen = torch.arange(1, segment + 1, device=k.device, dtype=k.dtype)[:, None]
    u = u.transpose(1, 2)
    online = (u * (running / seen).flatten(2, 3)).sum(-1, keepdim=True)                     # [B, H, T, 1]
    earlier = u @ (running[:, :, :, -1] / segment).transpose(-1, -2)                        # [B, H, T, N]
    own = torch.arange(length, device=k.device) // segment
    later = torch.arange(count, device=k.device)[None] >= own[:, None]
    return torch.cat([online, earlier.masked_fill(later, float("-inf"))], -1).softmax(-1)


def _by_segment(q: torch.Tensor, weights: torch.Tensor, cached: torch.Tensor, segment: int) -> torch.Tensor:
    """For each segment one product: [w_1 Q | ... | w_n Q] with its n earlier memories stacked."""
    count, key = q.shape[2] // segment, q.shape[-1]
    stacked = cached.flatten(2, 3)                                                          # [B, H, N K, V]
    out = [q.new_zeros(*q.shape[:2], segment, cached.shape[-1])]
    for n in range(1, count):
        rows = slice(n * segment, (n + 1) * segment)
        mixed = (weights[:, :, rows, :n, None] * q[:, :, rows, None]).flatten(3)            # [B, H, L, n K]
        out.append(mixed @ stacked[:, :, : n * key])
    return torch.cat(out, 2)


def _by_memory(q: torch.Tensor, weights: torch.Tensor, cached: torch.Tensor, segment: int) -> torch.Tensor:
    """For each memory one product with the queries after it, weighted afterwards."""
    total = q.new_zeros(*q.shape[:3], cached.shape[-1])
    for n in range(cached.shape[2] - 1):
        start = (n + 1) * segment
        part = weights[:, :, start:, n, None] * (q[:, :, start:] @ cached[:, :, n])
        total = total + torch.nn.functional.pad(part, (0, 0, start, 0))
    return total


def _at_once(q: torch.Tensor, weights: torch.Tensor, cached: torch.Tensor, segment: int) -> torch.Tensor:
    """One product for all tokens, later memories with weight zero."""
    mixed = (weights[..., None] * q[:, :, :, None]).flatten(3)                              # [B, H, T, N K]
    return mixed @ cached.flatten(2, 3)


FORMS = {"by segment": _by_segment, "by memory": _by_memory, "at once": _at_once}


def attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Causal softmax attention, torch's fused one."""
    y = torch.nn.functional.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), is_causal=True)
    return y.transpose(1, 2)
