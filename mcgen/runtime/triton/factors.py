"""Factors for each channel inside a row, for generated Triton kernels: products between tokens, weighted by the factors of the
tokens between them, which may be 0 or negative.

A row is halved, its halves are halved, and so on. What lies between two neighbouring blocks, the second one's tokens by the
first one's, is one product of matrices: a weight is what comes in the second block before c times what is left of the first
after d. Products are over all tokens at every step, and masked: a tile can't be cut. Tiles are [C, K], C a power of two.
"""
import triton
import triton.language as tl

from .lib import dot

_FLOOR = tl.constexpr(1e-20)


@triton.jit
def pair(q, k, f, PRECISION: tl.constexpr):
    """[C, C]: the sum over channels of q[c] k[d] weight, 0 unless d comes before c."""
    C: tl.constexpr = q.shape[0]
    total = tl.zeros((C, C), tl.float32)
    before, after, whole = _alone(f)
    length = 1
    while length < C:
        met = dot(q * before, tl.trans(k * after), PRECISION)
        total = tl.where(_between(C, length), met, total)
        before, after, whole = _doubled(before, after, whole, length)
        length *= 2
    return total


@triton.jit
def papply(matrix, x, f, TRANSPOSED: tl.constexpr, PRECISION: tl.constexpr):
    """[C, K]: the sum over d before c of matrix[c, d] x[d] weight; TRANSPOSED: for every d, over c after it, with x[c]."""
    C: tl.constexpr = x.shape[0]
    total = tl.zeros(x.shape, tl.float32)
    before, after, whole = _alone(f)
    length = 1
    while length < C:
        here = tl.where(_between(C, length), matrix, 0.0)
        if TRANSPOSED:
            total += after * dot(tl.trans(here), x * before, PRECISION)
        else:
            total += before * dot(here, x * after, PRECISION)
        before, after, whole = _doubled(before, after, whole, length)
        length *= 2
    return total


@triton.jit
def channels(matrix, q, k, f, PRECISION: tl.constexpr):
    """The derivatives of the sum over d before c of matrix[c, d] q[c] k[d] weight, [C, K] each: by q, by k, by f.

    The last one, at a token j, is the sum over all d and c with j between, without the factor of j. It does not depend on that factor,
    so a small one is replaced by 1e-20, whose square is 0 in float32, and what is summed is divided by the factor in the end: every
    term has it.
    """
    C: tl.constexpr = q.shape[0]
    f = tl.where(tl.abs(f) < _FLOOR, _FLOOR, f)
    by_q, by_k, across = tl.zeros(q.shape, tl.float32), tl.zeros(q.shape, tl.float32), tl.zeros(q.shape, tl.float32)
    before, after, whole = _alone(f)
    length = 1
    while length < C:
        here = tl.where(_between(C, length), matrix, 0.0)
        part_q = before * dot(here, k * after, PRECISION)
        part_k = after * dot(tl.trans(here), q * before, PRECISION)
        by_q += part_q
        by_k += part_k
        across += dot(_beyond(C, length), q * part_q + k * part_k, PRECISION)
        before, after, whole = _doubled(before, after, whole, length)
        length *= 2
    return by_q, by_k, across / f


@triton.jit
def products(f, REVERSE: tl.constexpr):
    """[C, K]: the product of the factors before each token (REVERSE: after it)."""
    before, after, whole = _alone(f)
    length = 1
    while length < f.shape[0]:
        before, after, whole = _doubled(before, after, whole, length)
        length *= 2
    if REVERSE:
        return after
    else:
        return before


@triton.jit
def decayed(x, f, REVERSE: tl.constexpr):
    """[C, K]: the sum over d before c (REVERSE: after) of x[d] weight."""
    total = tl.zeros(f.shape, tl.float32)
    before, after, whole = _alone(f)
    left = x                                         # what the tokens of a block leave behind, in the way that the sum runs
    length = 1
    while length < f.shape[0]:
        second, beside, factor = _second(f, length), _neighbour(left, length), _neighbour(whole, length)
        if REVERSE:
            total += tl.where(second, 0.0, after * beside)
            left = tl.where(second, beside + factor * left, left + whole * beside)
        else:
            total += tl.where(second, before * beside, 0.0)
            left = tl.where(second, left + whole * beside, beside + factor * left)
        before, after, whole = _doubled(before, after, whole, length)
        length *= 2
    return total


@triton.jit
def _alone(f):
    """Blocks of one token: products of the factors in a token's block before it and after it, and of the whole block."""
    one = tl.full(f.shape, 1.0, tl.float32)
    return one, one, f


@triton.jit
def _doubled(before, after, whole, length):
    """The same for blocks of twice the length."""
    second, factor = _second(whole, length), _neighbour(whole, length)
    return tl.where(second, before * factor, before), tl.where(second, after, after * factor), whole * factor


@triton.jit
def _second(x, length):
    """Truth [C, 1]: whether a token lies in the second of two neighbouring blocks."""
    return (tl.arange(0, x.shape[0])[:, None] & length) != 0


@triton.jit
def _neighbour(x, length):
    """[C, K], the same at all tokens of a block: what it is at the block beside it."""
    other = tl.arange(0, x.shape[0])[:, None] ^ length
    return tl.gather(x, tl.broadcast_to(other, x.shape), 0)


@triton.jit
def _between(C: tl.constexpr, length):
    """Truth [C, C] where c lies in a second block and d in the first one beside it."""
    block = tl.arange(0, C) // length
    return (block[:, None] == block[None, :] + 1) & (block[:, None] % 2 == 1)


@triton.jit
def _beyond(C: tl.constexpr, length):
    """[C, C]: 1 for the tokens of j's block before j, if it is a first block, after j, if it is a second one; else 0."""
    token = tl.arange(0, C)
    block = token // length
    later = token[None, :] > token[:, None]
    far = tl.where(block[:, None] % 2 == 1, later, token[None, :] < token[:, None])
    return tl.where((block[:, None] == block[None, :]) & far, 1.0, 0.0)
