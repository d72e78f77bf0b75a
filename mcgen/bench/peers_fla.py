"""flash-linear-attention's kernels as peers, by the structure of the memory that they compute; they need a GPU."""
from __future__ import annotations

import os
from importlib import import_module
from typing import Callable

import torch

# peer -> module, function, what the function calls each of an op's inputs
_FUNCTIONS = {
    "fla_decayed": ("fla.ops.simple_gla", "chunk_simple_gla", ("q", "k", "v", "g")),
    "fla_diagonal": ("fla.ops.gla", "chunk_gla", ("q", "k", "v", "g")),
    "fla_rank_one": ("fla.ops.delta_rule", "chunk_delta_rule", ("q", "k", "v", "beta")),
    "fla_decayed_rank_one": ("fla.ops.gated_delta_rule", "chunk_gated_delta_rule", ("q", "k", "v", "g", "beta")),
}
NAMES = tuple(_FUNCTIONS)


def dispatch() -> str:
    """In words, whether the library may choose other back ends for its kernels: ratios differ by it."""
    off = os.environ.get("FLA_DISABLE_BACKEND_DISPATCH") == "1"
    return "flash-linear-attention ran with its backend dispatch " + ("off" if off else "on (FLA_DISABLE_BACKEND_DISPATCH=1 turns it off)")


def form_of(peer: str) -> Callable[..., torch.Tensor]:
    """Takes q, k, v, .. [B, T, H, *] by name and gives y [B, T, H, V]. Raises ImportError where the library is missing."""
    module, name, inputs = _FUNCTIONS[peer]
    function = getattr(import_module(module), name)

    def call(**given: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = function(**{n: given[n] for n in inputs})[0]
        return y
    return call
