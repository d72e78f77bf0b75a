"""The tile program: a small typed SSA over named axes. grammar.md beside this file is its grammar on one page.

A value has an operation, arguments, attributes and an ordered tuple of named axes; every value is implicitly also per
sequence and head. Axes with a meaning of their own:

    r   rows of the chunk table (runs of at most C consecutive tokens that never straddle a segment)
    c   the tokens of a row;  d   the same tokens again, as the second axis of a token-by-token matrix;  mid   again, between
    n   the memories that a row may read: slots of the cache, oldest segment first; where segments grow by merging
        (logarithmic growth) the binary digits of the row's segment, lowest first
    m   slots of such a cache: the memory that ends with unit m
    l   levels: the runs from the last multiple of 2^l units on, which become memories of 2^l units
    t   tokens of the whole call (only on parameters, and on every value at the token level)

All others are the spec's dimensions (`K`, `V`; `K~` is the second axis of a [K, K] matrix; `3` an integer dimension).
Elementwise operations broadcast by name. Values are interned by `Builder`: equal values are one object, so common
subexpressions are computed once by construction.
"""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Container, Iterable, Iterator, Sequence

from ..diagnostics import Pos

NO_POS = Pos("<none>", 0, 0)
AXIS_ORDER = ("t", "r", "c", "d", "mid", "n", "l", "m")
LEAD = {"slots": ("n",), "units": ("m",), "levels": ("l",), "starts": ("r",)}      # the axis before a parameter's own


@dataclass(frozen=True, eq=False)
class Value:
    """One SSA value. dtype: 'f' (a number), 'i' (an integer) or 'b' (a truth value). name, pos: what a reader of generated text
    would call it ('' where no pass knows), and where it comes from; neither takes part in identity."""

    op: str
    args: tuple["Value", ...] = ()
    attrs: tuple[tuple[str, Any], ...] = ()
    axes: tuple[str, ...] = ()
    dtype: str = "f"
    name: str = field(default="", compare=False)
    pos: Pos = field(default=NO_POS, compare=False)

    def __getitem__(self, key: str) -> Any:
        for name, value in self.attrs:
            if name == key:
                return value
        raise KeyError(key)

    def get(self, key: str, default: Any = None) -> Any:
        return dict(self.attrs).get(key, default)


@dataclass(frozen=True)
class Param:
    """A parameter. kind: token [B,T,H,*axes], head [H,*axes], memory [B,H,*axes], slots [B,H,N,*axes] over n,
    units [B,H,M,*axes] over m, levels [B,H,N,*axes] over l, starts [B,H,R,*axes]; inside a body: value (whatever the
    caller passes, with exactly these axes)."""

    name: str
    kind: str
    axes: tuple[str, ...]          # the spec's dimensions only
    delay: int = 0                 # token parameters: how many earlier tokens stand before the first
    dtype: str = "f"


@dataclass(frozen=True)
class Result:
    """A result. kind as in Param. Token results are sums of parts (value over r and c, shift): the value at token t
    belongs to token t - shift. Other kinds have one part with shift 0."""

    name: str
    kind: str
    axes: tuple[str, ...]
    parts: tuple[tuple[Value, int], ...]
    delay: int = 0


@dataclass(frozen=True)
class Program:
    """Parameters, results, and by them everything between. `order()` lists the values, arguments first."""

    name: str
    params: tuple[Param, ...]
    results: tuple[Result, ...]
    level: str = "chunk"
    segment: int = 0               # segment length; 0 without a cache

    def roots(self) -> list[Value]:
        return [value for result in self.results for value, _ in result.parts]

    @property
    def slot(self) -> str:
        """The axis of the cache's slots: m where segments merge and n stands for the digits of their number."""
        return "m" if any(p.kind == "units" for p in (*self.params, *self.results)) else "n"

    def order(self) -> list[Value]:
        return order(self.roots())

    def param(self, name: str) -> Param:
        for param in self.params:
            if param.name == name:
                return param
        raise KeyError(name)


def order(roots: Iterable[Value], seen: set[int] | None = None, below: Callable[[Value], Sequence[Value]] = lambda v: v.args) -> list[Value]:
    """Every value below the roots once, arguments before users, in a deterministic order. seen: ids of what is left out with all below
    it; those of what is found join them. below: what counts as a value's arguments."""
    seen = set() if seen is None else seen
    found: list[Value] = []
    stack: list[tuple[Value, bool]] = [(r, False) for r in reversed(list(roots))]
    while stack:
        value, done = stack.pop()
        if done:
            found.append(value)
        elif id(value) not in seen:
            seen.add(id(value))
            stack.append((value, True))
            stack.extend((a, False) for a in reversed(below(value)) if id(a) not in seen)
    return found


def uses(values: Iterable[Value]) -> dict[int, list[Value]]:
    """id of a value -> its users, each listed once per use."""
    found: dict[int, list[Value]] = {}
    for value in values:
        for arg in value.args:
            found.setdefault(id(arg), []).append(value)
    return found


def sort_axes(axes: Iterable[str]) -> tuple[str, ...]:
    """The canonical order: tokens and slots first, then the spec's dimensions as they first appear."""
    names = list(dict.fromkeys(axes))
    return tuple([a for a in AXIS_ORDER if a in names] + [a for a in names if a not in AXIS_ORDER])


def step_axis(count: int) -> str:
    """The axis of the steps inside a token, where there are several."""
    return f"{count}."


def is_step(axis: str) -> bool:
    """Whether an axis counts the steps inside a token."""
    return axis.rstrip("~").endswith(".") and axis.rstrip("~.").isdigit()


def steps_inside(axes: Iterable[str]) -> tuple[str, ...]:
    """The axes with steps right behind their tokens: c, step, d, step~."""
    names = list(axes)
    steps = list(filter(is_step, names))
    for step in steps:
        names.remove(step)
        token = "d" if step.endswith("~") else "c"
        names.insert(names.index(token) + 1 if token in names else len(names), step)
    return tuple(names)


def dim_axis(dim: str | int) -> str:
    """The axis of a spec dimension: its name, with a dot behind it where the name is one of the program's own axes."""
    name = str(dim)
    return name + "." if name in AXIS_ORDER else name


def dim_of(axis: str) -> str:
    """The spec dimension of an axis: `K` for `K` and `K~`."""
    return axis.rstrip("~'.")


def free_axis(axis: str, taken: Container[str]) -> str:
    """The axis, or where it is taken another one of its dim.

    >>> free_axis("K~", ("K~",)), free_axis("K", ("K", "K~"))
    ('K', "K'")
    """
    return next(a for a in (axis, *(dim_axis(dim_of(axis)) + mark for mark in ("", "~", "'"))) if a not in taken)


def is_dim(axis: str) -> bool:
    """Whether an axis is one of the spec's dimensions."""
    return axis not in AXIS_ORDER


def scan_axis(loop: Value) -> str:
    """What a scan runs over: the rows, or the tokens of a row."""
    return loop.get("axis", "r")


def slot_axis(loop: Value) -> str:
    """What a slots loop runs over: the memories that a row may read, or the levels."""
    return loop.get("axis", "n")


def bodies(value: Value) -> Iterator[Program]:
    body = value.get("body")
    if body is not None:
        yield body
