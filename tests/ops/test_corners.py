"""Corner specs and shipped ops on both back ends against the reference: outputs and every gradient, whole and split."""
from __future__ import annotations

from pathlib import Path

import pytest
import torch

import mcgen
from mcgen.runtime.schedule import Schedule
from mcgen.verify.draw import Case, draw
from mcgen.verify.world import all_inputs

from .specs import CORNERS

SIZES = {"K": 8, "V": 16, "R": 8, "D": 16}
SHIPPED = sorted(p.parent.name for p in (Path(__file__).parents[2] / "generated").glob("*/spec.yaml"))
UNOPTIMISED = Schedule.of(16, {"opt_level": 0})       # a corner tries our passes; LLVM's would take most of its time, and shipped ops have them
TOLERANCE = 2e-5                # of the largest entry: float32 with a few hundred terms


def plain(spec):
    """A spec without the keys that a corner takes away by None."""
    return {k: {a: b for a, b in v.items() if b is not None} if isinstance(v, dict) else v for k, v in spec.items()}


def inputs_of(spec, length=31):
    drawn = draw(spec, Case(length, batch=2, heads=2, seed=3), SIZES)
    return {n: x.float() for n, x in drawn.items()}


def starts_of(spec):
    torch.manual_seed(5)
    return {f"{s.name}_init": torch.randn(2, *(SIZES.get(d, d) for d in s.shape))
            for s in spec.rule.state.values() if s.init == "learned"}


def gradients(op, inputs, starts, dtype):
    leaves = {n: x.to(dtype).requires_grad_() for n, x in {**inputs, **starts}.items()}
    y = op(**leaves)
    torch.manual_seed(7)
    loss = (y * torch.randn(y.shape, dtype=torch.float64).to(y.dtype)).sum()
    found = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
    return y.detach(), {n: g for n, g in zip(leaves, found)}


def close(got, wanted, what):
    wanted = torch.zeros_like(got) if wanted is None else wanted
    got = torch.zeros_like(wanted) if got is None else got
    error, scale = (got.double() - wanted).abs().max().item(), wanted.abs().max().item()
    assert error <= TOLERANCE * max(scale, 1.0), f"{what}: {error:.2g} of {scale:.2g}"


@pytest.mark.parametrize("name", [*CORNERS, *SHIPPED])
def test_against_the_reference(name):
    source = plain(CORNERS[name]) if name in CORNERS else Path(__file__).parents[2] / "generated" / name / "spec.yaml"
    length = None if name in CORNERS or "cache:" not in Path(source).read_text() else 12
    spec = mcgen.load_spec(source, segment_length=length)
    inputs, starts = inputs_of(spec), starts_of(spec)
    wanted, exact = gradients(mcgen.reference(spec), inputs, starts, torch.float64)
    for backend in ("torch", "tvm"):
        op = mcgen.load(spec, backend=backend)
        op = op.with_schedule(UNOPTIMISED) if backend == "tvm" and name in CORNERS else op.with_chunk(16)
        y, grads = gradients(op, inputs, starts, torch.float32)
        close(y, wanted, f"{backend}: y")
        for n, g in exact.items():
            close(grads[n], g, f"{backend}: d {n}")


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if i % 3 == 0 else pytest.mark.slow) for i, n in enumerate(CORNERS)])
def test_split_is_whole(name):
    """A third in every run: the gates and drawn specs split calls too."""
    spec = mcgen.load_spec(plain(CORNERS[name]))
    op = mcgen.load(spec, backend="tvm").with_chunk(16)
    known = all_inputs(spec)
    inputs, starts = inputs_of(spec), starts_of(spec)
    inputs = {**starts, **inputs}
    whole = op(**inputs)
    parts, memory = [], None
    for low, high in ((0, 5), (5, 24), (24, 25), (25, 31)):
        part = {n: x[:, low:high] if n in known and known[n].per == "token" else x for n, x in inputs.items()}
        y, memory = op(**part, memory=memory, return_memory=True)
        parts.append(y)
    close(torch.cat(parts, 1), whole.double(), "y")


@pytest.mark.parametrize("factor", ["a * b", "-(a * tanh(b))", "a * c * b", "a / (1 + b**2) * b"])
def test_a_factor_of_0_beside_a_negative_one(factor):
    """Its gradient has the sign of the others."""
    inputs = {"q": ["K"], "k": ["K"], "v": ["V"], **{n: {"shape": [], "domain": [-1, 1]} for n in "abc" if n in factor.replace("tanh", "")}}
    spec = mcgen.load_spec({"name": "factors", "rule": {"inputs": inputs, "state": {"S": ["K", "V"]},
                                                        "update": {"S": f"{factor} * S + outer(k, v)"}, "read": "S.T @ q"}})
    drawn = inputs_of(spec, 11)
    drawn["a"][:, ::3] = 0.0
    drawn["b"][:, ::2] = -drawn["b"][:, ::2].abs()
    wanted, exact = gradients(mcgen.reference(spec), drawn, {}, torch.float64)
    for backend in ("torch", "tvm"):
        y, grads = gradients(mcgen.load(spec, backend=backend).with_chunk(16), drawn, {}, torch.float32)
        close(y, wanted, f"{backend}: y")
        for n, g in exact.items():
            close(grads[n], g, f"{backend}: d {n}")
