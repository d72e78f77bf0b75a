"""Zeros that programs read, and nobody writes: small ones are kept from call to call."""
from __future__ import annotations

from typing import Sequence

import torch

SMALL = 4096            # elements: making more takes longer than the call's other work
KEPT = 256
_kept: dict[tuple, torch.Tensor] = {}


def read_only_zeros(shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Zeros that may be the same tensor each time: not to be written, nor to be given to a caller."""
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active() or torch._C._len_torch_dispatch_stack():
        return torch.zeros(shape, dtype=dtype, device=device)
    key = (*shape, dtype, device)
    found = _kept.get(key)
    if found is None:
        with torch.inference_mode(False):
            found = torch.zeros(shape, dtype=dtype, device=device)
        if found.numel() <= SMALL:
            if len(_kept) >= KEPT:
                _kept.clear()
            _kept[key] = found
    return found
