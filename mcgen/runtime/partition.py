"""How the tokens of a call are cut into chunks: one table row per chunk, by arithmetic on sizes and positions.

A row is (start, count, segment, offset) in int32: the first token's index in this call, how many tokens, the absolute number of
the segment that they belong to, and how many tokens of that segment came before. A row never holds more than `chunk` tokens and
never crosses the end of a segment (or of a run). Rows with count 0 are padding and stand at the end, where the next token
would. Without a cache there is one endless segment 0 (offset then counts all tokens, clipped into int32).

The number of rows depends on sizes alone, so that a traced call knows it: exact at position 0, an upper bound elsewhere. Packed
sequences have as many rows each as the longest of them, and start where their tokens lie in the one row of tokens.
"""
from __future__ import annotations

from functools import lru_cache

import torch

from .packed import Packed

LARGEST = 2**31 - 1
MOST_LEVELS = 32        # of a sequence whose length is not known
SHORT = 1024            # about so many rows are counted, more are computed


def row_count(tokens: int, chunk: int, boundary: int | None, moved: bool) -> int:
    """Rows that `tokens` tokens need, from the start of a sequence or, `moved`, from anywhere in it.

    A traced call with a symbolic length gets two rows more (see `roomy`).

    >>> row_count(10, 4, None, False), row_count(10, 4, 6, False), row_count(10, 4, 6, True), row_count(1, 1, 6, True)
    (3, 3, 4, 1)
    """
    if boundary is None:
        return roomy((tokens + chunk - 1) // chunk)
    if not moved:
        tail = tokens % boundary
        return roomy((tokens // boundary) * ((boundary + chunk - 1) // chunk) + (tail + chunk - 1) // chunk)
    pieces = (tokens + boundary - 2) // boundary + 1          # runs of tokens between boundaries, at worst
    if boundary % chunk == 0:                                 # whole pieces then waste nothing: only the two ends do
        pieces = _least(pieces, 2)
    return roomy(_least(tokens, (tokens + pieces * (chunk - 1)) // chunk))


def _least(a: int, b: int) -> int:
    return min(a, b) if isinstance(a, int) and isinstance(b, int) else torch.sym_min(a, b)


def roomy(count: int) -> int:
    """A count of rows or slots; two more when it is symbolic, so that a trace need not ask whether it is 0 or 1.

    Rows and slots beyond those in use are padding by convention, so the trace then serves every length.
    """
    if isinstance(count, int) and not torch.compiler.is_compiling():
        return count
    from torch.fx.experimental.symbolic_shapes import has_static_value

    return count if has_static_value(count) else count + 2


def chunk_table(position: torch.Tensor, tokens: int, chunk: int, boundary: int | None, length: int | None, moved: bool,
                packed: Packed | None = None) -> torch.Tensor:
    """The table [B, R, 4] int32 for sequences that have seen `position` [B] int64 tokens.

    `boundary` is what no chunk crosses: the segment `length`, or the run length where gradients are taken per run.
    Requires that `boundary` divides `length` where both are given.
    """
    rows = row_count(tokens if packed is None else packed.longest, chunk, boundary, moved)
    if packed is not None:
        tokens = packed.lengths.unsqueeze(1)
    row = torch.arange(rows, device=position.device).unsqueeze(0)
    position = position.unsqueeze(1)
    if boundary is None:
        start = (row * chunk).expand(position.shape[0], rows).clamp(max=tokens)
        room = torch.full_like(start, chunk)
    else:
        first = (boundary - position % boundary).clamp(max=tokens)        # tokens before the first boundary
        first_rows = (first + chunk - 1) // chunk
        later = row - first_rows
        piece, index = later // ((boundary + chunk - 1) // chunk), later % ((boundary + chunk - 1) // chunk)
        start = torch.where(later < 0, row * chunk, first + piece * boundary + index * chunk).clamp(max=tokens)
        room = torch.where(later < 0, first - row * chunk, boundary - index * chunk).clamp(max=chunk)
    count = torch.minimum(room, tokens - start)
    seen = position + start
    segment, offset = (torch.zeros_like(seen), seen.clamp(max=LARGEST)) if length is None else (seen // length, seen % length)
    if packed is not None:
        start = packed.offsets[:-1, None] + start
    return torch.stack((start, count, segment, offset), dim=2).to(torch.int32)


@lru_cache(64)
def listed_table(seen: tuple[int, ...], tokens: int, chunk: int, boundary: int | None, length: int | None) -> torch.Tensor:
    """The same table on the CPU for rows that have seen so many tokens, counted instead of computed: quicker while it is short.

    Kept, since the layers of a model decode at the same positions: not to be written.
    """
    rows, listed = row_count(tokens, chunk, boundary, True), {}
    for position in seen:
        if position not in listed:
            made = _rows(position, tokens, chunk, boundary, length)
            listed[position] = made + [_row(position, tokens, 0, length)] * (rows - len(made))
    with torch.inference_mode(False):
        return torch.tensor([listed[position] for position in seen], dtype=torch.int32)


def _rows(position: int, tokens: int, chunk: int, boundary: int | None, length: int | None) -> list[tuple[int, int, int, int]]:
    made, start = [], 0
    while start < tokens:
        count, at = min(chunk, tokens - start), position + start
        if boundary is not None:
            count = min(count, boundary - at % boundary)
        made.append(_row(position, start, count, length))
        start += count
    return made


def _row(position: int, start: int, count: int, length: int | None) -> tuple[int, int, int, int]:
    """A row; segments never decrease from row to row, padding included."""
    at = position + start
    return (start, count, 0, min(at, LARGEST)) if length is None else (start, count, at // length, at % length)


def start_of(batch: int, tokens: int, chunk: int, boundary: int | None, length: int | None, device) -> tuple[torch.Tensor, torch.Tensor]:
    """(position, table) at the start of sequences, computed anew."""
    position = torch.zeros(batch, dtype=torch.int64, device=device)
    return position, chunk_table(position, tokens, chunk, boundary, length, False).contiguous()


def keeps(like: torch.Tensor) -> bool:
    """Whether a tensor made now is an ordinary one, that a later call may use: not while tracing, nor inside a function transform."""
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return False
    return type(like) in (torch.Tensor, torch.nn.Parameter)


def first_slots(tokens: int, length: int) -> int:
    """Cache slots that a call at the start of sequences needs."""
    return roomy(tokens // length)


def levels(slots: int) -> int:
    """Levels of a cache of merging segments: the digits of its number of slots, and the run from the start of the sequence.

    >>> [levels(n) for n in (0, 1, 2, 3, 4)]
    [1, 2, 3, 3, 4]
    """
    return slots.bit_length() + 1 if isinstance(slots, int) else MOST_LEVELS


def slot_count(tokens: int, length: int, held: int, furthest: int | None) -> int:
    """Cache slots that a call needs. `held`: slots in its memory; `furthest`: the furthest position after it, None if that is not known.

    An unknown position (a traced call) adds the most segments that `tokens` tokens can end.
    """
    if furthest is None:
        return roomy(held + (tokens + length - 1) // length)
    return max(held, furthest // length)
