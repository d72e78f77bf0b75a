"""The gates: what an op has to pass before anything about it is kept.

Each gate draws cases, runs the op, and compares with the reference. `verify` runs them in order.
"""
from __future__ import annotations

import math
from typing import Any, Callable, Mapping, Sequence

import torch

from ..diagnostics import NotLowered
from ..spec.nodes import Spec
from .draw import EDGES, has_edge
from .harness import Lab, Tensors, compute
from .report import Check, Gate, Report
from .tolerance import WEIGHTS
from .world import all_inputs

Progress = Callable[[str, int, int], None]


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


def prime_after(n: int) -> int:
    while any(n % d == 0 for d in range(2, int(n ** 0.5) + 1)) or n < 2:
        n += 1
    return n


def main_length(lab: Lab, full: bool) -> int:
    """Several chunks and segments, a multiple of neither."""
    longest = max(min(lab.chunk, 64), lab.segment or 0)
    return prime_after(2 * longest + (7 if full else 2))


# -- the gates -----------------------------------------------------------------------------------------------------------

def forward(lab: Lab, gate: Gate, full: bool, _: Any) -> None:
    """y without and with a start state, and the memory that comes back."""
    for seed in range(2 if full else 1):
        case = lab.case(main_length(lab, full), seed=lab.seed + seed)
        inputs = lab.inputs(case)
        with torch.no_grad():
            y = lab.op(**inputs)
        lab.check(gate, case, {"y": y}, lab.expected(case), only={"y"})
        dtype = inputs["v" if "v" in lab.token_inputs else lab.token_inputs[0]].dtype
        if y.dtype not in (dtype, torch.float64):
            gate.checks.append(Check("y", math.inf, f"dtype {y.dtype}, expected {dtype}"))
    with torch.no_grad():
        y, memory = lab.op(**inputs, memory={"state": lab.start(case)}, return_memory=True)
    got = {"y": y, **{f"state {n}": x for n, x in memory["state"].items()},
           **{f"cache {n}": x for n, x in memory.get("cache", {}).items()}}
    want = lab.expected(case, start=True)
    lab.check(gate, case, got, want, "from a start state, ", only={n for n in want.tensors if not n.startswith("d ")})
    position = memory["position"].tolist()
    gate.checks.append(Check("position", 0.0 if position == [case.length] * case.batch else math.inf, f"{position}"))


def gradients(lab: Lab, gate: Gate, full: bool, _: Any) -> None:
    """Every input, learned start and given start state, from y alone and from y and the returned memory."""
    for seed in range(2 if full else 1):
        case = lab.case(main_length(lab, full), seed=lab.seed + seed)
        lab.check_run(gate, case)
        lab.check_run(gate, case, start=True, prefix="from a start state, ")


def lengths(lab: Lab, gate: Gate, full: bool, _: Any) -> None:
    """1, around a chunk, a prime, around and below a segment, none at all."""
    c, s = lab.chunk, lab.segment
    some = {1, c - 1, c, c + 1, prime_after(c + c // 2)} if full else {1, c - 1, c + 1}
    if s:
        some |= {max(1, s // 2), s - 1, s, s + 1, 2 * s, prime_after(3 * s)} if full else {s - 1, s + 1}
    for length in sorted(some - {0}):
        lab.check_run(gate, lab.case(length, batch=1), start=length % 2 == 1)
    case = lab.case(0)
    y, memory = lab.op(**lab.inputs(case), memory={"state": lab.start(case)}, return_memory=True)
    same = all(torch.equal(memory["state"][n], x) for n, x in lab.start(case).items())
    shape = lab.reference(**lab.plain(case)).shape
    gate.cases += 1
    gate.checks.append(Check("T=0", 0.0 if same and y.shape == shape else math.inf,
                             f"y {list(y.shape)}, expected {list(shape)}, state {'kept' if same else 'changed'}"))


def domain_ends(lab: Lab, gate: Gate, full: bool, _: Any) -> None:
    """Half of the entries of interval inputs at an end of the domain, infinity itself included, or far out."""
    domains = {n: i.domain for n, i in all_inputs(lab.spec).items()}
    domains |= {f"{n}_init": s.domain for n, s in lab.spec.rule.state.items() if s.init == "learned"}
    length = prime_after(lab.chunk + 9) if full else prime_after(min(lab.chunk, 32) + 3)
    for edge in EDGES:
        with_edge = [n for n, d in domains.items() if has_edge(d, edge)]
        if not with_edge:
            continue
        for name in (with_edge if full and len(with_edge) > 1 else []) + [None]:
            case = lab.case(length, batch=1, edge=edge, only=name)
            want = lab.expected(case).tensors["y"]
            if not torch.isfinite(want).any():
                gate.notes.append(f"{case}: the rule itself has no finite value there")
            lab.check_run(gate, case, start=name is None)
    if not gate.cases:
        gate.skipped = "no input has a domain with an end"


def chunk_invariance(lab: Lab, gate: Gate, full: bool, variants: Sequence[Callable]) -> None:
    """The same function at other chunk sizes: the ones given, or those that the op itself can be had with."""
    if not variants and hasattr(lab.op, "with_chunk"):
        sizes = [c for c in getattr(getattr(lab.op, "manifest", None), "chunks", ()) if c != lab.chunk]
        variants = [lab.op.with_chunk(c) for c in (sizes if full else sizes[:1])]
    if not variants:
        gate.skipped = "no other chunk sizes were given"
    for i, op in enumerate(variants):
        name = f"chunk {getattr(op, 'chunk', f'variant {i}')}, "
        for start in (False, True) if full else (False,):
            lab.check_run(gate, lab.case(main_length(lab, full)), op, start=start, prefix=name)


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
        got = compute(_in_parts(lab, points, step=False), lab.inputs(case), case)
        lab.check(gate, case, got, want, f"split at {points}, ")
    with torch.no_grad():
        for before in ([1, 4] if full else [2]):
            points = list(range(length - before, length))
            y = _in_parts(lab, points, step=True)(**lab.inputs(case))
            lab.check(gate, case, {"y": y}, want, f"{before} last by step, ", only={"y"})


def _in_parts(lab: Lab, points: list[int], step: bool) -> Callable:
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


def low_precision(lab: Lab, gate: Gate, full: bool, _: Any) -> None:
    """bfloat16 (and float16) inputs: the reference gets the rounded ones."""
    for dtype in (torch.bfloat16, torch.float16) if full else (torch.bfloat16,):
        case = lab.case(prime_after(lab.chunk + 5), dtype=dtype)
        lab.check_run(gate, case)
        lab.check_run(gate, case, start=True)


def fewer_heads(lab: Lab, gate: Gate, full: bool, _: Any) -> None:
    """Vector inputs with a divisor of the heads; one of them, and the scalars, with all."""
    if not any(all_inputs(lab.spec)[n].shape for n in lab.token_inputs):
        gate.skipped = "no vector input"
        return
    for heads, whole in ((4, 0), (6, -1)) if full else ((4, 0),):
        case = lab.case(prime_after(min(lab.chunk, 32) + 5), heads=heads, batch=1, fewer=True, all_heads=lab.token_inputs[whole])
        lab.check_run(gate, case)


def weights(lab: Lab, gate: Gate, full: bool, _: Any) -> None:
    """`return_weights`: the weight of every memory and which took part."""
    if lab.spec.cache is None:
        gate.skipped = "no cache"
        return
    case = lab.case(main_length(lab, full))
    with torch.no_grad():
        _, got = lab.op(**lab.inputs(case), return_weights=True)
        _, want = lab.reference(**lab.plain(case), return_weights=True)
    gate.cases += 1
    if got["weights"].shape != want["weights"].shape:
        gate.checks.append(Check("weights", math.inf, f"shape {list(got['weights'].shape)}, expected {list(want['weights'].shape)}"))
        return
    error = float((got["weights"].double().cpu() - want["weights"]).abs().max()) / max(1.0, float(want["weights"].abs().max()))
    gate.checks.append(Check("weights", error / WEIGHTS, f"{case}: off by {error:.2g}"))
    gate.checks.append(Check("selected", 0.0 if torch.equal(got["selected"].cpu(), want["selected"]) else math.inf, f"{case}"))


GATES: dict[str, Callable[[Lab, Gate, bool, Any], None]] = {
    "forward": forward, "gradients": gradients, "lengths": lengths, "domain ends": domain_ends,
    "chunk invariance": chunk_invariance, "split = whole": split, "packed = separate": packed, "repeatable": repeat,
    "stays in bounds": bounds, "16-bit inputs": low_precision, "fewer heads": fewer_heads, "weights": weights,
}
MAY_REFUSE = ("packed = separate", "16-bit inputs", "weights")
