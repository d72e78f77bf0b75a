"""Triton kernels against the reference: in the interpreter here, on the device itself where there is a GPU (`pytest -m gpu`)."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from .cases import BLOCKS, CASES, FUSED, KNOWN, QUICK, TOLERANCE, differences, fused_op, load_spec, op_of, packed_difference, results, step_difference

pytest.importorskip("triton")
ROOT = Path(__file__).resolve().parents[3]
SHIPPED = sorted(p.parent.name for p in (ROOT / "generated").glob("*/spec.yaml"))


def interpreted(folder: Path, names: list[str]) -> dict:
    return printed("runtime.triton.interpreted", str(folder), *names)


def printed(module: str, *arguments: str) -> dict:
    done = subprocess.run([sys.executable, "-m", module, *arguments], capture_output=True, text=True,
                          cwd=ROOT / "tests", env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_interpreted(tmp_path):
    """All in one process, since starting it and Triton is what takes time."""
    for name, found in interpreted(tmp_path, list(QUICK)).items():
        assert found.pop("written outside") == 0 and found.pop("of the other form") == 0, name
        assert len(found) > 4 and not {n: e for n, e in found.items() if not e < TOLERANCE}, name


def test_libraries():
    """Inverses, digits, products in turns, dense systems, and products of factors that are 1, tiny, 0 or negative: errors over the largest entry."""
    found = printed("runtime.triton.libraries")
    assert found.pop("in turns: not finite") == [float("inf"), float("-inf"), "nan", "nan"]
    assert len(found) == 74 and not {n: e for n, e in found.items() if not e < 1e-6}


@pytest.mark.slow
@pytest.mark.parametrize("name", [*(n for n in (*CASES, *FUSED, *BLOCKS) if n not in QUICK), *KNOWN])
def test_all_others_interpreted(tmp_path, name):
    found = interpreted(tmp_path, [name])[name]
    assert not found.pop("written outside") and not found.pop("of the other form") and not {n: e for n, e in found.items() if not e < TOLERANCE}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", [*CASES, *FUSED, *KNOWN, *SHIPPED])
def test_on_the_gpu(tmp_path, name):
    """Several rows of 64 tokens, the last one short; the same call twice gives the same bits."""
    spec = load_spec(str(ROOT / "generated" / name / "spec.yaml") if name in SHIPPED else {**CASES, **FUSED}.get(name, name))
    sizes = {"K": 64, "V": 64, "R": 32, "D": 128}
    op = fused_op(spec, tmp_path, 64) if name in FUSED else op_of(spec, tmp_path, 64)
    found = differences(op, spec, tokens=301, batch=2, heads=3, device="cuda", sizes=sizes)
    found["steps"] = step_difference(op, spec, 5, "cuda", sizes)
    found["packed"] = packed_difference(op, op_of(spec, tmp_path, 64, "torch"), spec, "cuda", sizes, ends=(0, 0, 70, 71, 140))
    assert not {n: e for n, e in found.items() if not e < 5 * TOLERANCE}
    inputs = {f.name: torch.rand(*((2, 301, 3) if f.per == "token" else (3,)), *(sizes.get(d, d) for d in f.shape), device="cuda")
              * (-1 if f.domain[2] == 0 else 1) for f in op.manifest.fields}
    first, second = results(op, inputs), results(op, inputs)
    assert all(torch.equal(first[n], second[n]) for n in first)
