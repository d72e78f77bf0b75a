"""What tuning shows on the terminal: a line for each trial, the best so far, and at the end the winner beside the default."""
from __future__ import annotations

from typing import Any, Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from . import states
from .finish import Verdict
from .measure import DEFAULT
from .space import Config, Space
from .study import Trial, ranked
from .work import CONTROL


class Display:
    """A bar with the best so far. `update` is called with all trials after each."""

    def __init__(self, console: Console, space: Space, trials: int):
        self.console, self.space, self.shown = console, space, -1
        self.bar = Progress(TextColumn("tuning"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[best]}"), TimeElapsedColumn(),
                            console=console, transient=True)
        self.task = self.bar.add_task("tuning", total=trials, best="")

    def __enter__(self) -> Display:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def update(self, trials: Sequence[Trial]) -> None:
        finished = [t for t in trials if t.state not in ("running", states.INTERRUPTED)]
        best = next(iter(ranked(finished)), None)
        if self.shown < 0 and finished:
            self.console.print(f"  going on after {len(finished)} trials")
        for t in finished[self.shown:] if self.shown >= 0 else ():
            self.console.print("  " + line(t, self.space) + ("  [bold]best[/]" if t is best else ""))
        self.shown = len(finished)
        said = "" if best is None or best.score is None else f"best {best.score:.3f} of the default's time (trial {best.number})"
        self.bar.update(self.task, completed=len(finished), best=said)

    def stage(self, text: str) -> None:
        self.bar.update(self.task, best=text)


def line(t: Trial, space: Space) -> str:
    if t.score is not None:
        what = f"{t.score:.3f} of the default"
    else:
        what = f"[yellow]{t.state}[/]" + (f": {escape(t.detail)}" if t.detail else "")
    return f"trial {t.number:>3}  {words(t.config, space):<48}  {what}"


def words(config: Config, space: Space) -> str:
    """What differs from the default."""
    found = [f"{name} {value}" for name, value in config.items() if value != space.default[name]]
    return ", ".join(found) or "the default"


def final_table(verdict: Verdict) -> Table | None:
    """Times of the last race."""
    if not verdict.times:
        return None
    table = Table(title="finalists beside the default, in turns", title_justify="left")
    for i, head in enumerate(("direction", "what", "median, ms", "quartiles apart", "of the default", "noise")):
        table.add_column(head, justify="left" if i < 2 else "right")
    for direction, by in verdict.times.items():
        for name, found in by.items():
            kept = name == verdict.name
            table.add_row(direction, f"[bold]{name}[/]" if kept else name, f"{found['ms']:.4g}", f"{found['spread']:.2g}",
                          "" if name == DEFAULT else f"{found['ratio']:.3f}", "" if name == DEFAULT else f"{found['noise']:.3f}",
                          style="dim" if name == CONTROL else None)
    return table


def summary(trials: Sequence[Trial]) -> str:
    """'28 done, 2 timeout'."""
    counts: dict[str, int] = {}
    for t in trials:
        counts[t.state] = counts.get(t.state, 0) + 1
    return ", ".join(f"{count} {state}" for state, count in sorted(counts.items(), key=lambda x: -x[1]))


def gates_in_words(gates: Mapping[str, Any]) -> str:
    passed = [n for n in gates.get("gates", {}) if n not in gates.get("skipped", {})]
    skipped = list(gates.get("skipped", {}))
    return f"{len(passed)} gates passed" + (f", skipped: {', '.join(skipped)}" if skipped else "")
