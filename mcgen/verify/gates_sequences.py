"""Gates on sequences cut and joined: any split, packed rows, weights by token."""
from __future__ import annotations

import math
from typing import Any, Callable

import torch

from .draw import Case
from .harness import Lab, Tensors, compute, main_length
from .report import Check, Gate
from .tolerance import WEIGHTS


def split(lab: Lab, gate: Gate, full: bool, _: Any) -> None:
    """Any split with the memory handed on, the last token by `step`, gradients through the memory."""
    length = main_length(lab, full)
    case, c, s = lab.case(length), lab.chunk, lab.segment
    plans = [[c // 2 + 1], [1, c + 1, length - 1]]
    if s:
        plans += [[s, s + s // 2 + 1]] + ([[s - 1], [s + 1], [2 * s]] if full else [])
    if full:
        plans += [[c], [length - 1], [5, 6, 7], [0, 3]]
    want = lab.expected(case)
    for plan in plans:
        points = sorted({min(p, length) for p in plan})
        got = compute(in_parts(lab, points, step=False), lab.inputs(case), case)
        lab.check(gate, case, got, want, f"split at {points}, ")
    with torch.no_grad():
        for before in ([1, 4] if full else [2]):
            points = list(range(length - before, length))
            y = in_parts(lab, points, step=True)(**lab.inputs(case))
            lab.check(gate, case, {"y": y}, want, f"{before} last by step, ", only={"y"})


def in_parts(lab: Lab, points: list[int], step: bool) -> Callable:
    """The op as a run of parts; with `step`, the single tokens after the first part go through `op.step`."""
    def run(**inputs: torch.Tensor) -> torch.Tensor:
        length = inputs[lab.token_inputs[0]].shape[1]
        memory, parts = None, []
        for a, b in zip([0, *points], [*points, length]):
            if step and memory is not None:
                part, memory = lab.op.step(**_tokens(lab, inputs, a), memory=memory)
                parts.append(part.unsqueeze(1))
                continue
            part, memory = lab.op(**_tokens(lab, inputs, slice(a, b)), memory=memory, return_memory=True)
            parts.append(part)
        return torch.cat(parts, 1)
    return run


def _tokens(lab: Lab, inputs: Tensors, where: int | slice) -> Tensors:
    return {n: x[:, where] if n in lab.token_inputs else x for n, x in inputs.items()}


def packed(lab: Lab, gate: Gate, full: bool, _: Any) -> None:
    """Sequences in one row, empty and short ones among them, each as if alone."""
    c = lab.chunk
    offsets = [0]
    for n in [c + 1, 1, 0, 3, 2 * c - 1, (lab.segment or 5) + 2] if full else [c + 1, 1, 0, 5]:
        offsets.append(offsets[-1] + n)
    case = lab.case(offsets[-1], batch=1)
    cu = torch.tensor(offsets, dtype=torch.int32, device=lab.device)
    got = compute(lambda **x: lab.op(**x, cu_seqlens=cu), lab.inputs(case), case)
    exact = lab.expected_of(lambda reference, **x: reference(**x, cu_seqlens=cu.cpu()), case)
    lab.check(gate, case, got, exact, f"cu_seqlens={offsets}, ")
    with torch.no_grad():
        _, memory = lab.op(**lab.inputs(case), cu_seqlens=cu, return_memory=True)
        _, want = lab.reference(**lab.plain(case), cu_seqlens=cu.cpu(), return_memory=True)
    ends = [b - a for a, b in zip(offsets, offsets[1:])]
    gate.checks.append(Check("position", 0.0 if memory["position"].tolist() == ends else math.inf, f"{memory['position'].tolist()}"))
    rows, mine = ({n: list(x.shape) for n, x in m["state"].items()} for m in (want, memory))
    gate.checks.append(Check("memory", 0.0 if rows == mine else math.inf, f"states {mine}, expected {rows}"))


def weights(lab: Lab, gate: Gate, full: bool, _: Any) -> None:
    """`return_weights`: the weight of every memory and which took part."""
    if lab.spec.cache is None:
        gate.skipped = "no cache"
        return
    case = lab.case(main_length(lab, full))
    gate.cases += 1
    compare_weights(lab, gate, case)


def compare_weights(lab: Lab, gate: Gate, case: Case) -> None:
    """The details of a call. An op may have room for more memories than there are, with weight zero."""
    with torch.no_grad():
        _, got = lab.op(**lab.inputs(case), return_weights=True)
        _, want = lab.reference(**lab.plain(case), return_weights=True)
    most = want["weights"].shape[-1]
    spare = float(got["weights"][..., most:].abs().sum()) + float(got["selected"][..., most:].sum())
    gate.checks.append(Check("weights", 0.0 if spare == 0 else math.inf, "of memories that are not there"))
    got = {n: x[..., :most].cpu() for n, x in got.items()}
    if got["weights"].shape != want["weights"].shape:
        gate.checks.append(Check("weights", math.inf, f"shape {list(got['weights'].shape)}, expected {list(want['weights'].shape)}"))
        return
    finite = torch.isfinite(want["weights"])
    known = want["weights"][finite]
    error = float((got["weights"].double()[finite] - known).abs().max()) / max(1.0, float(known.abs().max())) if known.numel() else 0.0
    gate.checks.append(Check("weights", error / WEIGHTS, f"{case}: off by {error:.2g}"))
    gate.checks.append(Check("selected", 0.0 if torch.equal(got["selected"][finite], want["selected"][finite]) else math.inf, f"{case}"))
