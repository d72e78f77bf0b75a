"""A run as it goes: a bar on a terminal, a line now and then elsewhere, and every failure when it is found."""
from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from .tally import Tally

LINE = 25                        # specs from line to line


class Display:
    def __init__(self, console: Console, wanted: int):
        self.console, self.tally, self.shown = console, Tally(wanted), -1
        self.progress = Progress(TextColumn("specs"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.fields[found]}"),
                                 console=console, transient=True, disable=not console.is_terminal)
        self.task = self.progress.add_task("", total=wanted, found="")

    def __enter__(self) -> Display:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def show(self, tally: Tally) -> None:
        self.tally = tally
        if self.shown < 0:
            self.shown = len(tally.failures)
            return self.say(f"going on after {tally.line()}") if tally.done else None
        for failure in tally.failures[self.shown:]:
            self.say(f"{failure.kind}: {failure.what}\n  {failure.path}")
        if not self.console.is_terminal and tally.done % LINE == 0 and tally.done and self.shown == len(tally.failures):
            self.say(tally.line())
        self.shown = len(tally.failures)
        self.progress.update(self.task, completed=tally.done, found=", ".join(f"{n} {kind}" for kind, n in tally.kinds.most_common()))

    def say(self, text: str) -> None:
        """At once, into a file too."""
        self.progress.console.print(text, markup=False)
        self.console.file.flush()
