"""flash-linear-attention's kernels as peers; they need a GPU."""
from __future__ import annotations

import os
from importlib import import_module
from typing import Callable

import torch

from ..diagnostics import UsageError

PREFIX = "fla:"         # a peer "fla:x" is the function fla.ops.x.chunk_x, which calls its inputs as the op does


def dispatch() -> str:
    """In words, whether the library may choose other back ends for its kernels: ratios differ by it."""
    off = os.environ.get("FLA_DISABLE_BACKEND_DISPATCH") == "1"
    return "flash-linear-attention ran with its backend dispatch " + ("off" if off else "on (FLA_DISABLE_BACKEND_DISPATCH=1 turns it off)")


def form_of(peer: str) -> Callable[..., torch.Tensor]:
    """Takes q, k, v, .. [B, T, H, *] by name and gives y [B, T, H, V]. Raises ImportError where the library, or the op in it, is missing."""
    name = peer.removeprefix(PREFIX)
    if not name.isidentifier():
        raise UsageError(f"no peer is called {peer!r}", "peer")
    function = getattr(import_module(f"fla.ops.{name}"), f"chunk_{name}", None)
    if function is None:
        raise ImportError(f"fla.ops.{name} has no chunk_{name}")

    def call(**given: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = function(**given)[0]
        return y
    return call
