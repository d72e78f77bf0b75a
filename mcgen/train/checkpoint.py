"""A run's folder: the checkpoint it resumes from and the log of what was measured."""
from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..diagnostics import UsageError
from ..files import write_text, write_with
from .config import Config

LOG = ("step", "seconds", "training_bits", "held_out_bits")


@dataclass
class Progress:
    """How far a run is. `log`: rows of LOG; held_out_bits is None where it was not measured."""

    step: int = 0
    seconds: float = 0.0
    log: list[list[float | None]] = field(default_factory=list)

    @property
    def best(self) -> float | None:
        return min((row[3] for row in self.log if row[3] is not None), default=None)

    @property
    def last(self) -> float | None:
        return next((row[3] for row in reversed(self.log) if row[3] is not None), None)


def save(folder: Path, config: Config, progress: Progress, model: torch.nn.Module, optimiser: torch.optim.Optimizer) -> None:
    """Checkpoint and log, each whole or as before."""
    state = {"config": config.as_dict(), "progress": vars(progress), "model": model.state_dict(), "optimiser": optimiser.state_dict()}
    write_with(folder / "checkpoint.pt", lambda stream: torch.save(state, stream))
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(LOG)
    rows.writerows([["" if v is None else f"{v:.6g}" for v in row] for row in progress.log])
    write_text(folder / "log.csv", text.getvalue())


def resume(folder: Path, config: Config, model: torch.nn.Module, optimiser: torch.optim.Optimizer) -> Progress:
    """Where this run stopped; a new Progress if it never ran. Refuses a checkpoint of other settings."""
    path = folder / "checkpoint.pt"
    if not path.exists():
        return Progress()
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        saved = state["config"]
    except Exception as problem:
        raise UsageError(f"{path} can't be read: {problem}", hint="--fresh starts over") from problem
    changed = config.differences(saved)
    if changed:
        raise UsageError(f"{folder} holds a run with other settings: {', '.join(changed)}",
                         hint="--fresh starts over, --name NAME keeps both")
    model.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    return Progress(**state["progress"])
