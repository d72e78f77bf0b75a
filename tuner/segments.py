"""Segment lengths: time against the bytes of the cache, for the lengths that a spec lists under `search`. They change the model, so
this reports and changes nothing."""
from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Sequence

import torch
from rich.console import Console
from rich.table import Table

import mcgen
from mcgen.diagnostics import UsageError
from mcgen.files import write_text, write_with

from . import measure
from .isolate import run
from .subject import Subject

ROUNDS, SECONDS, TIMEOUT = 15, 4.0, 300.0


@dataclass(frozen=True)
class Row:
    """One length. cache: bytes of all that a memory holds beyond the state. times: direction -> {"ms", "spread"}."""

    length: int
    cache: int
    times: dict[str, dict[str, float]]


def compare(args: argparse.Namespace, console: Console) -> int:
    """A table, segments.png and segments.json. Raises UsageError for a spec without `search`."""
    from .command import job, named

    source = named(args.op)
    spec = mcgen.load_spec(source)
    segments = spec.cache.segments if spec.cache is not None else None
    if segments is None or not segments.search:
        raise UsageError(f"{spec.name} lists no segment lengths to compare", "segments", "cache: segments: search: [128, 256, 512]")
    base = job(args).subject
    rows, failed = [], {}
    for length in sorted({*segments.search, segments.length}):
        op = mcgen.load(source, segment_length=length)
        subject = replace(base, folder=str(op.folder))
        with console.status(f"segments of {length}"):
            outcome = run(measured, {"subject": subject.as_dict()}, TIMEOUT)
        if outcome.ok:
            rows.append(Row(length, outcome.found["cache"], outcome.found["times"]))
        else:
            failed[length] = f"{outcome.state} {outcome.detail}"
    console.print(table(rows, segments.length, base))
    for length, why in failed.items():
        console.print(f"segments of {length}: {why}", markup=False)
    folder = args.out or Path("runs") / "tune" / base.name
    picture = draw(rows, segments.length, base)
    write_with(folder / "segments.png", lambda stream: stream.write(picture))
    write_text(folder / "segments.json", json.dumps([vars(r) for r in rows], indent=1) + "\n")
    console.print(f"in {folder}/: segments.png, segments.json. Nothing was changed: the length belongs to the model and is yours to choose, "
                  "in the spec or as mcgen.load(..., segment_length=N).", markup=False)
    return 0 if rows else 1


def measured(told: dict[str, Any]) -> dict[str, Any]:
    """In a process of its own: times of one length, and the bytes that its cache holds after a call."""
    subject = Subject(**told["subject"])
    torch.set_num_threads(subject.threads)
    op = subject.op()
    inputs = subject.inputs(op)
    with torch.no_grad():
        _, memory = op(**inputs, return_memory=True)
    times = measure.race({measure.DEFAULT: op}, inputs, ROUNDS, SECONDS)
    return {"cache": held(memory), "times": {d: {k: by[measure.DEFAULT][k] for k in ("ms", "spread")} for d, by in times.items()}}


def held(memory: dict[str, Any]) -> int:
    """Bytes of a memory beyond its states: cached memories, summaries, the open segment.

    >>> held({"state": {"S": torch.zeros(4)}, "cache": {"S": torch.zeros(2, 4)}, "position": torch.zeros(1, dtype=torch.int64)})
    32
    """
    def size(x: Any) -> int:
        if isinstance(x, dict):
            return sum(size(y) for y in x.values())
        return x.numel() * x.element_size() if isinstance(x, torch.Tensor) else 0

    return sum(size(part) for name, part in memory.items() if name not in ("state", "run", "past", "position", "capacity"))


def table(rows: Sequence[Row], usual: int, subject: Subject) -> Table:
    made = Table(title=f"{subject.words}: time against cache", title_justify="left")
    for head in ("segment", "cache, MiB", *(f"{d}, ms" for d in measure.DIRECTIONS)):
        made.add_column(head, justify="right")
    for r in rows:
        cells = (f"{r.times[d]['ms']:.4g} ± {r.times[d]['spread'] / 2:.2g}" for d in measure.DIRECTIONS)
        made.add_row(f"{r.length}{' (spec)' if r.length == usual else ''}", f"{r.cache / 2 ** 20:.2f}", *cells)
    return made


def draw(rows: Sequence[Row], usual: int, subject: Subject) -> bytes:
    """Time over cache, a point a length, as PNG."""
    import io

    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    sizes = [r.cache / 2 ** 20 for r in rows]
    for direction in measure.DIRECTIONS:
        axes.plot(sizes, [r.times[direction]["ms"] for r in rows], "o-", label=direction)
    for r, size in zip(rows, sizes):
        axes.annotate(f"{r.length}{' (spec)' if r.length == usual else ''}", (size, r.times["forward"]["ms"]), fontsize=8,
                      xytext=(3, -11), textcoords="offset points")
    axes.set(xlabel="cache, MiB", ylabel="ms", title=subject.words, ylim=(0, None))
    axes.title.set_fontsize(9)
    axes.legend()
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=120)
    return stream.getvalue()
