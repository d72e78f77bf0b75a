"""Search launch parameters of an op for this device, or for a named target without one.

All arguments go to the tuner, which is found by the entry point group `mcgen.tuner`, or beside this package in a checkout that isn't installed.
"""
from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any, Callable

CHECKOUT = Path(__file__).parents[2]


def forward(rest: list[str]) -> int:
    """Hand all arguments to the tuner."""
    tuner = find()
    if tuner is not None:
        return int(tuner(rest) or 0)
    if {"-h", "--help"} & set(rest):
        print(f"usage: mcgen tune OP ...\n\n{__doc__}\nThis installation carries no tuner.")
        return 0
    from ..diagnostics import EnvironmentLacks

    raise EnvironmentLacks("this installation carries no tuner: ops run with their records, or their default launch parameters",
                           hint="reinstall mcgen; nothing else needs the tuner")


def find() -> Callable[[list[str]], Any] | None:
    """The first entry point of the group whose module exists; else the checkout's own."""
    from importlib.metadata import entry_points

    for point in sorted(entry_points(group="mcgen.tuner"), key=lambda p: p.name == "checkout"):
        try:
            if importlib.util.find_spec(point.module) is not None:
                found: Callable[[list[str]], Any] = point.load()
                return found
        except ModuleNotFoundError:
            continue
    beside = importlib.util.find_spec("tuner") if (CHECKOUT / "tuner" / "cli.py").exists() else None
    if beside is None or beside.origin != str(CHECKOUT / "tuner" / "__init__.py"):          # another's package of that name
        return None
    own: Callable[[list[str]], Any] = importlib.import_module("tuner.cli").main
    return own
