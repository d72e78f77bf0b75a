"""How many tokens a chunk holds: what a schedule prefers, fewer for a short call."""
from __future__ import annotations

from typing import Sequence


def chunk_size(chunks: Sequence[int], preferred: int, tokens: int) -> int:
    """The smallest of `chunks` that holds all `tokens`, at most `preferred`; 1 for a single token.

    >>> [chunk_size([16, 32, 64, 128], 64, t) for t in (1, 5, 17, 1000)]
    [1, 16, 32, 64]
    """
    if tokens == 1:
        return 1
    return min((c for c in (*chunks, preferred) if tokens <= c <= preferred), default=preferred)
