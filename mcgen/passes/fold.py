"""Dims that a kernel goes over block by block: what it sums or multiplies out along such a dim adds up over the blocks.

A tile then has the block's side instead of the dim's. Where a kernel is not cut into programs along a dim, that is what keeps long
tiles out of registers. What needs a sum over all blocks before it can be had block by block waits for the next time over them. A loop
over slots that sums along the dim goes over the blocks itself, in each slot.
"""
from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Mapping, Sequence

from ..ir.nodes import Program, Value, dim_of, is_dim, order
from .arrange import arrange
from .token_loops import token_loops

# what a block has of it is what it is there, but along what it sums or orders
_PLAIN = {"const", "size", "row", "iota", "param", "load", "map", "rename", "sum", "max", "dot", "cumsum", "pair", "papply", "channels", "cumprod",
          "decayed", "take"}
HELD = 6                         # tiles that blocks share and registers hold all the while
_READ = {"const", "size", "row", "iota", "param", "load", "map", "rename"}       # what is as well had again in every slot


@dataclass(frozen=True)
class Pass:
    """Once over the blocks: values, each with its arguments before it. before: what the blocks share. inside: what has the axis, and of
    that `sums`, what adds up over the blocks, and `given`, results had block by block; and what blocks share but have again each."""

    before: tuple[Value, ...]
    inside: tuple[Value, ...]
    sums: tuple[Value, ...]
    given: tuple[Value, ...]


@dataclass(frozen=True)
class Fold:
    """What a kernel does along `axis`: one pass after the other. Nothing else has the axis. loops: id of a loop over slots -> the passes
    inside it, in each slot, in which what it is given along the axis is had block by block."""

    axis: str
    passes: tuple[Pass, ...]
    loops: Mapping[int, tuple[Pass, ...]]

    @property
    def sums(self) -> tuple[Value, ...]:
        return tuple(v for once in self.passes for v in once.sums)

    def has(self, v: Value) -> bool:
        """Whether v is had block by block."""
        return self.axis in v.axes or (v.op == "slots" and id(v) not in self.loops and any(self.axis in a.axes for a in v.args))

    @property
    def size(self) -> int:
        """Tiles along the axis."""
        every = (v for once in (*self.passes, *(x for passes in self.loops.values() for x in passes)) for v in once.inside)
        return sum(v.op not in ("iota", "param", "load") and len(v.axes) > 2 for v in every)


def fold(program: Program, blocked: tuple[str, ...], most: int = 1) -> Fold | None:
    """Along the dim that most tiles have, of those that take at most so many passes; None without such a dim.

    Requires: a kernel of a grid over rows; `blocked`, along which its programs are cut. Ensures: nothing that has the axis depends on the
    sums of its pass.
    """
    values = program.order()
    inner = [x for v in values if v.op == "slots" for x in v["body"].order()]
    axes = sorted({a for v in (*values, *inner) for a in v.axes if is_dim(a) and not dim_of(a).isdigit()} - set(blocked))
    alone = token_loops(program).alone                   # computed inside loops over tokens, after the blocks
    found = [f for a in axes if (f := _along(a, axes, program)) is not None and len(f.passes) <= most
             and not any(id(v) in alone for once in f.passes for v in once.inside)]
    return max(found, key=lambda f: (-len(f.passes), f.size), default=None)


def _along(axis: str, axes: list[str], program: Program) -> Fold | None:
    if any(a != axis and dim_of(a) == dim_of(axis) for a in axes):
        return None
    values = program.order()
    loops: dict[int, tuple[Pass, ...]] = {}
    for v in values:
        if v.op == "slots" and any(axis in a.axes for a in v.args) and not _blockwise(axis, v):
            passes = _passes(axis, v["body"].roots(), {})
            if not passes or not all(x.op in _READ or axis not in x.axes for x in order(v.args)):
                return None
            loops[id(v)] = passes
    passes = _passes(axis, program.roots(), loops)
    return Fold(axis, passes, loops) if passes or (loops and passes is not None) else None


def _passes(axis: str, roots: Sequence[Value], loops: Mapping[int, tuple[Pass, ...]]) -> tuple[Pass, ...] | None:
    """None where something needs the axis whole."""
    values = order(roots)
    along = {id(v): v for v in values if id(v) not in loops and (axis in v.axes or any(axis in a.axes for a in v.args))}
    for v in along.values():
        if (v if v.op != "out" else v.args[0]).op == "slots" and _blockwise(axis, v if v.op != "out" else v.args[0]):
            continue
        if v.op not in _PLAIN or (v.op == "cumsum" and v["axis"] == axis) or (v.op == "max" and axis in v["over"]):
            return None
        if any(axis in move for move in v.get("moves") or ()) or "r" in (v.get("over") or ()):
            return None
    sums = {i: v for i, v in along.items() if axis not in v.axes and v.op != "slots"}
    if not sums and not loops:
        return ()
    when = _when(values, sums)
    users = Counter(id(a) for v in values for a in v.args) + Counter(map(id, roots))
    for v in values:                                     # a sum that only a shorter one is made of need not add up itself
        mine = [a for a in v.args if id(a) in sums]
        if v.op == "dot" and len(mine) == 1 and users[id(mine[0])] == 1 and len(v.axes) < len(mine[0].axes) and \
                all(when[id(a)] <= when[id(mine[0])] for a in v.args if a is not mine[0]):
            del sums[id(mine[0])]
            along[id(v)] = sums[id(v)] = v
    when = _when(values, sums)
    ends = {id(v): v for v in (*sums.values(), *(v for v in roots if axis in v.axes))}
    passes = []
    for now in sorted({when[i] for i in ends}):
        made = [v for i, v in ends.items() if when[i] == now]
        stack, inside = list(made), set()
        while stack:
            v = stack.pop()
            if id(v) not in inside:
                inside.add(id(v))
                stack += [a for a in v.args if id(a) in along and id(a) not in sums]
        wanted = arrange(made)
        inside |= _again(wanted, inside, along)
        there = dict.fromkeys(id(v) for v in wanted if id(v) not in inside)
        passes.append(Pass(tuple(v for v in wanted if id(v) not in along and id(v) in there), tuple(v for v in arrange(made, there) if id(v) in inside),
                           tuple(v for v in made if id(v) in sums), tuple(v for v in made if id(v) not in sums)))
    return tuple(passes)


def _blockwise(axis: str, loop: Value) -> bool:
    """Whether a loop over slots is for a block what it is there: all that it has of the axis has the axis left."""
    values = loop["body"].order()
    along = [v for v in values if axis in v.axes or any(axis in a.axes for a in v.args)]
    ordered = any(v.op == "cumsum" and v["axis"] == axis for v in along)
    return not ordered and all(v.op in _PLAIN and axis in v.axes and axis not in (v.get("over") or ()) for v in along) and \
        all(axis in r.axes for r in loop["body"].results)


def _again(values: Sequence[Value], inside: set[int], along: Mapping[int, Value]) -> set[int]:
    """Tiles, read or made of such ones elementwise, that many blocks would share: ids."""
    tiles: set[int] = set()
    for v in values:
        if id(v) not in along and len(set(v.axes) - {"r"}) > 1 and v.op in _READ and all(id(a) in tiles or len(set(a.axes) - {"r"}) < 2 for a in v.args):
            tiles.add(id(v))
    used = {id(a) for v in values if id(v) in inside for a in v.args} & tiles
    return tiles if len(used) > HELD else set()


def _when(values: Sequence[Value], sums: Mapping[int, Value]) -> dict[int, int]:
    """The pass in which each value can be had."""
    found: dict[int, int] = {}
    for v in values:
        found[id(v)] = max((found[id(a)] + (id(a) in sums) for a in v.args), default=0)
    return found
