"""retnet(q, k, v, g, *, memory=None, return_memory=None, cu_seqlens=None)

Retention, a memory that decays by a constant of each head.

    q  [B, T, H, K]  query
    k  [B, T, H, K]  key
    v  [B, T, H, V]  value
    g  [H]           in [-inf, 0]; log decay of the head
    y  [B, T, H, V]  the result, in the dtype of v or else of the first input

States: S [K, V], from zero.
An input with fewer heads (a divisor of H) is shared by consecutive heads.
memory: what an earlier call returned; then the result is (y, memory), as with return_memory=True.
cu_seqlens: offsets [S + 1] of S sequences in one row of tokens, B = 1; memory then has a row for each.
step(...): one token, its tensors without T: (y, memory).
empty_memory(B, H, K=..., V=...): one to start from, of shapes that stay.

From arXiv:2307.08621, arXiv:2401.04658.
"""
from mcgen.runtime import load_package

__all__ = ["retnet"]

retnet = load_package(__file__)
