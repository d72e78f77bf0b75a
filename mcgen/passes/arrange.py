"""The order of statements in which few tiles are alive at once: a GPU's registers hold a handful of them."""
from __future__ import annotations

import math
from typing import Container, Iterable, Mapping, Sequence

from ..ir.nodes import Value, dim_of, is_dim, order
from .precision import precise

SIDE = 64                                                # what an axis counts
_ONE = ("r", "n", "m", "l")                              # axes of which a program has one entry at a time, of matrices
COPIES = 16                                              # of a vector of numbers, in the threads that have a part of a tile
PARTS = {"channels": 3}                                  # what an operation makes at once
_NAMES = ("const", "size", "iota", "row", "rename")      # no statement of its own


def arrange(roots: Sequence[Value], stands: Mapping[int, Value | None] | None = None, held: Sequence[Value] = (),
            kept: Sequence[Value] = ()) -> list[Value]:
    """Every value below the roots once, arguments first. Of three orders that with the fewest tiles alive at once: from the first statement
    to the last, always what adds least to the tiles that are alive, or from the last to the first, the first or the last of equals.

    stands: ids of parameters of loops' bodies, and of what loops give, with the value that each stands for; None for what is there before
    all statements. held: tiles that are there too, until they have been used. kept: roots that stay until the end; others are stored at
    once.
    """
    graph = _Graph(roots, stands, held, kept)
    return graph.with_names(graph.best())


class Pressure:
    """How many tiles are alive at once where statements are arranged."""

    def __init__(self, roots: Sequence[Value]):
        self.graph = _Graph(roots)
        self.values = self.graph.best()

    def tiles(self, sides: Mapping[str, float] | None = None, folded: Container[str] = ()) -> float:
        """In tiles of 64 x 64. sides: how often some axes have 64, once if not given. What is summed along `folded` adds up all the while."""
        sides = sides or {}
        sizes = {id(v): self.graph.sizes[id(v)] * math.prod(sides.get(a, 1) for a in v.axes) for v in self.values}
        sums = sum(sizes[id(v)] for v in self.values if any(a in folded for a in v.get("over") or ()))
        return max(self.graph.needs(self.values, sizes)[0], sums) / (SIDE * SIDE)


class _Graph:
    """The statements of some values, what each needs, and what needs it."""

    def __init__(self, roots: Sequence[Value], stands: Mapping[int, Value | None] | None = None, held: Sequence[Value] = (),
                 kept: Sequence[Value] = ()):
        self.roots, self.stands = roots, stands or {}
        below = order(roots, below=self.below)
        self.wide = precise(below)
        self.values = [v for v in below if not self.named(v)]
        self.held = {id(v) for v in held} & {*map(id, self.values)}
        self.place = {id(v): i for i, v in enumerate(self.values)}
        self.needed = {id(v): self.statements(self.below(v)) for v in self.values}
        self.users: dict[int, list[Value]] = {i: [] for i in self.place}
        for v in self.values:
            for a in self.needed[id(v)]:
                self.users[id(a)].append(v)
        self.kept = {id(v) for v in self.statements(kept)}
        self.sizes = {id(v): self.size(v) for v in self.values}

    def below(self, v: Value) -> Sequence[Value]:
        if id(v) not in self.stands:
            return v.args
        other = self.stands[id(v)]
        return () if other is None else (other,)

    def named(self, v: Value) -> bool:
        return v.op in _NAMES or id(v) in self.stands

    def statements(self, values: Iterable[Value]) -> list[Value]:
        """Those that the values are, or are names of."""
        found: dict[int, Value] = {}
        stack = list(values)[::-1]
        while stack:
            v = stack.pop()
            if self.named(v):
                stack += self.below(v)
            else:
                found[id(v)] = v
        return list(found.values())

    def best(self) -> list[Value]:
        return min((self.forward(), self.backward(1), self.backward(-1)), key=self.needs)

    def size(self, v: Value) -> int:
        """How many numbers of 32 bits. Of matrices for every slot there is one at a time; a vector lies in many threads."""
        if v.dtype == "b":
            return 0
        once = _ONE if sum(map(is_dim, v.axes)) > 1 else ("r",)
        sides = [min(int(dim_of(a)), SIDE) if dim_of(a).isdigit() else SIDE for a in v.axes if a not in once]
        return math.prod(sides) * (2 if id(v) in self.wide else 1) * (COPIES if len(sides) == 1 else 1)

    def forward(self) -> list[Value]:
        """The first of equals is the first depth first."""
        left = {i: len(users) + (i in self.kept) for i, users in self.users.items()}
        missing = {i: len(needed) for i, needed in self.needed.items()}

        def cost(v: Value) -> tuple[int, int]:
            freed = sum(self.sizes[id(a)] for a in self.needed[id(v)] if left[id(a)] <= 1)
            return -1 if id(v) in self.held else max(0, self.sizes[id(v)] - freed), self.place[id(v)]

        able = {id(v): cost(v) for v in self.values if not missing[id(v)]}
        found: list[Value] = []
        while able:
            v = self.values[self.place[min(able, key=able.__getitem__)]]
            del able[id(v)]
            found.append(v)
            for a in self.needed[id(v)]:
                left[id(a)] -= 1
            for user in self.users[id(v)]:
                missing[id(user)] -= 1
                if not missing[id(user)]:
                    able[id(user)] = cost(user)
            able.update((id(u), cost(u)) for a in self.needed[id(v)] if left[id(a)] <= 1 for u in self.users[id(a)] if id(u) in able)
        return found

    def backward(self, way: int) -> list[Value]:
        """What is needed comes as late as it may: it is then no tile before. way: -1 if depth first the first of equals comes last."""
        missing = {i: len(users) for i, users in self.users.items()}
        alive = set(self.kept)

        def cost(v: Value) -> tuple[bool, int, int]:
            new = sum(self.sizes[id(a)] for a in self.needed[id(v)] if id(a) not in alive)
            return id(v) in self.held, new - self.sizes[id(v)], -way * self.place[id(v)]

        able = {id(v): cost(v) for v in self.values if not missing[id(v)]}
        found: list[Value] = []
        while able:
            v = self.values[self.place[min(able, key=able.__getitem__)]]
            del able[id(v)]
            found.append(v)
            new = [a for a in self.needed[id(v)] if id(a) not in alive]
            alive |= {*map(id, new)}
            able.update((id(u), cost(u)) for a in new for u in self.users[id(a)] if id(u) in able)
            for a in self.needed[id(v)]:
                missing[id(a)] -= 1
                if not missing[id(a)]:
                    able[id(a)] = cost(a)
        return found[::-1]

    def needs(self, values: Sequence[Value], sizes: Mapping[int, float] | None = None) -> tuple[float, float]:
        """Numbers alive at once, at most, and over all statements."""
        sizes = sizes or self.sizes
        last = {id(a): i for i, v in enumerate(values) for a in (v, *self.needed[id(v)])} | dict.fromkeys(self.kept, len(values))
        alive = most = total = 1.0 * sum(sizes[i] for i in self.held)
        for i, v in enumerate(values):
            made = 0 if id(v) in self.held else sizes[id(v)]
            freed = sum(sizes[id(a)] for a in self.needed[id(v)] if last[id(a)] == i)
            now = alive + (max(0, made - freed) if v.op == "map" else made * PARTS.get(v.op, 1))              # element by element in place
            most, total = max(most, now), total + now
            alive += made - freed - (made if last[id(v)] == i else 0)
        return most, total

    def with_names(self, values: Sequence[Value]) -> list[Value]:
        """The values in their order, each behind the names that it needs first."""
        found: dict[int, Value] = {}
        seen: set[int] = set()
        for v in (*values, *self.roots):
            for a in order([v], seen, self.below):
                if a is v or self.named(a):
                    found.setdefault(id(a), a)
        return list(found.values())
