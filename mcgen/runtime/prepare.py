"""Tensors of a call, made ready for the programs: one dtype, all heads, past tokens in front (of each sequence), contiguous."""
from __future__ import annotations

from typing import Any, Container, Sequence

import torch

from .dims import sizes_of
from .manifest import Field, Manifest
from .plan import Plan

HALVES = (torch.bfloat16, torch.float16)

def prepare(manifest: Manifest, plan: Plan, values: Sequence[Any], past: dict[str, torch.Tensor] | None,
            narrow: Container[str]) -> dict[str, torch.Tensor]:
    """Field name -> tensor. `past`: [B, H, d, *shape] per delayed input; None: zeros. Absent learned starts stay absent.

    narrow: tokens that stay so where they have 16 bits, unless past ones in the plan's dtype stand before them.
    """
    ready = {}
    for field, x, repeat in zip(manifest.fields, values, plan.repeats):
        if x is None:
            if field.keyword:
                continue
            x = _default(field, plan)
        if x.dtype is not plan.dtype and not (field.name in narrow and x.dtype in HALVES and not (field.delay and past)):
            x = x.to(plan.dtype)
        if repeat != 1:
            x = x.repeat_interleave(repeat, dim=2 if field.per == "token" else 0)
        if field.delay and plan.packed is not None:
            x = plan.packed.gapped(x, None if past is None else past[field.name], field.delay)
        elif field.delay:
            front = x.new_zeros((plan.batch, field.delay, plan.heads, *x.shape[3:])) if past is None else past[field.name].transpose(1, 2)
            x = torch.cat((front, x), dim=1)
        ready[field.name] = x if x.is_contiguous() else x.contiguous()
    return ready


def _default(field: Field, plan: Plan) -> torch.Tensor:
    """The optional input's default, at full size."""
    front = plan.y_shape[:3] if field.per == "token" else (plan.heads,)
    return torch.full((*front, *sizes_of(field.shape, plan.sizes)), float(field.default), dtype=plan.dtype, device=plan.device)


def last_tokens(manifest: Manifest, plan: Plan, ready: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What the next call needs of this one's delayed inputs: [B, H, d, *shape], tensors of their own."""
    if plan.packed is not None:
        return {field.name: plan.packed.last(ready[field.name], field.delay).contiguous().to(plan.dtype) for field in manifest.delays}
    return {field.name: ready[field.name][:, plan.tokens:].transpose(1, 2).clone(memory_format=torch.contiguous_format).to(plan.dtype)
            for field in manifest.delays}
