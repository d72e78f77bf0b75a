"""The training loop: resumable, safe to interrupt, the same numbers for the same seed."""
from __future__ import annotations

import math
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


def train(op: Any, corpus: Corpus, config: Config, folder: Path, watch: Watcher = lambda *_: None) -> tuple[LanguageModel, Progress]:
    """Train to the configured step, from where the folder's checkpoint stopped.

    Ensures: after an interruption (KeyboardInterrupt passes through) the checkpoint is one of a finished step.
    """
    model = make_model(op, config)
    optimiser = make_optimiser(model, config)
    progress = resume(folder, config, model, optimiser)
    saved = progress.step
    try:
        while progress.step < config.steps:
            began = time.perf_counter()
            loss = _step(model, optimiser, corpus, config, progress.step)
            progress.step += 1
            measured = None
            if progress.step % config.evaluate_every == 0 or progress.step == config.steps:
                measured = evaluate(model, corpus, config)
            progress.seconds += time.perf_counter() - began
            progress.log.append([progress.step, progress.seconds, loss, measured])
            watch(progress, loss, measured)
            if measured is not None:
                save(folder, config, progress, model, optimiser)
                saved = progress.step
    except KeyboardInterrupt:
        if progress.step > saved and _finished_step(optimiser, progress):
            save(folder, config, progress, model, optimiser)
        raise
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


def _finished_step(optimiser: torch.optim.Optimizer, progress: Progress) -> bool:
    """Whether every parameter has had exactly `progress.step` updates, so that the state in memory is a whole one."""
    counts = {int(state["step"]) for state in optimiser.state.values() if "step" in state}
    if counts != {progress.step}:
        return False
    return not progress.log or progress.log[-1][0] == progress.step
