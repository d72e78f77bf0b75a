"""What a study found, as a picture and as a page that is one file: every trial, how it ended, the best so far, the winner beside the default."""
from __future__ import annotations

import base64
import html
import io
import json
from pathlib import Path
from typing import Any, Mapping, Sequence

from mcgen.files import write_text, write_with
from mcgen.runtime.records import BadRecord, read_record

from . import display, states
from .record import home
from .space import Space
from .study import Trial, ranked
from .subject import Subject

COLOURS = {states.DONE: "#4878a8"}
BAD = "#c44e52"

STYLE = """body{font:15px/1.45 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:1rem 0;font-size:13px}td,th{border-bottom:1px solid #ddd;padding:.25rem .7rem;text-align:left}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}tr.best{background:#eef5ea;font-weight:600}.bad{color:#b03a3f}img{max-width:100%}"""


def write(subject: Subject, space: Space, trials: Sequence[Trial], folder: Path, verdict: Mapping[str, Any] | None = None) -> list[Path]:
    """report.png and report.html in the folder; each whole or as before. verdict: of the study's end, {"why", "times", "failed"}."""
    picture = draw(subject, trials)
    return [write_with(folder / "report.png", lambda stream: stream.write(picture)),
            write_text(folder / "report.html", page(subject, space, trials, picture, recorded(subject), verdict))]


def draw(subject: Subject, trials: Sequence[Trial]) -> bytes:
    """The picture as PNG: scores over trials, failed ones marked on the upper edge, the best so far as a line."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    timed = [t for t in trials if t.score is not None]
    failed = [t for t in trials if t.score is None]
    axes.axhline(1.0, color="#888", linewidth=1, linestyle="--", label="default")
    axes.plot([t.number for t in timed], [t.score or 0.0 for t in timed], "o", color=COLOURS[states.DONE], label="trials")
    best, steps = float("inf"), []
    for t in timed:
        best = min(best, t.score or best)
        steps.append(best)
    axes.step([t.number for t in timed], steps, where="post", color="#55a868", linewidth=2, label="best so far")
    top = max([1.1, *(t.score or 0.0 for t in timed)]) * 1.04
    if failed:
        axes.plot([t.number for t in failed], [top] * len(failed), "x", color=BAD, label="without a time")
        for t in failed:
            axes.annotate(t.state, (t.number, top), rotation=90, fontsize=7, color=BAD, xytext=(0, -6), textcoords="offset points", ha="center", va="top")
    axes.set(xlabel="trial", ylabel="time, of the default's", title=subject.words)
    axes.margins(y=0.08)
    figure.legend(loc="outside lower center", ncols=4, fontsize=8)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=120)
    return stream.getvalue()


def recorded(subject: Subject) -> dict[str, Any] | None:
    """This device's row for calls of this size, where there is one."""
    path = home(subject) / f"{subject.device_name}.json"
    try:
        read_record(path)
    except BadRecord:
        return None
    rows = json.loads(path.read_text(encoding="utf-8"))["entries"]
    return next((r for r in rows if all(r[k] == x for k, x in subject.row.items())), None)


def page(subject: Subject, space: Space, trials: Sequence[Trial], picture: bytes, row: dict[str, Any] | None,
         verdict: Mapping[str, Any] | None = None) -> str:
    """The page. Nothing on it is fetched from elsewhere."""
    best = next(iter(ranked(trials)), None)
    versions = ", ".join(f"{n} {v}" for n, v in subject.versions.items())
    parts = [f"<h1>{html.escape(subject.words)}</h1>", f"<p>{html.escape(versions)}; {subject.threads} thread{'' if subject.threads == 1 else 's'}; {len(trials)} trials: "
             f"{html.escape(display.summary(trials))}.</p>", _verdict(verdict), _winner(row),
             f'<img alt="scores over trials" src="data:image/png;base64,{base64.b64encode(picture).decode()}">', _trials(space, trials, best)]
    return ("<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>" + html.escape(f"mcgen tune {subject.name}")
            + f"</title><style>{STYLE}</style>\n" + "\n".join(parts) + "\n</html>\n")


def _verdict(verdict: Mapping[str, Any] | None) -> str:
    """How the study ended: the finalists beside the default, in turns."""
    if verdict is None:
        return "<p>The study is not finished.</p>"
    head = _row("th", ("", ""), ("", ""), ("median, ms", "n"), ("quartiles apart", "n"), ("of the default", "n"), ("noise", "n"))
    lines = [_row("td", (direction, ""), (name, ""), *((f"{found[k]:.4g}", "n") for k in ("ms", "spread", "ratio", "noise")))
             for direction, by in verdict["times"].items() for name, found in by.items()]
    refused = "".join(f"<p class=\"bad\">{html.escape(name)} was refused by the gates: {html.escape(what)}.</p>" for name, what in verdict["failed"].items())
    return f"<h2>The end</h2><p>{html.escape(verdict['why'])}.</p>{refused}" + (f"<table>{head}{''.join(lines)}</table>" if lines else "")


def _winner(row: dict[str, Any] | None) -> str:
    if row is None:
        return "<p>No record: calls of this size take the default.</p>"
    head = _row("th", ("", "n"), ("median, ms", "n"), ("quartiles apart", "n"), ("default, ms", "n"), ("of the default", "n"))
    lines = [_row("td", (direction, ""), *((f"{m[k]:.4g}", "n") for k in ("ms", "spread_ms", "default_ms", "ratio")))
             for direction, m in row["measured"].items()]
    chosen = ", ".join(f"{n} {v}" for n, v in {"chunk": row["chunk"], **row["options"]}.items())
    gates = ", ".join(f"{n} {what}" for n, what in row["gates"].items())
    return (f"<h2>The record</h2><p>{html.escape(chosen)}. It takes {row['ratio']:.3f} of the default's time, with a noise of {row['noise']:.3f}."
            f"</p><table>{head}{''.join(lines)}</table><p>Gates: {html.escape(gates)}.</p>")


def _trials(space: Space, trials: Sequence[Trial], best: Trial | None) -> str:
    rows = [_row("th", ("trial", "n"), *((k.name, "n") for k in space.knobs), ("state", ""), ("of the default", "n"), ("s", "n"), ("", ""))]
    for t in trials:
        cells = [(str(t.number), "n"), *((str(t.config[k.name]), "n") for k in space.knobs), (t.state, "" if t.state == states.DONE else "bad"),
                 ("" if t.score is None else f"{t.score:.3f}", "n"), (f"{t.seconds:.1f}", "n"), (t.detail, "")]
        rows.append(_row("td", *cells, mark="best" if t is best else ""))
    return "<h2>Trials</h2><table>" + "".join(rows) + "</table>"


def _row(tag: str, *cells: tuple[str, str], mark: str = "") -> str:
    inside = "".join(f'<{tag} class="{kind}">{html.escape(text)}</{tag}>' for text, kind in cells)
    return f'<tr class="{mark}">{inside}</tr>\n'
