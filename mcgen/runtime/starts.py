"""Where states start: zeros, a learned tensor, or an expression of per-head inputs."""
from __future__ import annotations

from types import ModuleType

import torch

from mcgen.diagnostics import UsageError

from .dims import sizes_of
from .manifest import Manifest
from .plan import Plan
from .zeros import read_only_zeros


class StateStarts:
    """The start of each state of one call, to be read. `ready`: the prepared fields."""

    def __init__(self, manifest: Manifest, program: ModuleType, plan: Plan, ready: dict[str, torch.Tensor]):
        self._states = {state.name: state for state in manifest.states}
        self._manifest, self._program, self._plan, self._ready = manifest, program, plan, ready
        self._expressions: dict[str, torch.Tensor] | None = None

    def per_head(self, name: str) -> torch.Tensor:
        """[H, *shape], contiguous. Raises UsageError when a learned start is not given."""
        state, plan = self._states[name], self._plan
        if state.init == "zeros":
            return read_only_zeros((plan.heads, *sizes_of(state.shape, plan.sizes)), plan.dtype, plan.device)
        if state.init == "learned":
            return self._learned(name)
        if self._expressions is None:
            inputs = {f.name: self._ready[f.name] for f in self._manifest.inputs if f.per == "head"}
            sizes = {**plan.sizes, "H": plan.heads}
            self._expressions = self._program.initial_states(inputs, sizes, dtype=plan.dtype, device=plan.device)
        return self._expressions[name].contiguous()

    def per_row(self, name: str) -> torch.Tensor:
        """[B, H, *shape]: the same start for every sequence."""
        state, plan = self._states[name], self._plan
        if state.init == "zeros":
            return read_only_zeros((plan.batch, plan.heads, *sizes_of(state.shape, plan.sizes)), plan.dtype, plan.device)
        start = self.per_head(name)
        return start.unsqueeze(0).expand(plan.batch, *start.shape)

    def _learned(self, name: str) -> torch.Tensor:
        given = self._ready.get(f"{name}_init")
        if given is None:
            shape = ", ".join(str(entry) for entry in ("H", *self._states[name].shape))
            raise UsageError(f"{self._manifest.name} needs {name}_init: state {name} starts at a learned value", "missing-input",
                             f"give {name}_init=tensor [{shape}]")
        return given
