"""The training loop: resumable, safe to interrupt, the same numbers for the same seed."""
from __future__ import annotations

import math
import signal
import threading
import time
from pathlib import Path
from typing import Any, Callable

import torch
from torch.nn import functional as F

from ..nn import LanguageModel
from .checkpoint import Progress, resume, save
from .config import Config
from .data import Corpus

Watcher = Callable[[Progress, float, "float | None"], None]


def make_model(op: Any, config: Config) -> LanguageModel:
    """The model of this configuration, from its seed."""
    torch.manual_seed(config.seed)
    return LanguageModel(op, vocab=256, d_model=config.d_model, n_layers=config.layers, heads=config.heads,
                         short_conv=config.short_conv)


def make_optimiser(model: torch.nn.Module, config: Config) -> torch.optim.Optimizer:
    """AdamW; weight decay on matrices only."""
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    others = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": matrices, "weight_decay": config.decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.rate, betas=(0.9, 0.98), eps=1e-9)


def bits(model: torch.nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    """Mean bits per byte of predicting tokens[:, 1:]."""
    logits = model(tokens[:, :-1])
    return F.cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten()) / math.log(2)


@torch.no_grad()
def evaluate(model: torch.nn.Module, corpus: Corpus, config: Config) -> float:
    """Bits per byte on the held-out windows."""
    windows = corpus.windows(config.evaluate_windows, config.length)
    return float(torch.stack([bits(model, w) for w in windows.split(config.batch)]).mean())


class Interrupt:
    """While active, the first Ctrl-C only sets `asked`, so that a step is finished; the second one acts at once."""

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> Interrupt:
        self.main = threading.current_thread() is threading.main_thread()
        if self.main:
            self.before = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        if self.main:
            signal.signal(signal.SIGINT, self.before)

    def _ask(self, *_: object) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


def train(op: Any, corpus: Corpus, config: Config, folder: Path, watch: Watcher = lambda *_: None) -> tuple[LanguageModel, Progress]:
    """Train to the configured step, from where the folder's checkpoint stopped.

    Ensures: on Ctrl-C the step is finished and saved before KeyboardInterrupt is raised.
    """
    model = make_model(op, config)
    optimiser = make_optimiser(model, config)
    progress = resume(folder, config, model, optimiser)
    with Interrupt() as interrupt:
        while progress.step < config.steps:
            began = time.perf_counter()
            loss = _step(model, optimiser, corpus, config, progress.step)
            progress.step += 1
            measured = None
            if not interrupt.asked and (progress.step % config.evaluate_every == 0 or progress.step == config.steps):
                measured = evaluate(model, corpus, config)
            progress.seconds += time.perf_counter() - began
            progress.log.append([progress.step, progress.seconds, loss, measured])
            watch(progress, loss, measured)
            if measured is not None or interrupt.asked:
                save(folder, config, progress, model, optimiser)
            if interrupt.asked:
                raise KeyboardInterrupt
    return model, progress


def _step(model: torch.nn.Module, optimiser: torch.optim.Optimizer, corpus: Corpus, config: Config, step: int) -> float:
    """One update; returns the loss before it, in bits per byte."""
    for group in optimiser.param_groups:
        group["lr"] = config.rate_at(step)
    optimiser.zero_grad(set_to_none=True)
    loss = bits(model, corpus.batch(config.batch, config.length, config.seed, step))
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
    optimiser.step()
    value = float(loss.detach())
    if not math.isfinite(value):
        raise FloatingPointError(f"the loss is {value} at step {step + 1}")
    return value
