"""swla(q, k, v, a, b, l, *, memory=None, return_memory=None, cu_seqlens=None)

Sliding-window linear attention over two tokens.

    q  [B, T, H, K]  query
    k  [B, T, H, K]  key
    v  [B, T, H, V]  value
    a  [B, T, H]     in [0, 1]; decay of the memory
    b  [B, T, H]     in [0, 1]; weight of the previous token
    l  [B, T, H]     in [0, 1]; weight of this token
    y  [B, T, H, V]  the result, in the dtype of v or else of the first input

States: S [K, V], from zero.
An input with fewer heads (a divisor of H) is shared by consecutive heads.
memory: what an earlier call returned; then the result is (y, memory), as with return_memory=True.
cu_seqlens: offsets [S + 1] of S sequences in one row of tokens, B = 1; memory then has a row for each.
step(...): one token, its tensors without T: (y, memory).
empty_memory(B, H, K=..., V=...): one to start from, of shapes that stay.

From arXiv:2505.23735, arXiv:2602.24281.
"""
from mcgen.runtime import load_package

__all__ = ["swla"]

swla = load_package(__file__)
