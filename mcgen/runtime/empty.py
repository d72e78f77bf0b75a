"""A memory of sequences that have not begun."""
from __future__ import annotations

from types import ModuleType
from typing import Any

import torch

from mcgen.diagnostics import UsageError, did_you_mean

from . import memory as memories
from .dims import sizes_of
from .manifest import Manifest
from .plan import Plan
from .starts import StateStarts


def empty_memory(manifest: Manifest, program: ModuleType, batch: int, heads: int, capacity: int | None, dtype: torch.dtype,
                 device: torch.device, given: dict[str, Any]) -> dict:
    """See `Op.empty_memory`. Raises UsageError for a missing or unknown dim, and for a missing start."""
    dtype = torch.float64 if dtype is torch.float64 else torch.float32
    sizes = _sizes(manifest, {name: size for name, size in given.items() if not isinstance(size, torch.Tensor)})
    plan = Plan(batch, 0, heads, {**sizes, "H": heads}, dtype, device, dtype, (), (), {})
    ready = _starts(manifest, plan, {name: x for name, x in given.items() if isinstance(x, torch.Tensor)})
    slots = capacity or 0
    fixed = None if capacity is None else torch.full((batch,), capacity, dtype=torch.int64, device=device)
    start = memories.Start({}, None, None, None, slots, fixed)
    try:
        filled = memories.fill(manifest, start, plan, StateStarts(manifest, program, plan, ready).per_row)
    except KeyError as missing:
        raise UsageError(f"empty_memory of {manifest.name} needs {missing.args[0]}", "missing-input", "give it by name") from None
    past = {f.name: torch.zeros((batch, heads, f.delay, *sizes_of(f.shape, sizes)), dtype=dtype, device=device) for f in manifest.delays}
    return memories.write(manifest, start, plan, {param: x.clone() for param, x in filled.items()}, past)


def _sizes(manifest: Manifest, given: dict[str, int]) -> dict[str, int]:
    """All dims, from those that are given."""
    derived = [name for name, _ in manifest.derived]
    for name in given:
        if name not in manifest.dims and name not in derived:
            raise UsageError(f"{manifest.name} has no dim {name!r}{did_you_mean(name, manifest.dims)}", "unknown-argument",
                             f"its dims: {', '.join(manifest.dims)}")
    missing = [name for name in manifest.dims if name not in given and name not in derived]
    if missing:
        raise UsageError(f"empty_memory of {manifest.name} needs {', '.join(missing)}", "missing-input", f"for example {missing[0]}=64")
    sizes = dict(given)
    for name, size in manifest.derived:
        sizes[name] = size(sizes)
    return sizes


def _starts(manifest: Manifest, plan: Plan, given: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Per-head tensors at full size, [H, *shape] in the memory's dtype."""
    fields = {f.name: f for f in manifest.fields if f.per == "head"}
    ready = {}
    for name, x in given.items():
        if name not in fields:
            raise UsageError(f"{manifest.name} has no per-head input {name!r}{did_you_mean(name, fields)}", "unknown-argument")
        shape = [plan.heads, *sizes_of(fields[name].shape, plan.sizes)]
        if list(x.shape[1:]) != shape[1:] or x.ndim != len(shape) or x.shape[0] < 1 or plan.heads % x.shape[0]:
            raise UsageError(f"{name} has shape {list(x.shape)}, expected {shape}", "shape")
        x = x.to(plan.device, plan.dtype)
        ready[name] = x.repeat_interleave(plan.heads // x.shape[0], dim=0) if x.shape[0] != plan.heads else x.contiguous()
    for name, field in fields.items():
        if name not in ready and field.default is not None:
            ready[name] = torch.full((plan.heads, *sizes_of(field.shape, plan.sizes)), float(field.default), dtype=plan.dtype, device=plan.device)
    return ready
