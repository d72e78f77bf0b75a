"""Under which conditions a value counts: the branches of `choose` in which it stands.

The cotangent of a branch that is not taken is 0, but 0 times an infinite derivative is not: what a branch adds to a
gradient is masked once more where the derivative is made.
"""
from __future__ import annotations

from typing import Callable, Sequence

from .builder import Builder
from .nodes import Value

# a mask and whether the branch is the one of its truth; all of a clause hold at once, the empty one always
Clause = frozenset[tuple[Value, bool]]
Clauses = tuple[Clause, ...]
ALWAYS: Clauses = (frozenset(),)
LINEAR = {"add", "sub", "neg", "where", "choose", "float"}      # derivatives that are never infinite
LIMIT = 4                                                       # clauses of one value; beyond: it counts always


def live(b: Builder, values: Sequence[Value], outputs: Sequence[Value]) -> dict[int, Clauses]:
    """For each value (arguments before users) that an output is made of, the clauses in one of which it counts."""
    found: dict[int, Clauses] = {id(v): ALWAYS for v in outputs}
    for value in reversed(values):
        own = found.get(id(value))
        if own is None or value.dtype == "b":
            continue
        for i, arg in enumerate(value.args):
            clauses = own
            if value.op == "map" and value["fn"] == "choose" and i:
                clauses = tuple(c | {(value.args[0], i == 1)} for c in own)
            clauses = tuple(frozenset(_along(b, m, taken, arg.axes) for m, taken in c) for c in clauses) if value.op in ("map", "sum", "dot") else ALWAYS
            found[id(arg)] = _either(found.get(id(arg), ()), clauses)
    return found


def _along(b: Builder, mask: Value, taken: bool, axes: Sequence[str]) -> tuple[Value, bool]:
    """The condition for a value over these axes: along others it is enough that one entry takes the branch."""
    more = [a for a in mask.axes if a not in axes]
    if not more:
        return mask, taken
    counted = b.where(mask, b.const(float(taken)), b.const(float(not taken)))
    return b.map("gt", b.sum(counted, more), b.zero()), True


def _either(one: Clauses, other: Clauses) -> Clauses:
    """The clauses of both, less those that another one implies."""
    every = list(dict.fromkeys((*one, *other)))
    kept = tuple(c for c in every if not any(weaker < c for weaker in every))
    return kept if len(kept) <= LIMIT else ALWAYS


def masked(b: Builder, clauses: Clauses, part: Value) -> Value:
    """What a value adds to an argument's cotangent, 0 where none of its clauses holds."""
    total = b.zero()
    for clause in clauses:
        inside = part
        for mask, taken in sorted(clause, key=lambda item: b.serial(item[0])):
            inside = b.where(mask, inside, total) if taken else b.where(mask, total, inside)
        total = inside
    return total


def guard(b: Builder, value: Value, clauses: Clauses) -> Callable[[Value], Value]:
    """How the derivative of a value becomes part of a gradient."""
    plain = value.op != "map" or value["fn"] in LINEAR or frozenset() in clauses
    return (lambda part: part) if plain else (lambda part: masked(b, clauses, part))
