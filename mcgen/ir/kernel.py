"""The kernel level: statements on named tiles inside loops over rows, slots and tokens. What the CPU and GPU printers print.
`kernel_printer` shows it as text (grammar.md), `kernel_verifier` checks it.

    kernel  := params, tiles, before (stmt*), rows (stmt*), after (stmt*)       per sequence and head
    expr    := num | size axis | ref | iota axis | row field | fn(expr, ..)
    ref     := NAME [axis, ..] (at 'segment')?      axes are the loops' names: renaming is a way of indexing
    stmt    := load ref, param, shift, fill      ref = the tokens of the row
             | store param, expr, shift, accumulate
             | map ref, expr, accumulate         elementwise over the ref's axes
             | reduce 'sum' | 'max', ref, expr, over, accumulate
             | dot ref, expr, expr, over, accumulate, scale, lower, over_lower
             | product axes, expr, expr, over { (map | reduce 'sum')* }      a product that is never stored: 'acc' in the
                                                 statements is its element; a sum goes over the last of its axes; never over n
             | cumsum ref, expr, axis, reverse, exclusive
             | solve ref, ref, transposed        the first = (1 - second)^-1 of itself
             | cumprod ref, expr, reverse        over the tokens before each
             | decayed ref, expr, expr, reverse  the sum of the first over the tokens before each, times the second between
             | pair ref, ref, ref, ref           [c, d]: the second over c times the third over d, times the fourth between
             | channels ref, ref?, ref?, ref -> ref?, ref?, ref?      what a matrix of tokens makes of pairs: derivatives
             | topk ref, ref, k
             | dense_solve ref, ref, ref, row, column, definite    the ref over column with matrix * it = the last ref over row
             | when expr { stmt* }               a condition on the row
             | loop 'past' | 'segment' | 'all' { stmt* }      n over the slots before the row's segment; the row's own; all
             | loop 'digits' { stmt* }           n over the digits of the row's segment that are 1, m the slot of each; where
                                                 there are digits, 'segment' and 'all' are of m
             | along axis { stmt* }              one position of the axis after the other, in order
             | loop 'tokens' | 'tokens_back' { stmt* }        c over the row's tokens, the first or the last one first
"""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Iterator

from ..diagnostics import Pos
from .nodes import NO_POS, Param, Result


@dataclass(frozen=True)
class Expr:
    """op: num, size, ref, iota, row, or a function of the table; attr: its number, axis, Ref or field."""

    op: str
    args: tuple["Expr", ...] = ()
    attr: Any = None
    dtype: str = "f"


@dataclass(frozen=True)
class Ref:
    """Elements of a tile or parameter. storage: its name; kind: 'tile' or the parameter's kind, or 'acc'; at: None or 'segment'."""

    storage: str
    kind: str
    axes: tuple[str, ...]
    at: str | None = None
    precise: bool = False


def sum_at_hand(axes: tuple[str, ...] = ()) -> Ref:
    """The element that a product has just summed. No tile has its name: a spec's names have no dots."""
    return Ref("product.sum", "acc", axes)


def axes_in(e: Expr) -> set[str]:
    """The axes over which an expression varies, as it names them."""
    own = set(e.attr.axes) if e.op == "ref" else {e.attr} if e.op == "iota" else set()
    return own.union(*map(axes_in, e.args))


def refs_in(e: Expr) -> Iterator[Ref]:
    """Every element that an expression reads, in reading order."""
    if e.op == "ref":
        yield e.attr
    for arg in e.args:
        yield from refs_in(arg)


@dataclass(frozen=True)
class Tile:
    """Scratch of one sequence and head. precise: float64; pos: the place in the spec of what it holds first."""

    name: str
    axes: tuple[str, ...]
    precise: bool = False
    pos: Pos = field(default=NO_POS, compare=False)


@dataclass(frozen=True)
class Load:
    dst: Ref
    param: Param
    shift: int
    fill: float | None


@dataclass(frozen=True)
class Store:
    result: Result
    value: Expr
    shift: int
    accumulate: bool


@dataclass(frozen=True)
class Map:
    dst: Ref
    value: Expr
    accumulate: bool = False


@dataclass(frozen=True)
class Reduce:
    kind: str
    dst: Ref
    value: Expr
    over: tuple[str, ...]
    accumulate: bool = False


@dataclass(frozen=True)
class Dot:
    dst: Ref
    left: Expr
    right: Expr
    over: tuple[str, ...]
    accumulate: bool = False
    scale: Expr | None = None
    then: Expr | None = None       # of row 'acc', where the result is stored once
    lower: bool = False
    over_lower: bool = False
    rows: Expr | None = None


@dataclass(frozen=True)
class Product:
    axes: tuple[str, ...]
    left: Expr
    right: Expr
    over: tuple[str, ...]
    body: tuple                    # of Map and Reduce


@dataclass(frozen=True)
class Cumsum:
    dst: Ref
    value: Expr
    axis: str
    reverse: bool
    exclusive: bool


@dataclass(frozen=True)
class Solve:
    """x = (1 - L)^-1 x in place, rows of tokens; matrix: L over c, d, read where d comes before c."""

    x: Ref
    matrix: Ref
    transposed: bool


@dataclass(frozen=True)
class Cumprod:
    dst: Ref
    value: Expr
    reverse: bool


@dataclass(frozen=True)
class Decayed:
    dst: Ref
    value: Expr
    factor: Expr
    reverse: bool


@dataclass(frozen=True)
class Pair:
    """dst over c, d; q over c and an axis, k over d and it, factor over c and it. Tiles."""

    dst: Ref
    q: Ref
    k: Ref
    factor: Ref


@dataclass(frozen=True)
class Channels:
    """The derivatives of sum of matrix * pair(q, k, factor): by q (needs k), by k (needs q), by factor (needs both). Tiles."""

    matrix: Ref
    q: Ref | None
    k: Ref | None
    factor: Ref
    dq: Ref | None
    dk: Ref | None
    df: Ref | None


@dataclass(frozen=True)
class Topk:
    """digits: among memories of digits that are 1, a tie to the higher one."""

    dst: Ref
    score: Ref
    k: int
    digits: bool = False


@dataclass(frozen=True)
class DenseSolve:
    dst: Ref
    matrix: Expr
    right: Expr
    row: str
    column: str
    definite: bool = False


@dataclass(frozen=True)
class When:
    condition: Expr
    body: tuple


@dataclass(frozen=True)
class Loop:
    kind: str
    body: tuple


@dataclass(frozen=True)
class Along:
    axis: str
    body: tuple


@dataclass(frozen=True)
class Saving:
    """Statements that only the pass with saved results has."""

    body: tuple


@dataclass
class Kernel:
    """One kernel. `results` from index `saved` on exist only when saving. slot: the axis of the cache's slots, n or m."""

    name: str
    params: tuple[Param, ...]
    results: tuple[Result, ...]
    saved: int
    reverse: bool
    tiles: list[Tile] = field(default_factory=list)
    before: list = field(default_factory=list)
    rows: list = field(default_factory=list)
    after: list = field(default_factory=list)
    slot: str = "n"
