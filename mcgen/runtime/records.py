"""Tuned records: `tuned/<device>.json`, what the tuner found on one device.

    {"format": 1, "device": "...", "architecture": "...", "entries": [{"dtype", "sizes", "heads", "tokens", "chunk", "options",
     "versions", ...}, ...]}

`heads` is B*H and `tokens` T of the measured call; `options` are a back end's. The rest of an entry (gates, times, the default's time) is for
people. Which entries hold for a device is a pure function of the files: all processes that see the same files agree.
"""
from __future__ import annotations

import json
import re
import warnings
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Mapping, Sequence

import torch

from mcgen import __version__

from .devices import architecture, device_name, likeness

FORMAT = 1
COMPILERS = ("apache-tvm", "triton")       # what makes kernels, on CPUs and on GPUs
LARGEST = 1 << 20
_warned = False


@dataclass(frozen=True)
class Entry:
    """One row: what to take for calls of this dtype and these sizes, near B*H `heads` and T `tokens`."""

    dtype: str
    sizes: tuple[tuple[str, int], ...]
    heads: int
    tokens: int
    chunk: int
    options: Mapping[str, int | str]
    versions: Mapping[str, str]

    @property
    def outdated(self) -> str | None:
        """Which version the row was verified with, where it is not the one that runs: its kernels are others. Torch compiles none."""
        for name, made in self.versions.items():
            now = version(name) if name in ("mcgen", *COMPILERS) else made
            if now is not None and now != made:
                return f"made with {name} {made}, this is {now}"
        return None


@dataclass(frozen=True)
class Record:
    device: str
    architecture: str
    entries: tuple[Entry, ...]


class BadRecord(ValueError):
    """A file that is no record; the text says what is wrong with it."""


def read_record(path: Path) -> Record:
    """The record in a file. Raises BadRecord."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except OSError as reason:
        raise BadRecord(f"it can't be read ({reason.strerror})") from None
    except ValueError:
        raise BadRecord("it is not JSON") from None
    return parse_record(raw)


def parse_record(raw: Any) -> Record:
    """A record from its JSON form. Raises BadRecord."""
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise BadRecord(f"format {raw.get('format')!r}, expected {FORMAT}" if isinstance(raw, dict) else "it holds no record")
    entries = raw.get("entries")
    if not isinstance(entries, list):
        raise BadRecord("it has no list of entries")
    return Record(str(raw.get("device")), str(raw.get("architecture")), tuple(_entry(e, i) for i, e in enumerate(entries)))


def _entry(raw: Any, number: int) -> Entry:
    try:
        sizes, options, versions = raw["sizes"], raw.get("options", {}), raw.get("versions", {})
        integers = [raw["heads"], raw["tokens"], raw["chunk"], *sizes.values()]
        fine = (isinstance(raw["dtype"], str) and all(_natural(x) for x in integers)
                and all(_name(n) and _value(x) for n, x in options.items())
                and all(isinstance(n, str) and isinstance(v, str) for n, v in versions.items()))
    except (KeyError, TypeError, AttributeError):
        fine = False
    if not fine:
        raise BadRecord(f"entry {number} is damaged")
    return Entry(raw["dtype"], tuple(sizes.items()), raw["heads"], raw["tokens"], raw["chunk"], options, versions)


def _natural(x: Any) -> bool:
    return type(x) is int and 0 < x


def _name(text: Any) -> bool:
    """`option`, or `kernel.option`."""
    return isinstance(text, str) and re.fullmatch(r"([A-Za-z]\w{0,99}\.)?[a-z]\w{0,63}", text, re.ASCII) is not None


def _value(x: Any) -> bool:
    return type(x) is int and abs(x) <= LARGEST or isinstance(x, str) and re.fullmatch(r"[a-z0-9]{1,16}", x) is not None


@cache
def entries_for(folders: tuple[Path, ...], device: torch.device) -> tuple[Entry, ...]:
    """The rows for a device: of its own record, or of the nearest device's of its architecture; () means the default.

    Where there are records and none is this device's, and on a GPU without any, one warning a process names the command that makes one.
    """
    name, arch = device_name(device), architecture(device)
    records, problems = [], []
    paths = sorted((p for folder in folders for p in folder.glob("*.json")), key=lambda p: p.stem != name)        # stable: own ones first
    for path in paths:
        try:
            record = read_record(path)
        except BadRecord as wrong:
            problems.append(f"{path}: {wrong}")
            continue
        usable = tuple(e for e in record.entries if e.outdated is None)
        if path.stem == name and usable:
            return usable
        if path.stem == name:
            problems.append(f"{path}: " + (record.entries[0].outdated or "" if record.entries else "it is empty"))
        elif usable and record.architecture == arch:
            records.append((likeness(path.stem, name), path.stem, usable))
    near = max(records, key=lambda r: r[0], default=None)
    if folders and (paths or device.type == "cuda"):
        _warn(folders[-1].parent / "spec.yaml", device, problems, near[1] if near else None)
    return near[2] if near else ()


def _warn(spec: Path, device: torch.device, problems: Sequence[str], near: str | None) -> None:
    global _warned
    if _warned:
        return
    _warned = True
    taken = f"that of {near} is taken" if near else "the default is taken"
    why = f" ({'; '.join(problems)})" if problems else ""
    warnings.warn(f"no tuned record for {device_name(device)}{why}; {taken}. To make one: mcgen tune {spec} --device {device.type}", stacklevel=2)


@cache
def version(name: str) -> str | None:
    """The installed version of a package, without its local part; None where it is not installed."""
    try:
        return (__version__ if name == "mcgen" else metadata.version(name)).split("+")[0]
    except metadata.PackageNotFoundError:
        return None
