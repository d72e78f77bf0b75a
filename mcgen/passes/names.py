"""Names that a program needs for itself: a spec that uses one for an input or a state is refused, never confused."""
from __future__ import annotations

import re

from ..diagnostics import NotLowered
from ..symbolic.model import Model

PER_CALL = {"table", "position", "self"}                 # what every call carries beside the spec's own names
KEPT = ("state", "cache", "init", "run")                 # <kept>_<state> is a parameter of some program
DERIVED = re.compile(r"d_.*|(new|saved)_.*")             # cotangents, results, carries kept for the backward pass
SUMS = re.compile(r"partial|after_?\d+")                 # running sums of a cache


def check_names(model: Model) -> None:
    """Raises NotLowered for an input or state whose name a program of this op needs."""
    states = tuple(model.states)
    parts = {f"{kept}_{state}" for kept in KEPT for state in states}
    for name, declared in model.inputs.items():
        if name in PER_CALL | parts or DERIVED.fullmatch(name) or (model.cache and SUMS.fullmatch(name)):
            raise NotLowered(f"an input named {name!r}, a name that the compiled programs use themselves", declared.pos,
                             hint="choose another name")
    for name, state in model.states.items():
        if model.cache and (SUMS.fullmatch(name) or name in {f"sum_{other}" for other in states}):
            raise NotLowered(f"a state named {name!r}, a name that the compiled programs use themselves", state.pos,
                             hint="choose another name")
