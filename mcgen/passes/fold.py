"""Dims that a kernel goes over block by block: what it sums or multiplies out along such a dim adds up over the blocks.

A tile then has the block's side instead of the dim's. Where a kernel is not cut into programs along a dim, that is what keeps long
tiles out of registers.
"""
from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Mapping

from ..ir.nodes import Program, Value, dim_of, is_dim
from .arrange import arrange
from .token_loops import token_loops

# what a block has of it is what it is there, but along what it sums or orders
_PLAIN = {"const", "size", "row", "iota", "param", "load", "map", "rename", "sum", "max", "dot", "cumsum", "pair", "papply", "channels", "cumprod",
          "decayed"}


@dataclass(frozen=True)
class Fold:
    """The values of a kernel along `axis`, each with its arguments before it. before: what the blocks share. inside: what has the axis, and
    of that `sums`, what adds up over the blocks. All else comes after them."""

    axis: str
    before: tuple[Value, ...]
    inside: tuple[Value, ...]
    sums: tuple[Value, ...]


def fold(program: Program, blocked: tuple[str, ...]) -> Fold | None:
    """Along the dim that most tiles have, of those that nothing needs whole to compute what has it; None without such a dim.

    Requires: a kernel of a grid over rows; `blocked`, along which its programs are cut. Ensures: nothing that has the axis depends on `sums`.
    """
    values = program.order()
    axes = sorted({a for v in values for a in v.axes if is_dim(a) and not dim_of(a).isdigit()} - set(blocked))
    users = Counter(id(a) for v in values for a in v.args) + Counter(map(id, program.roots()))
    alone = token_loops(program).alone                   # computed inside loops over tokens, after the blocks
    found = [f for a in axes if (f := _along(a, axes, values, users)) is not None and not any(id(v) in alone for v in f.inside)]
    return max(found, key=lambda f: sum(v.op not in ("iota", "param", "load") and len(v.axes) > 2 for v in f.inside), default=None)


def _along(axis: str, axes: list[str], values: list[Value], users: Mapping[int, int]) -> Fold | None:
    if any(a != axis and dim_of(a) == dim_of(axis) for a in axes):
        return None
    sums: dict[int, Value] = {}
    inside: dict[int, Value] = {}
    late: set[int] = set()                               # what depends on a sum
    for v in values:
        mine = axis in v.axes or any(axis in a.axes for a in v.args)
        late |= {id(v)} if any(id(a) in late or id(a) in sums for a in v.args) else set()
        if not mine:
            continue
        if v.op not in _PLAIN or id(v) in late or (v.op == "cumsum" and v["axis"] == axis) or (v.op == "max" and axis in v["over"]):
            return None
        if any(axis in move for move in v.get("moves") or ()) or "r" in (v.get("over") or ()):
            return None
        inside[id(v)] = v
        if axis not in v.axes:
            sums[id(v)] = v
    if not sums:
        return None
    for v in values:                                     # a sum that only a shorter one is made of need not add up itself
        mine = [a for a in v.args if id(a) in sums]
        if v.op == "dot" and len(mine) == 1 and users[id(mine[0])] == 1 and len(v.axes) < len(mine[0].axes) and not any(id(a) in late for a in v.args):
            del sums[id(mine[0])]
            inside[id(v)] = sums[id(v)] = v
    wanted = arrange([v for v in values if id(v) in inside])
    return Fold(axis, tuple(v for v in wanted if id(v) not in inside), tuple(v for v in wanted if id(v) in inside), tuple(sums.values()))
