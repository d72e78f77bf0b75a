"""What the next row reads and writes, asked for while this one multiplies: a head's tokens lie apart, in a step that processors
do not guess.

Every register tile of a product, every token of a loop over columns asks for a few lines, so that memory works beside the arithmetic. That changes no value, and to ask
for an address beyond a tensor is no fault.
"""
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Callable, Iterator

from . import statements as st
from .columns import visits
from .dot import matrix_shape
from .emit import HALVES
from .expr import Access, Expr
from .gemm import tiles
from .memory import DYNAMIC, Scope
from .product import fits

LINE = 64            # bytes
Ask = Callable[[object], None]


@dataclass(frozen=True)
class Block:
    """What a row touches of one parameter: `count` pieces of `lines` cache lines, `step` elements apart, the next row's from `at` on."""

    buffer: object
    dtype: str
    at: object
    step: object
    count: int
    lines: int
    write: bool


def share_out(scope: Scope, s: st.Rows) -> dict[int, Ask]:
    """For every product or loop over columns of a row, by identity: a function of the number of a register tile, or of a token in a block
    of columns, that asks for its share.

    Requires: the scope is inside the row.
    """
    if scope.extent("c") == 1:                       # a step: there is no next row
        return {}
    hosts = {id(p): host for p in s.body if (host := _host(scope, p))}
    mine: dict[int, list[Block]] = {key: [] for key in hosts}
    for block in _blocks(scope, s) if mine else ():
        least = min(mine, key=lambda key: sum(b.count * b.lines for b in [*mine[key], block]) / hosts[key][0])
        mine[least].append(block)
    return {key: _ask(scope, blocks, hosts[key][1]) for key, blocks in mine.items() if blocks}


def _host(scope: Scope, s) -> tuple[float, int] | None:
    """The multiplications of a product or of a loop over columns, and in how many parts it does them; None for other statements."""
    if isinstance(s, st.Loop):
        return visits(scope, s)
    shape = _shape(scope, s)
    return None if shape is None else (math.prod(shape), tiles(*shape[:2], scope.options))


def _shape(scope: Scope, s) -> tuple[int, int, float] | None:
    """Rows, columns and steps of a product whose result is wanted whole; None for other statements."""
    if isinstance(s, st.Product) and fits(scope, s):
        m, n, k = map(scope.extent, (*s.axes, *s.over))
    elif isinstance(s, st.Dot) and not s.lower and s.rows is None and (shape := matrix_shape(scope, s)):
        m, n, k = map(scope.extent, shape)
    else:
        return None
    return m, n, k / 2 if isinstance(s, st.Dot) and s.over_lower else k


def _blocks(scope: Scope, s: st.Rows) -> Iterator[Block]:
    em, chunk, way = scope.em, scope.extent("c"), -1 if s.reverse else 1
    start, count, row = (em.as_index(scope.scalars[name]) for name in ("start", "count", "row"))
    first = em.bind_index(start - chunk if s.reverse else start + count)
    for access, write in _accesses(s.body):
        if DYNAMIC.keys() & set(access.storage.dims):
            continue
        place, size = scope.places[access.storage.name], math.prod(map(scope.extent, access.storage.dims))
        tokens = access.storage.kind == "token"
        at = em.bind_index(place.base + (first if tokens else row + way) * place.strides[0])
        yield Block(place.buffer, place.dtype, at, place.strides[0], chunk if tokens else 1, -(-size // _line(place.dtype)), write)


def _accesses(body: list) -> Iterator[tuple[Access, bool]]:
    """The parameters with a part for every token or row, each once, and whether it is written."""
    seen: set[str] = set()
    for s in body:
        for name, value in vars(s).items():
            for ref in value.refs() if isinstance(value, Expr) else ():
                storage = ref.attr.storage
                if storage.kind in ("token", "starts") and storage.name not in seen:
                    seen.add(storage.name)
                    yield ref.attr, name == "dst"


def _line(dtype: str) -> int:
    """Elements of a cache line."""
    return LINE // (2 if dtype in HALVES else 4)


def _ask(scope: Scope, blocks: list[Block], number: int) -> Ask:
    em = scope.em

    def ask(tile) -> None:
        for block in blocks:
            share = -(-block.count * block.lines // number)
            for i in range(share):
                line = em.bind_index(tile * share + i)
                piece = em.bind_index(em.floordiv(line, block.lines))
                em.prefetch(block.buffer, block.at + piece * block.step + (line - piece * block.lines) * _line(block.dtype), block.dtype, block.write)

    return ask


__all__ = ["share_out"]
