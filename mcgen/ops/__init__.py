"""The shipped ops, ready-made: `from mcgen.ops import linear_attention`.

An op is imported from its generated package when it is first named. A wheel carries the packages inside mcgen; in a
checkout they are the folder generated/, where `from generated.linear_attention import linear_attention` is the same op.
"""
from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from ..diagnostics import did_you_mean

_HERE = Path(__file__).resolve().parent.parent
_CARRIED = _HERE / "_generated"
_CHECKOUT = _HERE.parent / "generated"


def directory() -> Path:
    """The folder of generated packages: inside the wheel, or beside mcgen/ in a checkout."""
    return _CARRIED if _CARRIED.is_dir() else _CHECKOUT


def available() -> list[str]:
    """Names of the shipped ops."""
    home = directory()
    return sorted(p.parent.name for p in home.glob("*/__init__.py")) if home.is_dir() else []


def package(name: str) -> ModuleType:
    """Import the generated package of this op."""
    if name not in available():
        raise AttributeError(f"no shipped op is called {name!r}{did_you_mean(name, available())}")
    if directory() == _CARRIED:
        return importlib.import_module(f"mcgen._generated.{name}")
    _adopt_checkout()
    return importlib.import_module(f"generated.{name}")


def _adopt_checkout() -> None:
    """Ensures: `generated` names the checkout's folder, whatever the working directory is."""
    if "generated" in sys.modules:
        return
    module = ModuleType("generated")
    module.__path__ = [str(_CHECKOUT)]
    sys.modules["generated"] = module


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(name)
    return getattr(package(name), name)


def __dir__() -> list[str]:
    return available()
