"""What an expression may say, by where it stands in the spec."""
from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

_TOKEN = frozenset({"dim", "constant", "input", "head", "let", "function"})
_SHIFTS = frozenset({"delay", "window"})
_NONE: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Context:
    """where: for messages. leaves: kinds of names that may be used. states: what a state's name means ('old', 'new',
    None: no states). calls: calls that only some places have. online: reserved names that have a value here.
    cache: whether the cache's own names are visible."""

    where: str
    leaves: frozenset[str] = _TOKEN
    states: str | None = None
    calls: frozenset[str] = _SHIFTS
    online: frozenset[str] = _NONE
    cache: bool = False

    def but(self, **changes: Any) -> Context:
        return replace(self, **changes)


SIZES = Context("a constant or dimension", leaves=frozenset({"dim", "constant"}), calls=_NONE, cache=True)
INIT = Context("an init", leaves=frozenset({"dim", "constant", "head"}), calls=_NONE)
LET = Context("let")
OBJECTIVE = Context("the objective", states="old")
UPDATE = Context("update", states="old", calls=_SHIFTS | {"new", "grad"})
END = Context("end", states="new", calls=_SHIFTS | {"new", "grad"})
READ = Context("read", states="new", calls=_SHIFTS | {"prev"})
OUTPUT = Context("output", online=frozenset({"y"}))
CACHE_LET = Context("the cache's let", cache=True)
SUMMARY = Context("summary", cache=True)
SCORE = Context("score", cache=True, calls=_SHIFTS | {"after"}, online=frozenset({"summary", "age", "level"}))
WEIGHT = Context("weight", cache=True, calls=_SHIFTS | {"after", "mix"},
                 online=frozenset({"summary", "age", "level", "score", "count"}))

STATE_NAMES = {"old": "before the token", "new": "after the token"}

_CALL_PLACES = {
    "new": ("update and end", "in read a state's name already means its value after the token"),
    "prev": ("read", "in update a state's name already means its value before the token"),
    "grad": ("update and end", None),
    "after": ("a cache's score and weight", None),
    "delay": ("expressions per token", None),
    "window": ("expressions per token", None),
}


def call_place(fn: str) -> tuple[str, str | None]:
    """Where such a call may stand, and a hint for who used it elsewhere."""
    return _CALL_PLACES[fn]
