"""Packed sequences: `cu_seqlens` of a call, and the gaps for the past tokens of delayed inputs.

Sequences lie one after the other in a single row of tokens, [1, T, H, *]; all else of the call has one row a sequence. Programs take
the tokens as they lie: the rows of a sequence's chunk table start at its first token. A delayed input gets its past tokens in front of
each sequence, [1, T + S*d, H, *].
"""
from __future__ import annotations

from typing import Any, NamedTuple

import torch

from mcgen.diagnostics import UsageError

_library = torch.library.Library("mcgen", "FRAGMENT")
_library.define("offsets(Tensor cu_seqlens, SymInt tokens) -> Tensor", tags=(torch.Tag.pt2_compliant_tag,))


class Packed(NamedTuple):
    """The sequences of one call."""

    offsets: torch.Tensor            # [S + 1] int64 on the inputs' device
    counts: list[int] | None         # tokens of each sequence; None in a traced call
    longest: int                     # no sequence has more tokens

    @property
    def lengths(self) -> torch.Tensor:
        """Tokens of each sequence, [S] int64."""
        return self.offsets.diff()

    def gapped(self, x: torch.Tensor, past: torch.Tensor | None, delay: int) -> torch.Tensor:
        """x [1, T, H, *] with `past` [S, H, delay, *] (None: zeros) in front of each sequence: [1, T + S*delay, H, *]."""
        sequences = self.offsets.shape[0] - 1
        token = torch.arange(x.shape[1], device=x.device)
        place = token + (torch.searchsorted(self.offsets[1:], token, right=True) + 1) * delay
        gapped = x.new_zeros((x.shape[1] + sequences * delay, *x.shape[2:])).index_copy(0, place, x[0])
        if past is not None:
            gapped = gapped.index_copy(0, self._gaps(0, delay).flatten(), past.transpose(1, 2).flatten(0, 1))
        return gapped.unsqueeze(0)

    def last(self, gapped: torch.Tensor, delay: int) -> torch.Tensor:
        """The last `delay` tokens of each sequence of a gapped tensor, its past ones counted: [S, H, delay, *]."""
        return gapped[0][self._gaps(1, delay)].transpose(1, 2)

    def _gaps(self, end: int, delay: int) -> torch.Tensor:
        """Places [S, delay] in a gapped tensor: the first `delay` tokens of each sequence, or (`end` = 1) the last."""
        sequences = self.offsets.shape[0] - 1
        first = self.offsets[end:sequences + end] + torch.arange(sequences, device=self.offsets.device) * delay
        return first[:, None] + torch.arange(delay, device=self.offsets.device)


def read_offsets(cu_seqlens: Any, batch: int, tokens: int, device: torch.device) -> Packed:
    """`cu_seqlens` [S + 1], int32 or int64, on the inputs' device or the CPU: 0, then where each sequence ends, at last T.

    Its values are read: on a GPU that waits for them, unless they are given on the CPU. A traced call can't read them: it makes
    room for sequences of T tokens each and checks the values as it runs (on a GPU by a device-side assertion).
    Raises UsageError for offsets that do not fit the call.
    """
    if not isinstance(cu_seqlens, torch.Tensor):
        raise UsageError(f"cu_seqlens is a {type(cu_seqlens).__name__}, expected a tensor [S + 1] of offsets", "type")
    if cu_seqlens.dtype not in (torch.int32, torch.int64):
        raise UsageError(f"cu_seqlens has dtype {str(cu_seqlens.dtype).removeprefix('torch.')}, expected int32 or int64", "dtype")
    if cu_seqlens.ndim != 1 or cu_seqlens.shape[0] < 1:
        raise UsageError(f"cu_seqlens has shape {list(cu_seqlens.shape)}, expected [S + 1], one more than sequences", "shape")
    if cu_seqlens.device != device and cu_seqlens.device.type != "cpu":
        raise UsageError(f"cu_seqlens is on {cu_seqlens.device}, the inputs on {device}", "device", "give it on the inputs' device or on the CPU")
    if batch != 1:
        raise UsageError(f"with cu_seqlens the inputs have one row of tokens, B = 1, got B = {batch}", "shape", "join the sequences along T")
    if torch.compiler.is_compiling():
        return Packed(torch.ops.mcgen.offsets.default(cu_seqlens, tokens).to(device), None, tokens)
    counts = _counts(cu_seqlens.tolist(), tokens)
    return Packed(cu_seqlens.to(device, torch.int64), counts, max(counts, default=0))


def _counts(offsets: list[int], tokens: int) -> list[int]:
    counts = [after - before for before, after in zip(offsets, offsets[1:])]
    if offsets[0] != 0 or offsets[-1] != tokens or min(counts, default=0) < 0:
        wrong = f"starts at {offsets[0]}" if offsets[0] else next(
            (f"falls from {offsets[i]} to {offsets[i + 1]}" for i, n in enumerate(counts) if n < 0), f"ends at {offsets[-1]}")
        raise UsageError(f"cu_seqlens {wrong}, expected offsets that rise from 0 to T = {tokens}", "cu-seqlens")
    return counts


def _checked(cu_seqlens: torch.Tensor, tokens: int) -> torch.Tensor:
    if cu_seqlens.device.type == "cpu":
        _counts(cu_seqlens.tolist(), tokens)
    else:
        rises = (cu_seqlens[0] == 0) & (cu_seqlens[-1] == tokens) & (cu_seqlens.diff() >= 0).all()
        torch._assert_async(rises, f"cu_seqlens must rise from 0 to T = {tokens}")
    return cu_seqlens.to(torch.int64, copy=True)


_library.impl("offsets", _checked, "CompositeExplicitAutograd")
torch.library.register_fake("mcgen::offsets", lambda cu_seqlens, tokens: torch.empty_like(cu_seqlens, dtype=torch.int64), lib=_library)
