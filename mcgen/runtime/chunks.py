"""How many tokens a chunk holds: the package's own choice, the tuned one for a device, fewer for a short call.

A tuned file `tuned/<device>.json` is {"format": 1, "entries": [{"dtype", "sizes", "heads", "tokens", "chunk", ...}, ...]}: `heads` is B*H,
`tokens` is T of the measured call. Looking up is a pure function of device, dtype and sizes.
"""
from __future__ import annotations

import json
import math
import re
from functools import cache
from pathlib import Path
from typing import Mapping, Sequence

import torch


def chunk_size(chunks: Sequence[int], preferred: int, tokens: int) -> int:
    """The smallest of `chunks` that holds all `tokens`, at most `preferred`; 1 for a single token.

    >>> [chunk_size([16, 32, 64, 128], 64, t) for t in (1, 5, 17, 1000)]
    [1, 16, 32, 64]
    """
    if tokens == 1:
        return 1
    return min((c for c in (*chunks, preferred) if tokens <= c <= preferred), default=preferred)


def look_up(entries: Sequence[Mapping], dtype: str, sizes: Mapping[str, int], heads: int, tokens: int) -> Mapping | None:
    """The entry of this dtype and these sizes whose B*H and T are nearest, as powers of two; the earlier one of equals."""
    fitting = [e for e in entries if e["dtype"] == dtype and e["sizes"] == dict(sizes)]
    return min(fitting, key=lambda e: (_octaves(e["tokens"], tokens), _octaves(e["heads"], heads)), default=None)


def _octaves(a: int, b: int) -> int:
    return abs(round(math.log2(max(a, 1))) - round(math.log2(max(b, 1))))


@cache
def device_name(device: torch.device) -> str:
    """A file name for a device: `cpu`, or a GPU's product name in lower case with dashes."""
    if device.type != "cuda":
        return device.type
    return re.sub(r"[^a-z0-9]+", "-", torch.cuda.get_device_name(device).lower()).strip("-")


@cache
def tuned_entries(folder: Path, device: torch.device) -> tuple[dict, ...]:
    """The entries for a device, () without a file. Raises ValueError for a file of another format."""
    path = folder / f"{device_name(device)}.json"
    if not path.is_file():
        return ()
    raw = json.loads(path.read_text(encoding="utf-8"))
    if raw.get("format") != 1:
        raise ValueError(f"{path}: format {raw.get('format')!r}, expected 1")
    return tuple(raw["entries"])
