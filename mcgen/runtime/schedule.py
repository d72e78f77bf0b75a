"""How a call is computed and not what: tokens of a chunk, and the options of a back end.

A schedule never changes a function beyond rounding. It comes from a tuned record by a pure look-up on device, dtype and sizes, so that
every process that sees the same files takes the same one, or it is forced for an op: `load_package(folder, schedule=Schedule(32))`.
"""
from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Mapping, Sequence

import torch

from .records import Entry, entries_for

KEPT = 256
SHORT, LONG = 32, 128
LENGTHS = (128, 64, 32, 16)
NO_DIM = 1 << 31                 # is so long


@dataclass(frozen=True)
class Schedule:
    """Chunk, and a back end's options by name, sorted. `backward.rows` is `rows` for the kernel `backward` alone; see `options_of`."""

    chunk: int
    options: tuple[tuple[str, int | str], ...] = ()

    @classmethod
    def of(cls, chunk: int, options: Mapping[str, int | str] | None = None) -> Schedule:
        return cls(chunk, tuple(sorted((options or {}).items())))

    def as_dict(self) -> dict:
        return {"chunk": self.chunk, "options": dict(self.options)}


def options_of(options: Sequence[tuple[str, int | str]], kernel: str) -> dict[str, int | str]:
    """The options that hold for a kernel: those for all kernels, and its own over them.

    >>> options_of((("backward.rows", 4), ("forward.unroll", 8), ("rows", 6), ("unroll", 2)), "backward")
    {'rows': 4, 'unroll': 2}
    """
    own = {name.removeprefix(f"{kernel}."): value for name, value in options if name.startswith(f"{kernel}.")}
    return {**{name: value for name, value in options if "." not in name}, **own}


class Schedules:
    """The schedule of each call of one op. `forced` holds for every call; else the record's, else the usual
    one: `chunk` tokens, but SHORT on a CPU where every side of a state is below LONG, and on GPUs as few as it takes that no kernel that has
    a dim of `loads` whole overfills registers. loads: dim -> what it fills of them at 64 tokens, if the dim has 64 entries, and if 128.

    A token costs C (K + V) within its row and K V / C for the state between rows. On a CPU, where blocks above the diagonal are not
    computed, they meet near half a side; of states that go from token to token a short row keeps fewer at once, in nearer caches.
    """

    def __init__(self, chunk: int, folders: Sequence[Path] = (), forced: Schedule | None = None, sides: Sequence[str | int] = (),
                 loads: Mapping[str, tuple[float, float]] | None = None):
        self.folders, self.forced = tuple(folders), forced
        self._chunk, self._sides = chunk, tuple(sides)
        self._most = [{dim: _most(*fills, length) for dim, fills in (loads or {}).items()} for length in LENGTHS]
        self._found: dict[tuple, Schedule] = {}

        def traced_chunk(device: str, dtype: str, marks: tuple[bool, ...]) -> int:
            if self.forced is not None:
                return self.forced.chunk
            chunks = {e.chunk for e in rows_of(entries_for(self.folders, torch.device(device)), dtype)}
            return chunks.pop() if len(chunks) == 1 else self._usual(torch.device(device).type, marks)

        # In a traced call, where sizes may be symbols: the chunk that all rows of a dtype agree on, else the usual one. The mark is
        # what torch.compiler.assume_constant_result sets, without its import of torch._dynamo, which takes a second.
        traced_chunk._dynamo_marked_constant = True                     # type: ignore[attr-defined]
        self.traced_chunk = traced_chunk

    def usual(self, device: str, sizes: Mapping[str, int]) -> int:
        """The chunk where no record says another. device: 'cpu', 'cuda'."""
        return self._usual(device, self.marks(sizes))

    def marks(self, sizes: Mapping[str, int]) -> tuple[bool, ...]:
        """What of the sizes counts: whether a CPU takes a short chunk, and whether a GPU's registers hold chunks of LENGTHS. Truths, which
        a traced call knows where sizes are symbols."""
        found = [size if isinstance(size, int) else sizes[size] for size in self._sides]
        short = len(found) > 0 and all([size < LONG for size in found])
        return short, *(all(sizes[dim] <= most for dim, most in each.items()) for each in self._most)

    def _usual(self, device: str, marks: tuple[bool, ...]) -> int:
        short, *held = marks
        if device == "cpu":
            return min(self._chunk, SHORT) if short else self._chunk
        longest = next((chunk for chunk, holds in zip(LENGTHS, held) if holds), LENGTHS[-1])
        return min(self._chunk, longest)

    def find(self, device: torch.device, dtype: torch.dtype, sizes: Mapping[str, int], heads: int, tokens: int) -> Schedule:
        """heads: B*H. The row of this dtype and these sizes whose B*H and T are nearest, as powers of two."""
        if self.forced is not None:
            return self.forced
        key = (device, dtype, octave(heads), octave(tokens), *sizes.values())
        found = self._found.get(key)
        if found is None:
            entries = entries_for(self.folders, device)
            entry = look_up(entries, str(dtype).removeprefix("torch."), sizes, heads, tokens)
            found = Schedule(self.usual(device.type, sizes)) if entry is None else Schedule.of(entry.chunk, entry.options)
            if len(self._found) >= KEPT:
                self._found.clear()
            self._found[key] = found
        return found


def _most(usual: float, large: float, tokens: int) -> int:
    """The longest dim with which a chunk of so many tokens does not overfill registers, where 64 tokens fill so much of them at 64 and 128."""
    room, more = 64 / tokens - usual, large - usual
    return min(NO_DIM, math.floor(64 + 64 * room / more)) if more > 0 else NO_DIM if room >= 0 else 0


def look_up(entries: Sequence[Entry], dtype: str, sizes: Mapping[str, int], heads: int, tokens: int) -> Entry | None:
    """The entry of this dtype and these sizes whose T, then B*H, are nearest, as powers of two; the earlier one of equals.

    Entries say the sizes that a caller gives; derived ones follow from them.
    """
    fitting = rows_of([e for e in entries if all(sizes.get(name) == size for name, size in e.sizes)], dtype)
    return min(fitting, key=lambda e: (abs(octave(e.tokens) - octave(tokens)), abs(octave(e.heads) - octave(heads))), default=None)


def rows_of(entries: Sequence[Entry], dtype: str) -> list[Entry]:
    """The entries of a dtype; of float32 where 16 bits have none."""
    own = [e for e in entries if e.dtype == dtype]
    return own or ([e for e in entries if e.dtype == "float32"] if dtype in ("bfloat16", "float16") else [])


def octave(count: int) -> int:
    return round(math.log2(max(count, 1)))
