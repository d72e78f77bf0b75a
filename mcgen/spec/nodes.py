"""What a spec file says, as data: expressions with their place in the file, and the parts of a spec.

Nothing here checks or computes; `mcgen.spec.load` builds these and `mcgen.symbolic` gives them types.
"""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping

from ..diagnostics import NOWHERE, Pos

__all__ = [
    "NOWHERE", "Pos", "Expr", "Num", "Name", "Unary", "Binary", "Compare", "Index", "Call",
    "Domain", "Input", "State", "Function", "Rule", "Segments", "Summary", "Cache", "Spec",
]


@dataclass(frozen=True)
class Expr:
    """Base of all expression nodes. `pos` never takes part in equality."""

    pos: Pos = field(default=NOWHERE, compare=False, kw_only=True)


@dataclass(frozen=True)
class Num(Expr):
    value: float | int


@dataclass(frozen=True)
class Name(Expr):
    id: str


@dataclass(frozen=True)
class Unary(Expr):
    """`op` is '-' or 'T' (transpose)."""

    op: str
    arg: Expr


@dataclass(frozen=True)
class Binary(Expr):
    """`op` is one of + - * / ** @."""

    op: str
    left: Expr
    right: Expr


@dataclass(frozen=True)
class Compare(Expr):
    """`op` is one of < <= > >= == !=. Legal only as the first argument of `where`."""

    op: str
    left: Expr
    right: Expr


@dataclass(frozen=True)
class Index(Expr):
    """`arg[index]`: entry of a vector or row of a matrix."""

    arg: Expr
    index: Expr


@dataclass(frozen=True)
class Call(Expr):
    """A built-in function or one of the spec's own `functions`; `kwargs` holds `at=` of `grad`."""

    fn: str
    args: tuple[Expr, ...]
    kwargs: tuple[tuple[str, Expr], ...] = ()


@dataclass(frozen=True)
class Domain:
    """Where an input lives: kind 'real', 'unit' (L2-normalised along the last axis) or 'interval' [lo, hi]."""

    kind: str = "real"
    lo: float = float("-inf")
    hi: float = float("inf")


@dataclass(frozen=True)
class Input:
    """One input. shape: dim names or positive integers; per: 'token' ([B,T,H,*shape]) or 'head' ([H,*shape])."""

    name: str
    shape: tuple[str | int, ...]
    per: str = "token"
    domain: Domain = Domain()
    default: float | None = None
    doc: str = ""
    pos: Pos = field(default=NOWHERE, compare=False)


@dataclass(frozen=True)
class State:
    """One state. init: 'zeros', 'learned', or an Expr of numbers, constants, dims and per-head inputs."""

    name: str
    shape: tuple[str | int, ...]
    init: str | Expr = "zeros"
    domain: Domain = Domain()
    pos: Pos = field(default=NOWHERE, compare=False)


@dataclass(frozen=True)
class Function:
    name: str
    params: tuple[str, ...]
    body: Expr
    pos: Pos = field(default=NOWHERE, compare=False)


@dataclass(frozen=True)
class Rule:
    """The `rule` block. All mappings keep the file's order. `gradient_chunk` is None for `gradient: token`."""

    inputs: Mapping[str, Input]
    state: Mapping[str, State]
    read: Expr
    dims: Mapping[str, Expr] = field(default_factory=dict)
    constants: Mapping[str, Expr] = field(default_factory=dict)
    let: Mapping[str, Expr] = field(default_factory=dict)
    functions: Mapping[str, Function] = field(default_factory=dict)
    objective: Expr | None = None
    gradient_chunk: int | None = None
    update: Mapping[str, Expr] = field(default_factory=dict)
    end: Mapping[str, Expr] = field(default_factory=dict)
    output: Expr | None = None
    places: Mapping[tuple[str, str], Pos] = field(default_factory=dict, compare=False, repr=False)  # (key, name) -> name's place


@dataclass(frozen=True)
class Segments:
    length: int = 256
    start: str = "carry"          # carry | fresh
    growth: str = "constant"      # constant | logarithmic
    search: tuple[int, ...] = ()


@dataclass(frozen=True)
class Summary:
    """`mean(expr)` or `sum(expr)` over the tokens of a segment."""

    kind: str
    expr: Expr


@dataclass(frozen=True)
class Cache:
    """The `cache` block. `top` is None for `select: all`."""

    inputs: Mapping[str, Input] = field(default_factory=dict)
    constants: Mapping[str, Expr] = field(default_factory=dict)
    let: Mapping[str, Expr] = field(default_factory=dict)
    segments: Segments = Segments()
    summary: Summary | None = None
    score: Expr | None = None
    weight: Expr = Num(1)
    top: int | None = None
    mix: str = "reads"            # reads | states
    pos: Pos = field(default=NOWHERE, compare=False)
    places: Mapping[tuple[str, str], Pos] = field(default_factory=dict, compare=False, repr=False)  # (key, name) -> name's place


@dataclass(frozen=True)
class Spec:
    """A whole op: the rule, the cache (None: a plain recurrent op), and what people call it.

    `name` is a legal Python identifier: `gated_delta+grm` on the command line has the name `gated_delta_grm`.
    `sources_text` maps a file name to its text, for diagnostics and for copying the spec into a package.
    """

    name: str
    rule: Rule
    cache: Cache | None = None
    summary: str = ""
    sources: tuple[str, ...] = ()
    file: str = field(default="<dict>", compare=False)
    text: Mapping[str, str] = field(default_factory=dict, compare=False)
    raw: Any = field(default=None, compare=False)   # plain dicts: the spec with `use` and overrides resolved
