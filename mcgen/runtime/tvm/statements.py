"""What a kernel does, as data: the storages it touches and its statements. Built by `builder`, read by `lower`."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Iterator

from .expr import Access, Expr


@dataclass(frozen=True, eq=False)
class Storage:
    """A parameter or a scratch tile. `kind` says where an element lives:

    token [B,T,H,*dims]   head [H,*dims]   memory [B,H,*dims]   slots [B,H,N,*dims]   units [B,H,M,*dims]
    levels [B,H,N,*dims]   starts [B,H,R,*dims]   tile [*dims], one per thread
    """

    name: str
    kind: str
    dims: tuple[str, ...]
    dtype: str = "f32"
    out: bool = False
    delay: int = 0                 # tokens: how many earlier tokens stand before the call's first, [B,delay+T,H,*dims]

    def at(self, position) -> "Storage":
        """The memory of one slot (of one row, for starts). `position`: an integer expression or the name of a loop."""
        if self.kind not in ("slots", "units", "starts"):
            raise TypeError(f"{self.name}: only slots, units and starts have .at")
        if isinstance(position, str):
            position = Expr("scalar", (), "index:" + position, "i32")
        elif isinstance(position, int):
            position = Expr("const", (), position, "i32")
        return View(self, position)

    def __getitem__(self, index) -> Expr:
        index = index if isinstance(index, tuple) else (index,)
        position = None
        if self.kind == "starts":
            position = Expr("scalar", (), "row", "i32")
        rank = len(axes_of(self))
        if len(index) != rank:
            raise ValueError(f"{self.name}[{', '.join(index)}]: {rank} axes wanted, it holds {axes_of(self)}")
        return Expr("ref", (), Access(self, index, position), self.dtype)

    def __call__(self) -> Expr:
        """The element of a storage without axes."""
        return self[()]


@dataclass(frozen=True)
class View:
    """One slot of a slots parameter, or one row of starts."""

    storage: Storage
    position: Expr

    def __getitem__(self, index) -> Expr:
        index = index if isinstance(index, tuple) else (index,)
        if len(index) != len(self.storage.dims):
            raise ValueError(f"{self.storage.name}.at(..)[{', '.join(index)}]: {len(self.storage.dims)} axes wanted: {self.storage.dims}")
        return Expr("ref", (), Access(self.storage, index, self.position), self.storage.dtype)

    def __call__(self) -> Expr:
        return self[()]


def axes_of(storage: Storage) -> tuple[str, ...]:
    """The axes of a storage as they are indexed, slots' n and tokens' c first."""
    return {"slots": ("n",), "units": ("m",), "levels": ("l",), "token": ("c",)}.get(storage.kind, ()) + storage.dims


@dataclass(frozen=True)
class Map:
    dst: Expr
    value: Expr
    accumulate: bool = False
    upto: tuple[tuple[str, Expr], ...] = ()


@dataclass(frozen=True)
class Reduce:
    """dst = sum or max of value over the axes `over`."""

    kind: str
    dst: Expr
    value: Expr
    over: tuple[str, ...]
    accumulate: bool = False
    upto: tuple[tuple[str, Expr], ...] = ()


@dataclass(frozen=True)
class Cumsum:
    dst: Expr
    value: Expr
    axis: str
    reverse: bool = False
    exclusive: bool = False


@dataclass(frozen=True)
class Dot:
    """dst = sum over `over` of a * b, then `then` (an expression of "acc") elementwise."""

    dst: Expr
    a: Expr
    b: Expr
    over: tuple[str, ...]
    accumulate: bool = False
    then: Expr | None = None
    lower: bool = False
    over_lower: bool = False
    scale: Expr | None = None
    rows: Expr | None = None
    upto: tuple[tuple[str, Expr], ...] = ()


@dataclass(frozen=True)
class Product:
    """The sum over `over` of a * b, for every element of `axes` put into the statements of `body` as "acc"."""

    axes: tuple[str, ...]
    a: Expr
    b: Expr
    over: tuple[str, ...]
    body: list = field(default_factory=list)


@dataclass(frozen=True)
class Solve:
    """x = (1 - L)^-1 x in place, L strictly lower in its first axis against its second."""

    x: Expr
    matrix: Expr
    transposed: bool = False


@dataclass(frozen=True)
class Cumprod:
    """dst = the product of value over the tokens before (reverse: after) each, c the first axis."""

    dst: Expr
    value: Expr
    reverse: bool = False


@dataclass(frozen=True)
class Decayed:
    """dst = the sum of value over the tokens before (reverse: after) each, times factor over the tokens between."""

    dst: Expr
    value: Expr
    factor: Expr
    reverse: bool = False


@dataclass(frozen=True)
class Pair:
    """dst["c","d"] = sum over channels of q["c",..] k["d",..] times factor["c",..] over the tokens between; 0 unless d < c."""

    dst: Expr
    q: Expr
    k: Expr
    factor: Expr


@dataclass(frozen=True)
class Channels:
    """The derivatives of sum over d < c of matrix["c","d"] q["c",..] k["d",..] times factor over the tokens between, those
    that are wanted: dq (needs k), dk (needs q), df (needs both)."""

    matrix: Expr
    q: Expr | None
    k: Expr | None
    factor: Expr
    dq: Expr | None = None
    dk: Expr | None = None
    df: Expr | None = None


@dataclass(frozen=True)
class DenseSolve:
    """dst over column = the solution of matrix * dst = right over row; definite: of a symmetric matrix that is nowhere negative."""

    dst: Expr
    matrix: Expr
    right: Expr
    row: str
    column: str
    definite: bool = False


@dataclass(frozen=True)
class Load:
    dst: Expr
    source: Expr
    shift: Expr
    fill: float | None = None


@dataclass(frozen=True)
class Store:
    dst: Expr
    value: Expr
    shift: Expr
    accumulate: bool = False


@dataclass(frozen=True)
class Topk:
    dst: Expr
    score: Expr
    top: Expr
    limit: Expr
    digits: bool = False


@dataclass(frozen=True)
class Sequences:
    body: list = field(default_factory=list)


@dataclass(frozen=True)
class Rows:
    reverse: bool
    body: list = field(default_factory=list)


@dataclass(frozen=True)
class When:
    condition: Expr
    body: list = field(default_factory=list)


@dataclass(frozen=True)
class Loop:
    name: str
    low: Expr
    high: Expr
    reverse: bool = False
    body: list = field(default_factory=list)


def leaves(body: list) -> Iterator:
    """The statements in there that hold no others."""
    for statement in body:
        if isinstance(statement, Rows | When | Loop | Sequences):
            yield from leaves(statement.body)
        else:
            yield statement
