"""Gates on behaviour: the same bits each time, nothing outside its tensors."""
from __future__ import annotations

import math
from typing import Any

import torch

from .harness import Lab, compute, main_length, prime_after
from .report import Check, Gate


def repeat(lab: Lab, gate: Gate, full: bool, _: Any) -> None:
    """The same bits each time, forward and backward."""
    case = lab.case(main_length(lab, full))
    first = compute(lab.op, lab.inputs(case), case, lab.start(case))
    for _ in range(3 if full else 1):
        gate.cases += 1
        again = compute(lab.op, lab.inputs(case), case, lab.start(case))
        for name, x in first.items():
            differ = x.numel() - int(((x == again[name]) | (x.isnan() & again[name].isnan())).sum())
            gate.checks.append(Check(name, math.inf if differ else 0.0, f"{case}: {differ} entries differ between two runs"))


def bounds(lab: Lab, gate: Gate, full: bool, _: Any) -> None:
    """Inputs inside larger tensors full of NaN, contiguous and not: the rest stays as it was and is never used."""
    case = lab.case(prime_after(lab.chunk + 5))
    plain = lab.inputs(case)
    for kind, embed in (("strided", _strided), ("contiguous", _contiguous)):
        buffers = {n: embed(x) for n, x in plain.items()}
        before = {n: whole.clone() for n, (whole, _) in buffers.items()}
        lab.check_run(gate, case, ones=True, inputs={n: x for n, (_, x) in buffers.items()}, prefix=f"{kind} slices, ")
        for n, (whole, _) in buffers.items():
            kept = torch.equal(whole.nan_to_num(12345.0), before[n].nan_to_num(12345.0)) and torch.equal(whole.isnan(), before[n].isnan())
            gate.checks.append(Check(n, 0.0 if kept else math.inf, f"{kind} buffer around '{n}' {'kept' if kept else 'was written to'}"))


def _strided(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    whole = torch.full([n + 2 for n in x.shape], math.nan, dtype=x.dtype, device=x.device)
    inner = whole[tuple(slice(1, 1 + n) for n in x.shape)]
    inner.copy_(x)
    return whole, inner


def _contiguous(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    margin = 1024
    whole = torch.full([x.numel() + 2 * margin], math.nan, dtype=x.dtype, device=x.device)
    inner = whole[margin:margin + x.numel()].view(x.shape)
    inner.copy_(x)
    return whole, inner
