"""Gates on values: forward, gradients, lengths, ends of domains, chunk sizes, dtypes, heads."""
from __future__ import annotations

import math
from typing import Any, Callable, Sequence

import torch

from .draw import EDGES, has_edge
from .harness import Lab, cached, main_length, prime_after
from .report import Check, Gate
from .tolerance import HALVES
from .world import all_inputs


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
           **{f"cache {n}": x for n, x in cached(memory, lab.segments).items()}}
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


def low_precision(lab: Lab, gate: Gate, full: bool, _: Any) -> None:
    """bfloat16 (and float16) inputs: the reference gets the rounded ones."""
    for dtype in (lab.dtype,) if lab.dtype in HALVES else HALVES if full else HALVES[:1]:
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
