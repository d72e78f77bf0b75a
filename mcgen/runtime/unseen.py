"""Whether anything but a kernel would see a call. If not, it need not go through torch's dispatcher, which costs as much as all else."""
from __future__ import annotations

from typing import Sequence

import torch
from torch._C._functorch import is_functorch_wrapped_tensor
from torch.autograd import forward_ad, profiler

PLAIN = {torch.Tensor, torch.nn.Parameter}


def unseen(tensors: Sequence[torch.Tensor]) -> bool:
    """Whether no trace, transform, mode, profiler, forward-mode level, tensor subclass or meta device takes part in a call with these tensors."""
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active() or torch._C._len_torch_dispatch_stack():
        return False
    if profiler._is_profiler_enabled or torch._C._get_tracing_state() is not None or forward_ad._current_level >= 0:
        return False
    # what a transform that is over has wrapped, as the pull-back of torch.func.vjp hands it on, is a plain tensor by type only
    return not tensors[0].is_meta and PLAIN.issuperset(map(type, tensors)) and not any(map(is_functorch_wrapped_tensor, tensors))
