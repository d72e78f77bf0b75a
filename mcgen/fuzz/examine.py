"""One case on every back end against the reference: forward, memory and every gradient."""
from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Iterator, Sequence

import torch

from ..codegen.package import texts, write
from ..diagnostics import NotLowered
from ..passes.bisect import trial_of, values
from ..passes.choose import choose
from ..passes.pipeline import Compiled, compile_model
from ..runtime import load_package
from ..spec import dump_spec, load_spec, load_text
from ..spec.nodes import Spec
from ..symbolic.elaborate import elaborate
from ..symbolic.facts import numbers
from ..symbolic.gradient import expand_gradients
from ..verify.draw import Case as Draw
from ..verify.gates_sequences import compare_weights, in_parts
from ..verify.harness import Expected, Lab, Tensors, compute, cotangent
from ..verify.report import Check, Gate
from .spared import Rounded, Spared, in_float64, moved, ties
from .strategy import Case

BACKENDS = ("interpreter", "torch", "tvm", "triton")
TAME_TOKENS = 24
SAMPLES = 8


class Wrong(Exception):
    """A result that differs from the reference by more than its tolerance: the back end, and the failed checks."""

    def __init__(self, backend: str, checks: Sequence[Check]):
        self.backend, self.checks = backend, tuple(checks)
        super().__init__(f"{backend}: " + "; ".join(f"{c.what} off by {c.ratio:.3g} tolerances ({c.where})" for c in self.checks[:3]))


@dataclass
class Outcome:
    """kind: 'chunk form', 'scan', 'refused', or of `spared` 'ties', 'diverges', 'cancels' or 'jumps'. detail: what was refused, the scanned
    states, or the gradients that diverge, cancel or jump. blind: nothing finite to compare."""

    kind: str
    detail: str = ""
    blind: bool = False
    checks: int = 0
    ran: list[str] = field(default_factory=list)


def examine(case: Case, backends: Sequence[str] = ("interpreter", "torch")) -> Outcome:
    """Requires: the spec is legal. Raises Wrong for a wrong result; whatever else it raises is a defect too.

    What is wrong by one measurement of the reference's own rounding is held to the largest of several. What is then wrong only where no
    run with rounding can be held to anything is so counted; see `spared`.
    """
    for samples in (1, SAMPLES):
        try:
            return _examine(case, backends, samples)
        except Wrong:
            pass
    return _examine(case, backends, SAMPLES, spare=True)


def _examine(case: Case, backends: Sequence[str], samples: int, spare: bool = False) -> Outcome:
    spec = load_spec(case.spec)
    elaborate(spec)
    own = load_text(dump_spec(spec), "spec.yaml")
    try:
        compiled = compile_model(elaborate(own))
    except NotLowered as refusal:
        return Outcome("refused", refusal.diagnostics[0].message.removeprefix("not lowered yet: "))
    scanned = choose(expand_gradients(compiled.model)).scanned
    outcome = Outcome("scan" if scanned else "chunk form", ", ".join(scanned))
    lab = Lab(None, spec, dtype=case.torch_dtype, sizes=case.sizes, seed=case.seed, samples=samples)         # type: ignore[arg-type]
    lab.tame(min(max(case.tokens, 1), TAME_TOKENS))
    draw = lab.case(case.tokens, batch=case.batch, heads=case.heads, edge=case.edge, fewer=case.fewer and case.heads > 1,
                    all_heads=next((n for n in lab.token_inputs if spec_inputs(spec)[n].shape), None))
    if ties(lab, draw):
        return Outcome("ties")
    program = partial(interpreted, lab, draw, compiled, case.inner)
    spared = Spared.of(program, moved(lab, draw)) if spare and case.tokens else None
    if "interpreter" in backends and case.tokens:
        gate = Gate("interpreter")
        want, got = lab.expected(draw), program()
        lab.check(gate, draw, got, spared.in_float64(want) if spared else in_float64(want), "interpreter, ", only=set(got))
        _count(gate, outcome)
    if any(name != "interpreter" for name in backends):
        with _package(compiled, spec) as folder:
            for backend in (name for name in backends if name != "interpreter"):
                if backend == "triton" and not (folder / "triton_kernels.py").is_file():
                    continue                                # what no GPU kernel does yet
                gate = Gate(backend)
                lab.op = load_package(folder, backend=backend).with_chunk(case.chunk)
                calls(gate, lab, draw, case, spared)
                _count(gate, outcome)
    if spared is not None and spared.kind is not None:
        outcome.kind, outcome.detail = spared.kind, ", ".join(sorted(spared.names))
    outcome.blind = any(not torch.isfinite(x).any() for e in lab._expected.values() for n, x in e.tensors.items() if n == "y" and x.numel())
    return outcome


def _count(gate: Gate, outcome: Outcome) -> None:
    outcome.ran.append(gate.name)
    outcome.checks += len(gate.checks)
    if not gate.ok:
        raise Wrong(gate.name, [c for c in gate.checks if not c.ok])


def spec_inputs(spec: Spec) -> dict:
    return {**spec.rule.inputs, **(spec.cache.inputs if spec.cache else {})}


@contextmanager
def _package(compiled: Compiled, spec: Spec) -> Iterator[Path]:
    home = Path(tempfile.mkdtemp(prefix="mcgen-fuzz-"))
    try:
        yield write(texts(compiled, spec), home / spec.name)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def calls(gate: Gate, lab: Lab, draw: Draw, case: Case, spared: Spared | None = None) -> None:
    """The op whole, in parts with its memory handed on, packed, and its weights."""
    def check(got: Tensors, want: Expected, prefix: str = "", only: set[str] | None = None) -> None:
        if spared is None:
            return lab.check(gate, draw, got, want, prefix, only=only)
        spared.diverging |= want.beyond
        lab.check(gate, draw, got, spared.bounds(want), prefix, only=(set(want.tensors) if only is None else only) - want.beyond)

    check(compute(lab.op, lab.inputs(draw), draw, lab.start(draw) if case.start else None, segments=lab.segments), lab.expected(draw, case.start))
    points = [p for p in case.cuts if p <= case.tokens]
    if points and case.tokens:
        # in 16 bits each part's gradient of what they share would be rounded before their sum, in which they may cancel
        given = {n: x if n in lab.token_inputs else x.float() for n, x in lab.inputs(draw).items()}
        got = compute(in_parts(lab, points, step=False), given, draw)
        check(got, lab.expected(draw), f"split at {points}, ")
        with torch.no_grad():
            last = list(range(max(case.tokens - 2, 0), case.tokens))
            y = in_parts(lab, last, step=True)(**lab.inputs(draw))
        check({"y": y}, lab.expected(draw), "last tokens by step, ", only={"y"})
    if points and case.batch == 1:
        offsets = torch.tensor([0, *points, case.tokens], dtype=torch.int32)
        got = compute(lambda **x: lab.op(**x, cu_seqlens=offsets), lab.inputs(draw), draw)
        want = lab.expected_of(lambda reference, **x: reference(**x, cu_seqlens=offsets), draw)
        check(got, want, f"cu_seqlens={offsets.tolist()}, ")
    if lab.spec.cache is not None and case.tokens:
        compare_weights(lab, gate, draw)


def interpreted(lab: Lab, draw: Draw, compiled: Compiled, chunk: int, rounded: Rounded = lambda x: x) -> Tensors:
    """y and gradients by the last programs of the pipeline in float64, with rows of `chunk` tokens."""
    model = compiled.model
    sizes = {n: int(v) for n, v in numbers(model, {n: s for n, s in lab.sizes.items() if n not in model.derived}).items() if n not in model.constants}
    head = lambda name: 2 if name in lab.token_inputs else 0
    plain = {n: x.double() for n, x in lab.plain(draw).items()}
    trial = trial_of(model, {n: x.repeat_interleave(draw.heads // x.shape[head(n)], head(n)) for n, x in plain.items()}, sizes, chunk)
    like = lab.expected(draw).tensors["y"]
    found = values(compiled, replace(trial, cotangents={"y": cotangent("y", like, draw).transpose(1, 2).flatten(0, 1)}), rounded)
    got = {"y": found["y"].unflatten(0, (draw.batch, draw.heads)).transpose(1, 2)}
    for name in model.inputs:
        grad = found.get(f"grad {name}")
        if grad is None or model.inputs[name].per == "head" and model.inits:       # an init's gradient is its caller's
            continue
        grad = grad.unflatten(0, (draw.batch, draw.heads))
        grad = grad.transpose(1, 2) if model.inputs[name].per == "token" else grad.sum(0)
        got[f"d {name}"] = grad.unflatten(head(name), (plain[name].shape[head(name)], -1)).sum(head(name) + 1)
    return got
