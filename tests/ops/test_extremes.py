"""Decays at their ends: outputs and gradients are finite and right where a factor is 1, almost 0, 0, or negative, and half
the channels at each."""
from __future__ import annotations

import pytest
import torch

import mcgen

from .specs import op
from .test_corners import close, gradients, inputs_of

K, V = 8, 16
QKV = {"q": ["K"], "k": {"shape": ["K"], "domain": "unit"}, "v": ["V"], "b": {"shape": [], "domain": [0, 1]}}
WRITE, ERASE = "outer(k, v)", "b * outer(k, v - ({kept}).T @ k)"
KEPT = {"log": ("exp(a) * S", []), "raw": ("a * S", []), "log_channels": ("diag(exp(a)) @ S", ["K"]), "raw_channels": ("diag(a) @ S", ["K"]),
        "log_values": ("S @ diag(exp(a))", ["V"]), "raw_values": ("S @ diag(a)", ["V"])}
ENDS = {"log": [0.0, -50.0, float("-inf"), -0.1], "raw": [0.0, 1.0, -1.0, -0.3]}


def cases():
    for kind, (kept, shape) in KEPT.items():
        for write in (WRITE,) if "values" in kind else (WRITE, ERASE):
            yield pytest.param(kind, kept, shape, write, id=f"{kind}-{'erase' if write == ERASE else 'write'}")


def factors(kind: str, shape: list, end: float, tokens: int, mixed: bool) -> torch.Tensor:
    """[2, T, 2, *shape]: all at the end, or every other channel and every third token."""
    sizes = [{"K": K, "V": V}[d] for d in shape]
    a = torch.full((2, tokens, 2, *sizes), end, dtype=torch.float64)
    if mixed:
        usual = -0.2 if kind.startswith("log") else 0.8
        a[:, ::3] = usual
        if shape:
            a[..., ::2] = usual
    return a


@pytest.mark.parametrize("kind, kept, shape, write", cases())
def test_ends_of_decays(kind, kept, shape, write):
    """float32 in rows of 16 tokens against the reference in float64, on 37 tokens."""
    domain = ["-inf", 0] if kind.startswith("log") else [-1, 1]
    spec = mcgen.load_spec(op(f"ends_{kind}", rule={"inputs": {**QKV, "a": {"shape": shape, "domain": domain}},
                                                    "update": {"S": f"{kept} + {write.format(kept=kept)}"}, "read": "S.T @ q + prev(S).T @ k"}))
    built, reference = mcgen.load(spec, backend="torch").with_chunk(16), mcgen.reference(spec)
    inputs = inputs_of(spec, 37)
    for end in ENDS[kind.split("_")[0]]:
        for mixed in (False, True):
            given = {**inputs, "a": factors(kind, shape, end, 37, mixed).float()}
            y, grads = gradients(built, given, {}, torch.float32)
            wanted, exact = gradients(reference, given, {}, torch.float64)
            close(y, wanted, f"y at {end}")
            for n, g in exact.items():
                assert torch.isfinite(grads[n]).all(), f"d {n} at {end}"
                close(grads[n], g, f"d {n} at {end}, {'half' if mixed else 'all'}")
