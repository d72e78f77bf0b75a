"""Every rule of the library against its paper's formula in a plain loop: outputs and the gradient of every input, alone and
under a gate over cached memories."""
from __future__ import annotations

import pytest
import torch

import mcgen
from mcgen.spec import library_names, load_spec
from mcgen.verify.harness import Lab, compare, compute
from mcgen.verify.world import all_inputs

from .formulas import FORMULAS, run

SIZES = {"K": 8, "V": 16}
LENGTH, SEGMENT, CHUNK = 37, 12, 16            # ragged chunks, and a chunk that ends where no segment does
OPS = [(rule, cached) for rule in FORMULAS for cached in (False, True)]
QUICK = {("linear_attention_normalised", True), ("rwkv7", False)}     # on TVM, of two structures


def test_no_rule_is_forgotten():
    """What is left are the rules that take gradients at the start of a run."""
    assert set(FORMULAS) == {n for n in library_names("rules") if load_spec(n).rule.gradient_chunk is None}


def disagreements(rule: str, cached: bool, backend: str, dtype: torch.dtype) -> list[str]:
    """Tensors of the op that differ from the formula's by more than `mcgen.verify` allows, each with where and by how much."""
    spec = load_spec(f"{rule}+grm" if cached else rule, segment_length=SEGMENT if cached else None)
    op = mcgen.load(spec, backend=backend).with_chunk(CHUNK)
    lab = Lab(op, spec, sizes=SIZES)
    case = lab.case(LENGTH, dtype=dtype)
    inputs = lab.plain(case)
    per_head = [n for n, i in all_inputs(spec).items() if i.per == "head"]

    def formula(**given: torch.Tensor) -> torch.Tensor:
        return run(FORMULAS[rule], given, per_head, SIZES, SEGMENT if cached else None)

    wanted = compute(formula, {n: x.double() for n, x in inputs.items()}, case)
    got = compute(op, inputs, case)
    assert got.keys() == wanted.keys() and all(x.isfinite().all() and x.abs().max() > 0 for x in wanted.values())
    bounds = lab.expected(case).allowed
    checks = [compare(n, got[n], x, bounds[n].for_dtype(dtype), str(case)) for n, x in wanted.items()]
    return [f"{c.what}: {c.ratio:.3g} times the tolerance, {c.where}" for c in checks if not c.ratio <= 1]


@pytest.mark.parametrize("rule, cached", OPS)
def test_torch_program(rule, cached):
    assert not disagreements(rule, cached, "torch", torch.float64)


@pytest.mark.parametrize("rule, cached", [pytest.param(*o, marks=[] if o in QUICK else pytest.mark.slow) for o in OPS])
def test_compiled_kernels(rule, cached):
    assert not disagreements(rule, cached, "tvm", torch.float32)
