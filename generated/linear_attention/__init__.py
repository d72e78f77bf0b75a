"""linear_attention(q, k, v, *, memory=None, return_memory=None, cu_seqlens=None)

Linear attention without a normaliser.

    q  [B, T, H, K]  query
    k  [B, T, H, K]  key
    v  [B, T, H, V]  value
    y  [B, T, H, V]  the result, in the dtype of v or else of the first input

States: S [K, V], from zero.
An input with fewer heads (a divisor of H) is shared by consecutive heads.
memory: what an earlier call returned; then the result is (y, memory), as with return_memory=True.

From arXiv:2006.16236.
"""
from mcgen.runtime import load_package

__all__ = ["linear_attention"]

linear_attention = load_package(__file__)
