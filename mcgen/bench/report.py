"""The results of `mcgen bench` as tables for the terminal, Markdown and JSON."""
from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable

from ..files import write_text
from .scaling import Curve
from .suite import OURS, Result


@dataclass(frozen=True)
class Table:
    """Rows of text under headings."""

    title: str
    heads: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    def markdown(self) -> str:
        line = "| " + " | ".join(self.heads) + " |"
        rule = "|" + "|".join("---" for _ in self.heads) + "|"
        return "\n".join([f"## {self.title}", "", line, rule, *("| " + " | ".join(r) + " |" for r in self.rows)])

    def show(self, console: Console) -> None:
        table = RichTable(title=self.title, title_justify="left")
        for i, head in enumerate(self.heads):
            table.add_column(head, justify="left" if i == 0 else "right", overflow="fold")
        for row in self.rows:
            table.add_row(*row)
        console.print(table)


@dataclass
class Findings:
    """Everything that one run of the bench found."""

    device: str
    versions: dict[str, str]
    results: list[Result] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    memory: list[dict[str, Any]] = field(default_factory=list)
    startup: dict[str, float] = field(default_factory=dict)
    overhead: dict[str, dict[str, tuple[float, float]]] = field(default_factory=dict)      # op -> call -> median, least
    builds: dict[str, tuple[float, float, float]] = field(default_factory=dict)             # op -> package, forward, backward
    rates: dict[str, dict[str, float]] = field(default_factory=dict)                        # op -> see rates.measure
    scans: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)             # op -> see scans.measure
    remarks: list[str] = field(default_factory=list)

    def tables(self) -> list[Table]:
        makers = (times_table, memory_table, scaling_table, startup_table, overhead_table, builds_table, rates_table, scans_table)
        return [t for t in (make(self) for make in makers) if t is not None]

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"device": self.device, "versions": self.versions, "remarks": self.remarks,
                "times": [{**dataclasses.asdict(r), "best_peer": r.best, "ratio": r.ratio} for r in self.results],
                "memory": self.memory, "startup_seconds": self.startup, "overhead_microseconds": self.overhead, "build_seconds": self.builds,
                "rates": self.rates, "scans": self.scans,
                "scaling": [{**dataclasses.asdict(c), "exponents": c.exponents()} for c in self.curves]}

    def save(self, folder: Path) -> None:
        """results.json, results.md and scaling.png."""
        write_text(folder / "results.json", json.dumps(self.as_dict(), indent=1) + "\n")
        write_text(folder / "results.md", self.markdown())
        if self.curves:
            from .scaling import plot

            plot(self.curves, folder / "scaling.png")

    def markdown(self) -> str:
        head = [f"Device: {self.device}. " + ", ".join(f"{k} {v}" for k, v in self.versions.items()) + "."]
        head += [f"Note: {r}." for r in self.remarks]
        return "\n\n".join(["# mcgen bench", *head, *(t.markdown() for t in self.tables())]) + "\n"


def times_table(found: Findings) -> Table | None:
    rows = []
    for result in found.results:
        peers = [f"{n} {t}" for n, t in result.times.items() if n != OURS] + [f"{n}: {why}" for n, why in result.skipped.items()]
        ours = result.times.get(OURS)
        ratio = f"{result.ratio:.2f}" if result.ratio else "-"
        rows.append((result.case.words, result.direction, f"{ours} ± {ours.spread / 2:.2g}" if ours else "-", "; ".join(peers), ratio))
    heads = ("op", "direction", "mcgen, ms", "peers, ms", "best peer / mcgen")
    return Table("Time, medians of interleaved calls", heads, rows) if rows else None


def memory_table(found: Findings) -> Table | None:
    rows = []
    for row in found.memory:
        least = sum(row["floor"].values())
        parts = ", ".join(f"{n} {v:.1f}" for n, v in row["floor"].items())
        rows.append((row["case"], row["direction"], row["subject"], f"{row['peak']:.0f}", f"{least:.0f}", f"{row['peak'] / least:.2f}", parts))
    heads = ("op", "direction", "what", "peak, MiB", "the op's floor, MiB", "peak / floor", "of the floor")
    return Table("Peak memory of one call", heads, rows) if rows else None


def scaling_table(found: Findings) -> Table | None:
    rows = []
    for curve in found.curves:
        slopes = curve.exponents()
        for name, times in curve.times.items():
            points = ", ".join(f"{s}: {t:.3g}" for s, t in zip(curve.sizes, times))
            rows.append((curve.title, f"{name} over {curve.axis}", points, f"{slopes[name]:+.2f}" if name in slopes else "-"))
    return Table("Scaling, ms", ("op", "what", "size: ms", "exponent"), rows) if rows else None


def startup_table(found: Findings) -> Table | None:
    rows = [(name, f"{seconds:.3f}") for name, seconds in found.startup.items()]
    return Table("First answer, each in a fresh process", ("what", "seconds"), rows) if rows else None


def overhead_table(found: Findings) -> Table | None:
    rows = [(op, name, f"{median:.1f}", f"{least:.1f}") for op, calls in found.overhead.items() for name, (median, least) in calls.items()]
    return Table("A call on tiny inputs, kernels included", ("op", "call", "median, µs", "fastest, µs"), rows) if rows else None


def builds_table(found: Findings) -> Table | None:
    rows = [(op, *(f"{s:.1f}" for s in (*parts, sum(parts)))) for op, parts in found.builds.items()]
    heads = ("op", "package", "forward kernel", "backward kernel", "in all")
    return Table("Builds with an empty cache, seconds on one thread", heads, rows) if rows else None


def rates_table(found: Findings) -> Table | None:
    rows = [(op, f"{r['milliseconds']:.3g}", f"{r['operations'] / 1e9:.2f}", f"{r['operations'] / r['milliseconds'] / 1e6:.0f}", f"{r['share']:.2f}")
            for op, r in found.rates.items()]
    heads = ("op", "forward, ms", "operations in products and solves, 10^9", "10^9 a second", "share of torch.mm's")
    return Table("Executed operations, B1 T4096 H8 and 64 of every dim, float32", heads, rows) if rows else None


def scans_table(found: Findings) -> Table | None:
    rows = [(op, direction, f"{r['milliseconds']:.3g}", f"{r['traffic']:.3g}", f"{r['functions']:.3g}" if r["functions"] else "",
             f"{r['ratio']:.1f}") for op, directions in found.scans.items() for direction, r in directions.items()]
    heads = ("op", "direction", "ms", "its states' traffic in the cache, ms", "functions of entries, ms", "ratio to the longer")
    return Table("Token by token, B1 T4096 H8 and 64 of every dim, float32", heads, rows) if rows else None
