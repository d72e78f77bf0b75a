"""Rows of different lengths: a padding mask becomes one packed row and back; and a memory's rows reordered."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from ..diagnostics import UsageError


@dataclass(frozen=True)
class Packing:
    """How the valid tokens of [B, T] lie in one packed row [1, total]."""

    order: torch.Tensor          # [B, T] tokens of a row, valid ones first, in order
    lengths: torch.Tensor        # [B]
    flat: torch.Tensor           # [total] places of valid tokens in the padded [B * T]
    packed: torch.Tensor         # [total] their places once each row is compact
    cu_seqlens: torch.Tensor     # [B + 1]

    def compact(self, x: torch.Tensor) -> torch.Tensor:
        """[B, T, D] with each row's valid tokens first."""
        return x.gather(1, self.order[..., None].expand_as(x))

    def pack(self, x: torch.Tensor) -> torch.Tensor:
        """[B, T, ...] compact -> [1, total, ...]."""
        return x.flatten(0, 1).index_select(0, self.packed)[None]

    def unpack(self, y: torch.Tensor) -> torch.Tensor:
        """[1, total, D] -> [B, T, D], zero where the mask is."""
        batch, length = self.order.shape
        out = y.new_zeros(batch * length, *y.shape[2:])
        return out.index_copy(0, self.flat, y[0]).unflatten(0, (batch, length))


def packing(mask: torch.Tensor | None, batch: int, length: int) -> Packing | None:
    """From an attention mask [B, T] or, when decoding, [B, past + T]; None where no token is masked."""
    if mask is None:
        return None
    if mask.dim() != 2 or mask.shape[0] != batch or mask.shape[1] < length:
        raise UsageError(f"attention_mask has the shape {list(mask.shape)} where [{batch}, {length}] is expected")
    valid = mask[:, mask.shape[1] - length:].bool()
    if bool(valid.all()):
        return None
    order = torch.argsort((~valid).to(torch.int8), dim=1, stable=True)
    lengths = valid.sum(1)
    flat = valid.flatten().nonzero().squeeze(1)
    compact = torch.arange(length, device=mask.device) < lengths[:, None]
    offsets = torch.nn.functional.pad(lengths.cumsum(0), (1, 0))
    return Packing(order, lengths, flat, compact.flatten().nonzero().squeeze(1), offsets)


def reorder(memory: Any, rows: torch.Tensor) -> Any:
    """The same memory with these rows, for beam search: `index_select(0)` on every tensor."""
    if isinstance(memory, torch.Tensor):
        return memory.index_select(0, rows)
    if isinstance(memory, dict):
        return {k: reorder(v, rows) for k, v in memory.items()}
    if isinstance(memory, (list, tuple)):
        return type(memory)(reorder(v, rows) for v in memory)
    return memory
