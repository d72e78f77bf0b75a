"""The gates: what an op has to pass before anything about it is kept.

Each gate draws cases, runs the op, and compares with the reference. `verify` runs them in order.
"""
from __future__ import annotations

import math
from typing import Any, Callable, Mapping, Sequence

import torch

from ..diagnostics import NotLowered
from ..spec.nodes import Spec
from .gates_safety import bounds, repeat
from .gates_sequences import packed, split, weights
from .gates_values import chunk_invariance, domain_ends, fewer_heads, forward, gradients, lengths, low_precision
from .harness import Lab, main_length
from .report import Check, Gate, Report

Progress = Callable[[str, int, int], None]

GATES: dict[str, Callable[[Lab, Gate, bool, Any], None]] = {
    "forward": forward, "gradients": gradients, "lengths": lengths, "domain ends": domain_ends,
    "chunk invariance": chunk_invariance, "split = whole": split, "packed = separate": packed, "repeatable": repeat,
    "stays in bounds": bounds, "16-bit inputs": low_precision, "fewer heads": fewer_heads, "weights": weights,
}
MAY_REFUSE = ("16-bit inputs", "weights")


def verify(op: Callable, spec: Spec, *, level: str = "full", progress: Progress | None = None,
           variants: Sequence[Callable] = (), sizes: Mapping[str, int] | None = None, device: torch.device | str = "cpu",
           dtype: torch.dtype = torch.float32, arithmetic: str | None = None, seed: int = 0,
           only: Sequence[str] | None = None) -> Report:
    """Runs the gates on an op with the spec's call surface.

    level: 'quick' takes fewer and shorter draws.  progress: called with (gate, done, total).
    variants: the same op with other chunk sizes.  sizes: dim -> size.  arithmetic: what the op computes in, where not
    float32 ('tf32', 'bfloat16', ...).  only: names of gates to run.
    """
    if level not in ("full", "quick"):
        raise ValueError(f"level is 'full' or 'quick', not '{level}'")
    unknown = set(only or ()) - set(GATES)
    if unknown:
        raise ValueError(f"no gate '{min(unknown)}'; the gates are {', '.join(GATES)}")
    lab = Lab(op, spec, device=device, dtype=dtype, arithmetic=arithmetic, sizes=sizes, seed=seed)
    report, full = Report(spec.name, level), level == "full"
    amount = lab.tame(min(main_length(lab, full), 96))
    gates = [(n, g) for n, g in GATES.items() if only is None or n in only]
    for done, (name, run) in enumerate(gates):
        if progress:
            progress(name, done, len(gates))
        gate = Gate(name)
        try:
            run(lab, gate, full, variants)
        except Exception as error:              # any failure of the op is the gate's finding
            reason = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
            if name in MAY_REFUSE and refused(error):
                gate.skipped = reason
            else:
                gate.cases += 1
                gate.checks.append(Check("call", math.inf, reason))
        report.gates.append(gate)
    if progress:
        progress("", len(gates), len(gates))
    if amount < 1.0 and report.gates:
        report.gates[0].notes.append(f"draws shrunk to {amount}: the rule grows without bound on larger ones")
    return report


def refused(error: Exception) -> bool:
    """Whether an op said that it doesn't have this, rather than failing at it."""
    return isinstance(error, (NotLowered, NotImplementedError))
