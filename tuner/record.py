"""Writes records: `tuned/<device>.json` of a package, which its op then uses; see `mcgen.runtime.records`."""
from __future__ import annotations

import fcntl
import json
from pathlib import Path
from typing import Any, Mapping

from mcgen.bench.machine import device as device_in_words
from mcgen.diagnostics import EnvironmentLacks, UsageError
from mcgen.files import write_text
from mcgen.runtime.package import record_folders
from mcgen.runtime.records import FORMAT, BadRecord, parse_record, read_record

from .finish import Verdict
from .measure import DEFAULT
from .space import schedule_of
from .subject import Subject


def home(subject: Subject, out: Path | None = None) -> Path:
    """The folder of an op's records: `out` where given; the package's own, unless it came installed: then this user's."""
    if out is not None:
        return out
    own, shipped = record_folders(Path(subject.folder))
    return own if Path(subject.folder).parent.name == "_generated" else shipped


def row(subject: Subject, verdict: Verdict, trials: int) -> dict[str, Any]:
    """Requires a verdict with a configuration."""
    assert verdict.config is not None and verdict.name is not None
    schedule = schedule_of(verdict.config)
    measured = {}
    for direction, by in verdict.times.items():
        mine, default = by[verdict.name], by[DEFAULT]
        measured[direction] = {"ms": mine["ms"], "spread_ms": mine["spread"], "default_ms": default["ms"], "default_spread_ms": default["spread"],
                               "ratio": mine["ratio"], "rounds": mine["rounds"]}
    gates = {name: "skipped" if name in verdict.gates["skipped"] else "passed" for name in verdict.gates["gates"]}
    return {**subject.row, **schedule.as_dict(), "versions": subject.versions, "ratio": round(verdict.score or 0.0, 4), "noise": round(verdict.noise or 0.0, 4),
            "measured": measured, "gates": gates, "trials": trials, "threads": subject.threads}


def save(subject: Subject, entry: Mapping[str, Any], folder: Path) -> Path:
    """Adds the row to the device's record, in the place of one for the same calls. Atomic; other tuners wait.

    Raises UsageError where the file that is there is no record, EnvironmentLacks where it can't be written.
    """
    path = folder / f"{subject.device_name}.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / ".lock", "ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            raw = _existing(path) or {"format": FORMAT, "device": subject.device_name, "architecture": subject.architecture,
                                      "words": device_in_words(subject.torch_device.type), "entries": []}
            raw["entries"] = [e for e in raw["entries"] if any(e[k] != entry[k] for k in subject.row)] + [dict(entry)]
            parse_record(raw)
            return write_text(path, json.dumps(raw, indent=1) + "\n")
    except OSError as reason:
        raise EnvironmentLacks(f"cannot write {path}: {reason.strerror}", "disk", "--out DIR puts the record elsewhere") from None


def _existing(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        read_record(path)
    except BadRecord as wrong:
        raise UsageError(f"{path} is no record: {wrong}", "record", "delete it, or move it away") from None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found
