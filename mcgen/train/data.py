"""The text: Python's own standard library as bytes, some files held out.

It is on every machine that runs mcgen, needs no download, and is large and varied enough for a small model.
"""
from __future__ import annotations

import hashlib
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import torch

from ..diagnostics import EnvironmentLacks

SKIPPED = {"site-packages", "dist-packages", "test", "tests", "idlelib", "__pycache__", "lib2to3", "idle_test"}
HELD_OUT = 20                    # one file in so many
SEPARATOR = b"\x00"


@dataclass(frozen=True)
class Corpus:
    """Training and held-out text as one uint8 tensor each."""

    training: torch.Tensor
    held_out: torch.Tensor
    files: tuple[int, int]

    def batch(self, size: int, length: int, seed: int, step: int) -> torch.Tensor:
        """[size, length + 1] random windows; the same for the same seed and step, so that a run can be resumed."""
        chance = torch.Generator().manual_seed(seed * 1_000_003 + step)
        starts = torch.randint(len(self.training) - length, (size, 1), generator=chance)
        return self.training[starts + torch.arange(length + 1)].long()

    def windows(self, count: int, length: int) -> torch.Tensor:
        """[count, length + 1] evenly spread windows of the held-out text."""
        starts = torch.linspace(0, len(self.held_out) - length - 1, count).long()[:, None]
        return self.held_out[starts + torch.arange(length + 1)].long()


def standard_library() -> Corpus:
    """The .py files of this Python's standard library, split by a hash of their path."""
    root = Path(sysconfig.get_paths()["stdlib"])
    parts: tuple[list[bytes], list[bytes]] = ([], [])
    for path in sorted(root.rglob("*.py")):
        place = path.relative_to(root)
        if SKIPPED.isdisjoint(place.parts):
            kept_back = int(hashlib.sha256(place.as_posix().encode()).hexdigest(), 16) % HELD_OUT == 0
            parts[kept_back].append(path.read_bytes())
    if sum(map(len, parts[0])) < 1_000_000 or not parts[1]:
        raise EnvironmentLacks(f"no Python sources under {root} to train on", hint="give a folder of text with --text")
    return _corpus(parts)


def folder(root: Path, pattern: str = "*") -> Corpus:
    """Any folder of text files, split in the same way."""
    files = [p for p in sorted(root.rglob(pattern)) if p.is_file() and not p.name.startswith(".")]
    parts: tuple[list[bytes], list[bytes]] = ([], [])
    for i, path in enumerate(files):
        parts[len(files) > 1 and i % min(HELD_OUT, len(files)) == 1 % len(files)].append(path.read_bytes())
    if len(files) == 1:
        text = parts[0].pop()
        cut = len(text) * 9 // 10
        parts[0].append(text[:cut])
        parts[1].append(text[cut:])
    if not files or min(sum(map(len, p)) for p in parts) < 4096:
        raise EnvironmentLacks(f"{root} holds too little text to train on")
    return _corpus(parts)


def _corpus(parts: tuple[list[bytes], list[bytes]]) -> Corpus:
    joined = [torch.frombuffer(bytearray(SEPARATOR.join(p)), dtype=torch.uint8) for p in parts]
    return Corpus(joined[0], joined[1], (len(parts[0]), len(parts[1])))


def unigram_entropy(text: torch.Tensor) -> float:
    """Bits per byte of a model that knows only how frequent each byte is in this text."""
    share = torch.bincount(text.long(), minlength=256).double() / len(text)
    share = share[share > 0]
    return float(-(share * share.log2()).sum())
