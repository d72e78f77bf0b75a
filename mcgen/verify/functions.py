"""The functions of the expression language on batched values.

A value carries leading axes [B, H, M] (batch, heads, memories; any of them may be 1 and broadcasts) followed by its
own axes: none for a scalar, one for a vector, two for a matrix.
"""
from __future__ import annotations

from typing import Callable, NamedTuple

import torch
import torch.nn.functional as F

from . import masked

LEAD = 3
EPS = 1e-6


class Val(NamedTuple):
    """`tensor` is [B, H, M, *shape]; `rank` is len(shape)."""

    tensor: torch.Tensor
    rank: int

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.tensor.shape[LEAD:])


def lift(tensor: torch.Tensor, rank: int, to: int) -> torch.Tensor:
    """A scalar [B, H, M] as [B, H, M, 1...] so that it broadcasts against `to` axes."""
    if rank == to:
        return tensor
    if rank != 0:
        raise ValueError(f"a value with {rank} axes can't be combined with one of {to}")
    return tensor[(...,) + (None,) * to]


def aligned(*values: Val) -> tuple[int, list[torch.Tensor]]:
    """The common rank of scalars and equal shapes, and the tensors lifted to it."""
    rank = max(v.rank for v in values)
    shapes = {v.shape for v in values if v.rank}
    if len(shapes) > 1:
        raise ValueError(f"unequal shapes {sorted(shapes)}: only a scalar combines with any shape")
    return rank, [lift(v.tensor, v.rank, rank) for v in values]


# -- elementwise ------------------------------------------------------------------------------------------------------

def _softplus(x: torch.Tensor) -> torch.Tensor:
    return -F.logsigmoid(-x)                       # torch's own softplus turns linear at 20: off by 2e-9 there


UNARY: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "exp": torch.exp, "log": torch.log, "sqrt": torch.sqrt, "abs": torch.abs, "sign": torch.sign,
    "sigmoid": torch.sigmoid, "logsigmoid": F.logsigmoid, "softplus": _softplus, "tanh": torch.tanh,
    "relu": torch.relu, "silu": F.silu, "gelu": F.gelu,
}


def _huber(x: torch.Tensor, d: torch.Tensor) -> torch.Tensor:
    """Neither part sees the arguments of the other: an infinite d adds nothing to a gradient inside."""
    inside, zero = x.abs() <= d, torch.zeros((), dtype=x.dtype)
    near, far, slope = torch.where(inside, x, zero), torch.where(inside, zero, x), torch.where(inside, zero, d)
    return torch.where(inside, near * near / 2, slope * (far.abs() - slope / 2))


BINARY: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "+": torch.add, "-": torch.sub, "*": torch.mul, "/": torch.div,
    "minimum": torch.minimum, "maximum": torch.maximum, "huber": _huber,
}
COMPARE = {"<": torch.lt, "<=": torch.le, ">": torch.gt, ">=": torch.ge, "==": torch.eq, "!=": torch.ne}


def unary(name: str, x: Val, guarded: bool = False) -> Val:
    f = UNARY[name]
    return Val(masked.unary(f, x.tensor) if guarded else f(x.tensor), x.rank)


def binary(op: str, a: Val, b: Val, guarded: bool = False) -> Val:
    rank, (x, y) = aligned(a, b)
    if guarded and op == "*":
        return Val(masked.mul(x, y), rank)
    if guarded and op == "/":
        return Val(masked.mul(x, masked.unary(torch.reciprocal, y)), rank)
    return Val(BINARY[op](x, y), rank)


def power(x: Val, exponent: float, guarded: bool = False) -> Val:
    if guarded:
        return Val(masked.unary(lambda t: torch.pow(t, exponent), x.tensor), x.rank)
    return Val(torch.pow(x.tensor, exponent), x.rank)


def where(op: str, a: Val, b: Val, x: Val, y: Val) -> Val:
    rank, (p, q, then, other) = aligned(a, b, x, y)
    return Val(torch.where(COMPARE[op](p, q), then, other), rank)


# -- products ---------------------------------------------------------------------------------------------------------

def matmul(a: Val, b: Val, guarded: bool = False) -> Val:
    """[D, E] @ [E, F] or [D, E] @ [E]."""
    if a.rank != 2 or b.rank not in (1, 2):
        raise ValueError(f"@ takes a matrix and a matrix or vector, not {a.rank} and {b.rank} axes")
    right = b.tensor[..., None] if b.rank == 1 else b.tensor
    if guarded:
        out = masked.mul(a.tensor[..., :, :, None], right[..., None, :, :]).sum(-2)
    else:
        out = torch.matmul(a.tensor, right)
    return Val(out[..., 0], 1) if b.rank == 1 else Val(out, 2)


def outer(a: Val, b: Val, guarded: bool = False) -> Val:
    times = masked.mul if guarded else torch.mul
    return Val(times(a.tensor[..., :, None], b.tensor[..., None, :]), 2)


def dot(a: Val, b: Val, guarded: bool = False) -> Val:
    """Sum of the products of entries: vectors, or matrices entry by entry."""
    return total(binary("*", a, b, guarded))


def solve(a: Val, b: Val) -> Val:
    right = b.tensor[..., None] if b.rank == 1 else b.tensor
    out = torch.linalg.solve(a.tensor, right)
    return Val(out[..., 0], 1) if b.rank == 1 else Val(out, 2)


def transpose(x: Val) -> Val:
    return Val(x.tensor.transpose(-1, -2), 2) if x.rank == 2 else x


def diag(x: Val) -> Val:
    return Val(torch.diag_embed(x.tensor), 2)


# -- reductions and the last axis ---------------------------------------------------------------------------------------

def _axes(x: Val) -> tuple[int, ...]:
    return tuple(range(-x.rank, 0))


def total(x: Val, axis: int | None = None) -> Val:
    """Over all entries; axis 0: down the columns, axis 1: along the rows."""
    if x.rank == 0:
        return x
    if axis is None:
        return Val(x.tensor.sum(_axes(x)), 0)
    return Val(x.tensor.sum(axis - x.rank), x.rank - 1)


def mean(x: Val) -> Val:
    return Val(x.tensor.mean(_axes(x)), 0) if x.rank else x


def norm(x: Val) -> Val:
    """Root of the sum of squares, with every derivative 0 at 0."""
    square = (x.tensor * x.tensor).sum(_axes(x)) if x.rank else x.tensor * x.tensor
    zero = square == 0
    root = torch.sqrt(torch.where(zero, torch.ones_like(square), square))
    return Val(torch.where(zero, torch.zeros_like(square), root), 0)


def softmax(x: Val) -> Val:
    return Val(torch.softmax(x.tensor, -1), x.rank)


def l2norm(x: Val) -> Val:
    return Val(x.tensor / torch.sqrt((x.tensor * x.tensor).sum(-1, keepdim=True) + EPS), x.rank)


def layernorm(x: Val) -> Val:
    centred = x.tensor - x.tensor.mean(-1, keepdim=True)
    return Val(centred / torch.sqrt((centred * centred).mean(-1, keepdim=True) + EPS), x.rank)


def entry(x: Val, index: torch.Tensor | int) -> Val:
    """Entry of a vector or row of a matrix. `index` may be a tensor [B, H, M] (a level); beyond the end: the last one."""
    axis = -x.rank
    if isinstance(index, int):
        return Val(x.tensor.select(axis, index), x.rank - 1)
    index = index.long().clamp(0, x.tensor.shape[axis] - 1)
    lead = torch.broadcast_shapes(index.shape, x.tensor.shape[:LEAD])
    table = x.tensor.expand(*lead, *x.shape)
    where_ = index.expand(lead)[(...,) + (None,) * x.rank].expand(*lead, 1, *x.shape[1:])
    return Val(table.gather(axis, where_).squeeze(axis), x.rank - 1)


PLAIN: dict[str, Callable[..., Val]] = {
    "solve": solve, "diag": diag, "mean": mean, "norm": norm, "softmax": softmax, "l2norm": l2norm, "layernorm": layernorm,
}
CENTRED = ("softmax", "l2norm", "layernorm")
GUARDED: dict[str, Callable[..., Val]] = {"outer": outer, "dot": dot}
