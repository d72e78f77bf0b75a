"""What a generated package says about its op: `manifest.json`, read into frozen dataclasses.

Names of the tensors that the programs take and give (all contiguous, all in one floating dtype unless said otherwise). Beside the
inputs, y and summary they have a dot, which no name of a spec has:

    <input>          [B, d+T, H, *shape] per token, d past tokens in front when the input is delayed by up to d; [H, *shape] per head
    init.<S>         [H, *shape]          the start of every segment but the first, where segments start fresh
    state.<S>        [B, H, *shape]       the state at the start of the call; new.state.<S> what the next token starts from: where
                                          segments start fresh, that is init.<S> after a segment's last token
    run.<S>          [B, H, *shape]       the state at the start of the open run, where gradients are taken per run
    cache.<S>        [B, H, N, *shape]    cached states; summary [B, H, N, *s]; after.<i> [B, H, N], or [B, H, L]
    live.<S>         [B, H, L, *shape]    where segments merge: the runs that become memories of 2^l units; live.summary [B, H, L, *s] their
                                          sums. L: `partition.levels` of N
    since.<S>        [B, H, L], or with an axis of S, where memories of adjacent segments add up: how much of a memory is left
    summary.partial  [B, H, *s]           the open segment's sum
    call.position    [B] int64            tokens seen before this call
    call.table       [B, R, 4] int32      rows (start, count, segment, offset), see partition.py; sequences that are packed
                                          have their tokens, y and gradients in one row, [1, T + B*d, H, *shape], see packed.py
    new.<x>          like x               what the call leaves behind
    saved.<x>        [B, H, R, *dims]     what the backward pass needs beside, anything in rows without tokens; the dim '#slots' is N,
                                          '#levels' is L
    d.<x>            like x               gradients
"""
from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable

from .dims import size_of

FORMAT = 3
SLOTS = "#slots"                             # stands for N in a saved tensor's shape
LEVELS = "#levels"                           # stands for L there
Shape = tuple[str | int, ...]


@dataclass(frozen=True)
class Field:
    """A tensor that the caller gives: an input, or the learned start of a state (`keyword`: by name only)."""

    name: str
    shape: Shape
    per: str = "token"                       # 'token' | 'head'
    domain: tuple = ("real", None, None)     # kind, lowest, highest; None is infinite
    default: float | None = None
    doc: str = ""
    delay: int = 0                           # past tokens that the programs look at
    keyword: bool = False


@dataclass(frozen=True)
class State:
    name: str
    shape: Shape
    init: str = "zeros"                      # 'zeros' | 'learned' | 'expression'
    domain: tuple = ("real", None, None)


@dataclass(frozen=True)
class Cache:
    length: int
    start: str = "carry"
    growth: str = "constant"
    states: tuple[str, ...] = ()
    summary: Shape | None = None
    after: int = 0                           # how many sums over the tokens after a memory
    since: dict[str, Shape] = field(default_factory=dict)      # state -> the axes of what is left of a memory


@dataclass(frozen=True)
class Leaf:
    """A tensor of `memory` that is also a parameter of the programs. `shape` follows [B, H]; `slots` is the axis of length N."""

    param: str
    path: tuple[str, ...]                    # its place in the memory dict
    shape: tuple[str | int | None, ...]      # None stands for N, LEVELS for L
    slots: int | None = None
    levels: int | None = None                # the axis of length L
    state: str | None = None                 # the state whose start it takes when the memory has none


@dataclass(frozen=True)
class Manifest:
    """A manifest. `forward`, `backward` are (params, results); `saved` maps a saved name to its dims."""

    name: str
    spec: str
    summary: str
    sources: tuple[str, ...]
    fields: tuple[Field, ...]                # the inputs in the order of a call, then the learned starts
    inputs: tuple[Field, ...]
    delays: tuple[Field, ...]                # the delayed inputs
    leaves: tuple[Leaf, ...]                 # the program parameters that live in a memory, in the order of the programs
    memory_keys: tuple[str, ...]             # what a memory may hold
    dims: tuple[str, ...]
    derived: tuple[tuple[str, Callable], ...]
    states: tuple[State, ...]
    output: Shape
    cache: Cache | None
    run: int | None
    constants: dict
    chunks: tuple[int, ...]
    chunk: int
    sides: Shape                             # the dims of states in chunk form
    loads: dict                              # dim -> what GPU kernels that have it whole fill of registers, with 64 entries and with 128
    forward_params: tuple[str, ...]
    forward_results: tuple[str, ...]
    backward_params: tuple[str, ...]
    backward_results: tuple[str, ...]
    saved: tuple[tuple[str, Shape], ...]
    raw: dict

    # what follows from the rest, worked out once
    names: tuple[str, ...] = field(init=False, repr=False)                      # of the fields
    names_after: tuple[frozenset[str], ...] = field(init=False, repr=False)     # those by name when so many inputs are given by position
    tokens: frozenset[str] = field(init=False, repr=False)                      # the fields that every token has
    memory_set: frozenset[str] = field(init=False, repr=False)                  # memory_keys
    state_set: frozenset[str] = field(init=False, repr=False)                   # names of the states
    memory_paths: tuple[tuple[str, ...], ...] = field(init=False, repr=False)   # where a memory has the leaves, then the past of delayed inputs
    slotted: tuple[int, int] | None = field(init=False, repr=False)             # a leaf with cache slots, and their axis
    made: tuple[str, ...] = field(init=False, repr=False)                       # what the backward pass takes of the forward pass
    summed: frozenset[str] = field(init=False, repr=False)                      # the gradients that programs give per sequence, [B, H, *shape]:
    #                                                                             those of per-head parameters, to be summed over B

    def __post_init__(self) -> None:
        def set(**found: Any) -> None:
            for name, value in found.items():
                object.__setattr__(self, name, value)

        names = tuple(f.name for f in self.fields)
        per_head = {f"d.{f.name}" for f in self.fields if f.per == "head" and not f.keyword}
        set(names=names, names_after=tuple(frozenset(names[i:]) for i in range(len(self.inputs) + 1)),
            tokens=frozenset(f.name for f in self.fields if f.per == "token"),
            memory_set=frozenset(self.memory_keys), state_set=frozenset(state.name for state in self.states),
            memory_paths=(*(leaf.path for leaf in self.leaves), *(("past", f.name) for f in self.delays)),
            slotted=next(((i, leaf.slots) for i, leaf in enumerate(self.leaves) if leaf.slots is not None), None),
            made=tuple(name for name in self.backward_params if name not in self.forward_params and not name.startswith("d.")),
            summed=frozenset(per_head | {name for name in self.backward_results if name.startswith("d.init.")}))


def read_manifest(path: Path) -> Manifest:
    """The manifest in a file. Raises ValueError for another format."""
    return parse_manifest(json.loads(path.read_text(encoding="utf-8")))


def parse_manifest(raw: dict) -> Manifest:
    """A manifest from its JSON form. Requires that the backward programs take the forward parameters first, in the same order."""
    if raw.get("format") != FORMAT:
        raise ValueError(f"manifest format {raw.get('format')!r}, expected {FORMAT}: build the package again")
    if raw["backward"]["params"][:len(raw["forward"]["params"])] != raw["forward"]["params"]:
        raise ValueError("the backward parameters do not begin with the forward ones")
    delays = raw.get("delays") or {}
    fields = [Field(i["name"], tuple(i["shape"]), i.get("per", "token"), _domain(i), i.get("default"), i.get("doc") or "",
                    delays.get(i["name"], 0)) for i in raw["inputs"]]
    states = tuple(State(s["name"], tuple(s["shape"]), s.get("init", "zeros"), _domain(s)) for s in raw["states"])
    fields += [Field(f"{s.name}_init", s.shape, "head", s.domain, doc=f"where {s.name} starts", keyword=True)
               for s in states if s.init == "learned"]
    cache = raw.get("cache")
    if cache is not None:
        summary = cache.get("summary")
        cache = Cache(cache["length"], cache.get("start", "carry"), cache.get("growth", "constant"), tuple(cache.get("states", ())),
                      None if summary is None else tuple(summary), cache.get("after", 0), {n: tuple(s) for n, s in cache.get("since", {}).items()})
    forward, backward = raw["forward"], raw["backward"]
    named, given = {state.name: state for state in states}, {field.name for field in fields}
    leaves = tuple(leaf for leaf in (_leaf(param, named, cache) for param in forward["params"] if param not in given) if leaf)
    keys = tuple(dict.fromkeys(("state", "position", "capacity", *(leaf.path[0] for leaf in leaves), *(("past",) if delays else ()))))
    saved = tuple((s["name"], tuple(s["shape"])) for s in raw.get("saved", ()))
    return Manifest(
        name=raw["name"], spec=raw.get("spec", raw["name"]), summary=raw.get("summary") or "", sources=tuple(raw.get("sources") or ()),
        fields=tuple(fields), inputs=tuple(f for f in fields if not f.keyword), delays=tuple(f for f in fields if f.delay), leaves=leaves,
        memory_keys=keys, dims=tuple(raw["dims"]),
        derived=tuple((name, size_of(str(text))) for name, text in (raw.get("derived") or {}).items()),
        states=states, output=tuple(raw["output"]), cache=cache, run=raw.get("run"), constants=raw.get("constants") or {},
        chunks=tuple(raw["chunks"]), chunk=raw["chunk"], sides=tuple(raw["sides"]),
        loads={dim: (usual, large) for dim, (usual, large) in raw.get("loads", {}).items()},
        forward_params=tuple(forward["params"]), forward_results=tuple(r for r in forward["results"] if r not in dict(saved)),
        backward_params=tuple(backward["params"]), backward_results=tuple(backward["results"]), saved=saved, raw=raw)


def _domain(entry: dict) -> tuple:
    return tuple(entry.get("domain") or ("real", None, None))


def _leaf(param: str, states: dict[str, State], cache: Cache | None) -> Leaf | None:
    group, _, name = param.partition(".")
    if group in ("state", "run") and name in states:
        return Leaf(param, (group, name), states[name].shape, state=name)
    if group == "cache" and name in states:
        return Leaf(param, ("cache", name), (None, *states[name].shape), slots=2)
    if group == "live" and name in states:
        return Leaf(param, ("live", name), (LEVELS, *states[name].shape), levels=2, state=name)
    if group == "since" and name in states:
        return Leaf(param, ("since", name), (LEVELS, *cache.since[name]), levels=2)
    if cache and param == "live.summary":
        return Leaf(param, ("live", "summary"), (LEVELS, *cache.summary), levels=2)
    if cache and param == "summary":
        return Leaf(param, ("summary",), (None, *cache.summary), slots=2)
    if cache and param == "summary.partial":
        return Leaf(param, ("partial",), cache.summary)
    if cache and group == "after" and name.isdigit():
        return Leaf(param, ("after", name), (LEVELS,), levels=2) if cache.growth == "logarithmic" else Leaf(param, ("after", name), (None,), slots=2)
    return None
