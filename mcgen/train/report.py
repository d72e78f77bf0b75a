"""What is left of a run: the curve as PNG, a sample of text, a summary table."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ..files import write_text, write_with
from ..nn import LanguageModel
from .checkpoint import Progress
from .config import Config

PROMPT = "def "


def sample(model: LanguageModel, length: int, seed: int = 0, prompt: str = PROMPT, temperature: float = 0.7) -> str:
    """Text after the prompt, byte by byte through the op's `step`."""
    start = torch.tensor(list(prompt.encode()))
    chance = torch.Generator().manual_seed(seed)
    made = model.generate(start, length, temperature=temperature, generator=chance)[0]
    return prompt + bytes(made.tolist()).decode(errors="replace").replace("\x00", "\n")


def plot(progress: Progress, unigram: float, title: str, path: Path) -> None:
    """Bits per byte against steps: training (smoothed) and held out, with the unigram entropy as a line."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    steps, training = [row[0] or 0.0 for row in progress.log], [row[2] or 0.0 for row in progress.log]
    held = [(row[0], row[3]) for row in progress.log if row[3] is not None]
    axes.plot(steps, training, color="0.75", linewidth=0.8, label="training, each batch")
    axes.plot(*zip(*held), "o-", color="C0", markersize=4, label="held out")
    axes.axhline(unigram, color="C3", linestyle="--", linewidth=1, label=f"unigram entropy {unigram:.2f}")
    axes.set(xlabel="step", ylabel="bits per byte", title=title, ylim=(0, max(unigram * 1.3, 6)))
    axes.legend()
    axes.grid(alpha=0.3)
    write_with(path, lambda stream: figure.savefig(stream, format="png", dpi=140))


def summary(config: Config, progress: Progress, unigram: float, facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Rows of the final table."""
    tokens = progress.step * config.batch * config.length
    rate = tokens / progress.seconds if progress.seconds else 0.0
    held = f"{progress.last:.3f}" if progress.last is not None else "not measured"
    return [("op", config.spec), *((k, str(v)) for k, v in facts.items()),
            ("steps", f"{progress.step} of {config.steps}, {config.batch} x {config.length} bytes"),
            ("bytes seen", f"{tokens:,}"),
            ("time", f"{progress.seconds:.0f} s, {rate:,.0f} bytes/s"),
            ("held-out bits per byte", held),
            ("unigram entropy", f"{unigram:.3f}")]


def save_summary(rows: list[tuple[str, str]], text: str, folder: Path) -> None:
    table = "\n".join(["| | |", "|---|---|", *(f"| {k} | {v} |" for k, v in rows)])
    write_text(folder / "summary.md", f"# {rows[0][1]}\n\n{table}\n\n![curve](curve.png)\n\nA sample:\n\n```\n{text}\n```\n")
    write_text(folder / "sample.txt", text)
