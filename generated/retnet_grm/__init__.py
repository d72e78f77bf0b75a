"""retnet_grm(q, k, v, g, u, *, memory=None, return_memory=None, return_weights=False, cu_seqlens=None)

Retention, a memory that decays by a constant of each head. Gated residual memory, a softmax gate over the reads of all memories.

    q  [B, T, H, K]  query
    k  [B, T, H, K]  key
    v  [B, T, H, V]  value
    g  [H]           in [-inf, 0]; log decay of the head
    u  [B, T, H, K]  router query
    y  [B, T, H, V]  the result, in the dtype of v or else of the first input

States: S [K, V], from zero.
Cache: segments of 256 tokens, constant growth; a segment goes on from the last state.
An input with fewer heads (a divisor of H) is shared by consecutive heads.
memory: what an earlier call returned; then the result is (y, memory), as with return_memory=True.
cu_seqlens: offsets [S + 1] of S sequences in one row of tokens, B = 1; memory then has a row for each.
return_weights: also a dict, `weights` [B, T, H, 1 + N] of the memories, the online one first, and what was `selected`.
step(...): one token, its tensors without T: (y, memory).
empty_memory(B, H, K=..., V=..., capacity=N): one to start from, of shapes that stay.

From arXiv:2307.08621, arXiv:2401.04658, arXiv:2602.24281.
"""
from mcgen.runtime import load_package

__all__ = ["retnet_grm"]

retnet_grm = load_package(__file__)
