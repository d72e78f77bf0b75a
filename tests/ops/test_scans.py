"""Scans over tokens on both back ends against the reference: outputs and every gradient, whole and split."""
from __future__ import annotations

import pytest
import torch

import mcgen
from mcgen.verify.world import all_inputs

from .scans import SCANS
from .test_corners import close, gradients, inputs_of, starts_of

# of the kernels: an update in place, two carries, a swap, a small state, per-head and token matrices, two layers, a solve, columns without
# a name, systems without a token
KERNELS = ["signed_decay", "huber", "two_states", "swapped", "small_states", "square", "shared_decay", "two_layers", "solved",
           "its_sum_read_twice", "columns_of_a_number", "systems_of_memories"]


@pytest.mark.parametrize("name, backend", [*((n, "torch") for n in SCANS), *((n, "tvm") for n in KERNELS)])
def test_against_the_reference(name, backend):
    spec = mcgen.load_spec(SCANS[name])
    op = mcgen.load(spec, backend=backend).with_chunk(16)
    inputs, starts = inputs_of(spec), starts_of(spec)
    y, grads = gradients(op, inputs, starts, torch.float32)
    wanted, exact = gradients(mcgen.reference(spec), inputs, starts, torch.float64)
    close(y, wanted, "y")
    for n, g in exact.items():
        close(grads[n], g, f"d {n}")


@pytest.mark.parametrize("name", ["signed_decay", "small_states", "solved"])
def test_split_is_whole_and_step_is_the_last_token(name):
    spec = mcgen.load_spec(SCANS[name])
    op = mcgen.load(spec, backend="tvm").with_chunk(16)
    known, inputs = all_inputs(spec), inputs_of(spec)
    per_token = [n for n in inputs if known[n].per == "token"]
    whole = op(**inputs)
    parts, memory = [], None
    for low, high in ((0, 5), (5, 24), (24, 30)):
        y, memory = op(**{n: x[:, low:high] if n in per_token else x for n, x in inputs.items()}, memory=memory, return_memory=True)
        parts.append(y)
    y, memory = op.step(**{n: x[:, 30] if n in per_token else x for n, x in inputs.items()}, memory=memory)
    close(torch.cat([*parts, y[:, None]], 1), whole.double(), "y")
