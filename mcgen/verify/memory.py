"""The `memory` dict of a reference run: taken apart for a group of rows, and put together again.

Leaves, the sequence axis first (N cached segments, valid ones first, oldest first; later slots are padding):
    state     {S: [B, H, *shape]}         every state after the last token; under `fresh` what the next token starts from
    cache     {S: [B, H, N, *shape]}      the states that `read` uses
    summary   [B, H, N, *shape]           partial [B, H, *shape], the open segment's sum
    past      {x: [B, H, n, *shape]}      the last n tokens of the inputs that `delay` and `window` ask for, oldest first
    run       {S: [B, H, *shape]}         states at the run's start, with `gradient: {chunk: b}`
    position  [B] int64
and beyond the language page
    after     [B, H, A, N]                sums after each memory, the entries of every `after(e)` in order of appearance
    live      {S: [B, H, N, *shape]}      with `fresh` and logarithmic growth: the run from each cached segment's start,
    live_run  {S: [B, H, N, *shape]}      which becomes a memory when segments merge, and its start-of-run states
"""
from __future__ import annotations

from typing import Any, Iterator

import torch

STACKED = {"cache": 2, "summary": 2, "after": 3, "live": 2, "live_run": 2}     # leaves with an axis over cached segments
Memory = dict[str, Any]


def leaves(memory: Memory) -> Iterator[tuple[tuple[str, ...], torch.Tensor]]:
    """Every tensor of a memory with its path."""
    for key, value in memory.items():
        if isinstance(value, dict):
            yield from (((key, *path), leaf) for path, leaf in leaves(value))
        elif value is not None:
            yield (key,), value


def rebuild(items: Iterator[tuple[tuple[str, ...], torch.Tensor]]) -> Memory:
    out: Memory = {}
    for path, leaf in items:
        at = out
        for key in path[:-1]:
            at = at.setdefault(key, {})
        at[path[-1]] = leaf
    return out


def upcast(memory: Memory, dtype: torch.dtype) -> Memory:
    return rebuild((p, x.to(dtype) if x.is_floating_point() else x) for p, x in leaves(memory))


def rows(memory: Memory, picked: slice) -> Memory:
    return rebuild((p, x[picked]) for p, x in leaves(memory))


def positions(memory: Memory | None, batch: int) -> list[int]:
    """The position of every row; a memory without one is at 0."""
    if memory is None or memory.get("position") is None:
        return [0] * batch
    return memory["position"].tolist()


def join(parts: list[Memory]) -> Memory:
    """One memory from those of groups of rows: stacked leaves padded with zeros to the longest."""
    paths = [p for p, _ in leaves(parts[0])]
    tables = [dict(leaves(m)) for m in parts]
    out = []
    for path in paths:
        xs = [t[path] for t in tables if path in t]
        if path[0] in STACKED:
            axis = STACKED[path[0]]
            most = max(x.shape[axis] for x in xs)
            xs = [torch.cat([x, x.new_zeros(*x.shape[:axis], most - x.shape[axis], *x.shape[axis + 1:])], axis) for x in xs]
        out.append((path, torch.cat(xs) if len(xs) > 1 else xs[0]))
    return rebuild(iter(out))
