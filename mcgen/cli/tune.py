"""Search launch parameters of an op for this device, or for a named target without one.

All arguments go to the tuner, which is found by the entry point group `mcgen.tuner`.
"""
from __future__ import annotations

import importlib.util
from typing import Any, Callable


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
    """The first entry point of the group whose module exists."""
    from importlib.metadata import entry_points

    for point in sorted(entry_points(group="mcgen.tuner"), key=lambda p: p.name == "checkout"):
        try:
            if importlib.util.find_spec(point.module) is not None:
                found: Callable[[list[str]], Any] = point.load()
                return found
        except ModuleNotFoundError:
            continue
    return None
