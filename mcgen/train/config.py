"""All numbers of a training run. The defaults take a few minutes on two CPU cores."""
from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Config:
    """The model, the optimiser and the schedule; saved with the run."""

    spec: str = ""
    steps: int = 400
    batch: int = 8
    length: int = 512
    d_model: int = 128
    layers: int = 4
    heads: int = 4
    short_conv: int = 4
    segment_length: int | None = None
    rate: float = 3e-3
    warmup: int = 40
    decay: float = 0.1
    clip: float = 1.0
    evaluate_every: int = 50
    evaluate_windows: int = 32
    seed: int = 0

    def rate_at(self, step: int) -> float:
        """Linear warm-up, then half a cosine down to a tenth."""
        if step < self.warmup:
            return self.rate * (step + 1) / self.warmup
        done = min(1.0, (step - self.warmup) / max(1, self.steps - self.warmup))
        return self.rate * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * done)))

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def differences(self, other: dict[str, Any]) -> list[str]:
        """Names of the numbers in which a saved run differs from this one; a run may be prolonged or measured otherwise."""
        free = {"steps", "warmup", "evaluate_every", "evaluate_windows"}
        return [k for k, v in self.as_dict().items() if k not in free and other.get(k) != v]
