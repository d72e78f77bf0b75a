"""What a training run shows on the terminal."""
from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table

from .checkpoint import Progress
from .config import Config


class Display:
    """A progress bar, and a line for each measurement on held-out text. Called after every step."""

    def __init__(self, console: Console, config: Config, unigram: float):
        self.console, self.config, self.unigram = console, config, unigram
        self.bar = Bar(TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[bits]} bits/byte"),
                       TimeElapsedColumn(), TimeRemainingColumn(), console=console, transient=True)
        self.task: TaskID | None = None

    def __enter__(self) -> Display:
        self.task = self.bar.add_task("training", total=self.config.steps, bits="    -")
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def __call__(self, progress: Progress, loss: float, held_out: float | None) -> None:
        assert self.task is not None
        self.bar.update(self.task, completed=progress.step, bits=f"{loss:.3f}")
        if held_out is not None:
            self.console.print(f"  step {progress.step:>5}  {progress.seconds:6.0f} s  training {loss:.3f}  "
                               f"held out [bold]{held_out:.3f}[/] bits per byte  (unigram {self.unigram:.3f})")

    def finish(self, rows: list[tuple[str, str]], sample: str, folder: Path) -> None:
        """The sample and the summary."""
        self.console.print(Panel(escape(printable(sample)), title="a sample, byte by byte through step()", expand=False))
        table = Table(show_header=False)
        for name, value in rows:
            table.add_row(name, escape(value))
        self.console.print(table)
        self.console.print(f"in {folder}/: curve.png, log.csv, sample.txt, summary.md, checkpoint.pt")


def printable(text: str) -> str:
    """Without control characters, which a terminal would obey."""
    return "".join(c if c.isprintable() or c == "\n" else " " for c in text.expandtabs(4))
