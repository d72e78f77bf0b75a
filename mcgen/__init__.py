"""mcgen: recurrent memory rules, written as YAML specs, compiled to torch ops with derived backward passes.

    import mcgen
    op = mcgen.load("gated_delta+grm")         # a name, a path or a dict; built once, then reused
    y = op(q, k, v, g, beta, u)                # [B, T, H, V], differentiable
    ref = mcgen.reference("gated_delta+grm")   # the same call, token by token in float64
    layer = mcgen.nn.Layer("gated_delta+grm", d_model=256, heads=4)

Importing mcgen costs nothing: torch and the compiler are imported when they are first used.
"""
from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["load", "reference", "load_spec", "nn", "ops", "McgenError", "__version__"]

if TYPE_CHECKING:
    from . import nn, ops
    from .codegen.package import load
    from .diagnostics import McgenError
    from .spec import load_spec
    from .verify.oracle import reference

# public name -> the module that holds it; None: the name is itself a module
_LAZY: dict[str, str | None] = {
    "load": "mcgen.codegen.package",
    "reference": "mcgen.verify.oracle",
    "load_spec": "mcgen.spec",
    "McgenError": "mcgen.diagnostics",
    "nn": None,
    "ops": None,
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'mcgen' has no attribute {name!r}")
    home = _LAZY[name]
    value = importlib.import_module(f"mcgen.{name}") if home is None else getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
