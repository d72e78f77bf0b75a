"""Decay with a factor for each channel inside a row of tokens, in torch: products of factors, never a quotient.

    weight from token d to a later token c, in a channel = the product of the factors of the tokens between them

A row is halved, its halves are halved, and so on. Between two halves a weight is what is left of the first half after d
times what comes in the second before c: two vectors a token, so that a level is one product of matrices. No factor larger
than the decays themselves ever arises, factors may be 0 or negative, and a derivative by a factor does not divide by it.

Tensors are [.., C, K]; matrices [.., C, C] are over c and d, used and set where d comes before c. Differentiable.
"""
from __future__ import annotations

from typing import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor


def pair(q: Tensor, k: Tensor, f: Tensor) -> Tensor:
    """A[c, d] = sum over channels of q[c] k[d] weight; 0 unless d comes before c."""
    size = q.shape[-2]
    q, k = (_padded(x) for x in (q, k))
    blocks = q.new_zeros(*q.shape[:-1], 1, 1)                # [.., blocks, h, h], h = 1 at first
    for h, before, after in _levels(f):
        low, high = _halves(k, h)[0] * after, _halves(q, h)[1] * before
        met = high @ low.mT
        first, second = _halves(blocks, 1, -3)
        blocks = torch.cat([torch.cat([first, torch.zeros_like(met)], -1), torch.cat([met, second], -1)], -2)
    return blocks[..., 0, :size, :size]


def papply(matrix: Tensor, x: Tensor, f: Tensor, transposed: bool = False) -> Tensor:
    """y[c] = sum over d before c of matrix[c, d] x[d] weight; transposed: y[d] = sum over c after d of matrix[c, d] x[c] weight."""
    size = x.shape[-2]
    x, matrix = _padded(x), _square(matrix)
    total = torch.zeros_like(x)
    for h, before, after in _levels(f):
        between, none = _between(matrix, h), torch.zeros_like(before)
        if transposed:
            part = torch.stack([between.mT @ (_halves(x, h)[1] * before) * after, none], -3)
        else:
            part = torch.stack([none, between @ (_halves(x, h)[0] * after) * before], -3)
        total = total + part.reshape(x.shape)
    return total[..., :size, :]


def pfactor(matrix: Tensor, q: Tensor, k: Tensor, f: Tensor) -> Tensor:
    """The derivative by the factors of the sum over d before c of matrix[c, d] q[c] k[d] weight."""
    size = q.shape[-2]
    q, k, matrix = _padded(q), _padded(k), _square(matrix)
    total = torch.zeros_like(q)
    factors = _padded(f, 1.0)
    for h, before, after in _levels(f):
        between = _between(matrix, h)
        low, high = _halves(k, h)[0], _halves(q, h)[1]
        found, sought = between @ (low * after), between.mT @ (high * before)
        f_low, f_high = _halves(factors, h)
        part = torch.stack([after * decayed(low * sought, f_low), before * decayed(high * found, f_high, reverse=True)], -3)
        total = total + part.reshape(q.shape)
    return total[..., :size, :]


def decayed(x: Tensor, f: Tensor, reverse: bool = False) -> Tensor:
    """y[c] = sum over d before c (reverse: after c) of x[d] times the factors of the tokens between."""
    size = x.shape[-2]
    if reverse:
        return decayed(x.flip(-2), f.flip(-2)).flip(-2)
    x, f = _padded(x), _padded(f, 1.0)
    # blocks of h tokens: the sums so far inside, before all of a block, and what a whole block leaves behind
    sums, before = torch.zeros_like(x)[..., None, :], torch.ones_like(f)[..., None, :]
    left, whole = x[..., None, :], f[..., None, :]
    while sums.shape[-3] > 1:
        (s, t), (p, r), (a, b), (u, w) = (_halves(y, 1, -3) for y in (sums, before, left, whole))
        sums, before = torch.cat([s, t + r * a], -2), torch.cat([p, r * u], -2)
        left, whole = b + w * a, u * w
    return sums[..., 0, :size, :]


def cumprod(f: Tensor, axis: int, reverse: bool = False) -> Tensor:
    """The product of the factors before each token (reverse: after)."""
    if reverse:
        return cumprod(f.flip(axis), axis).flip(axis)
    shape = list(f.shape)
    shape[axis] = 1
    return torch.cat([f.new_ones(shape), f.narrow(axis, 0, f.shape[axis] - 1)], axis).cumprod(axis)


def _levels(f: Tensor) -> Iterator[tuple[int, Tensor, Tensor]]:
    """(h, products of the factors before each token in the second of two neighbouring blocks of h tokens, after each token
    in the first of them), both [.., blocks, h, K]."""
    whole = _padded(f, 1.0)[..., None, :]
    before = after = torch.ones_like(whole)
    h = 1
    while before.shape[-3] > 1:
        (p, r), (a, c), (u, w) = (_halves(y, 1, -3) for y in (before, after, whole))
        yield h, r, a
        before, after, whole = torch.cat([p, r * u], -2), torch.cat([a * w, c], -2), u * w
        h *= 2


def _halves(x: Tensor, h: int, axis: int = -2) -> tuple[Tensor, Tensor]:
    """Neighbouring blocks of h places of an axis: the first and the second of each two. For axis -2 both get an axis of
    blocks; for axis -3, which counts blocks, h is 1 and they stay blocks."""
    if axis == -3:
        return x[..., 0::2, :, :], x[..., 1::2, :, :]
    x = x.unflatten(axis, (-1, 2, h))
    return x.select(axis - 1, 0), x.select(axis - 1, 1)


def _between(matrix: Tensor, h: int) -> Tensor:
    """The blocks [.., n, h, h] of a matrix whose c lies in the second and whose d in the first of two blocks of h."""
    blocks = matrix.unflatten(-1, (-1, 2 * h)).unflatten(-3, (-1, 2 * h)).diagonal(dim1=-4, dim2=-2)       # [.., 2h, 2h, n]
    return blocks.movedim(-1, -3)[..., h:, :h]


def _padded(x: Tensor, fill: float = 0.0) -> Tensor:
    """With tokens up to a power of two."""
    size = x.shape[-2]
    missing = (1 << max(size - 1, 0).bit_length()) - size
    return F.pad(x, (0, 0, 0, missing), value=fill) if missing else x


def _square(matrix: Tensor) -> Tensor:
    size = matrix.shape[-1]
    missing = (1 << max(size - 1, 0).bit_length()) - size
    return F.pad(matrix, (0, missing, 0, missing)) if missing else matrix
