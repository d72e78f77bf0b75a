"""Factors for each channel inside a row, for generated Triton kernels: products between tokens, weighted by the factors of the
tokens between them, which are never divided by and may be 0 or negative.

A row is halved, its halves are halved, and so on. What lies between two neighbouring blocks, the second one's tokens by the
first one's, is one product of matrices: a weight is what comes in the second block before c times what is left of the first
after d. Products are over all tokens at every step, and masked: a tile can't be cut. Tiles are [C, K], C a power of two.
"""
import triton
import triton.language as tl

from .lib import dot

_MOST = tl.constexpr(8)                              # a row has at most 2 ** 8 tokens


@triton.jit
def pair(q, k, f, PRECISION: tl.constexpr):
    """[C, C]: the sum over channels of q[c] k[d] weight, 0 unless d comes before c."""
    C: tl.constexpr = q.shape[0]
    total = tl.zeros((C, C), tl.float32)
    before, after, whole = _alone(f)
    for i in tl.static_range(_MOST):
        if 2 ** i < C:
            met = dot(q * before, tl.trans(k * after), PRECISION)
            total = tl.where(_between(C, 2 ** i), met, total)
            before, after, whole = _merged(before, after, whole, 2 ** i)
    return total


@triton.jit
def papply(matrix, x, f, TRANSPOSED: tl.constexpr, PRECISION: tl.constexpr):
    """[C, K]: the sum over d before c of matrix[c, d] x[d] weight; TRANSPOSED: for every d, over c after it, with x[c]."""
    C: tl.constexpr = x.shape[0]
    total = tl.zeros(x.shape, tl.float32)
    before, after, whole = _alone(f)
    for i in tl.static_range(_MOST):
        if 2 ** i < C:
            here = tl.where(_between(C, 2 ** i), matrix, 0.0)
            if TRANSPOSED:
                total += after * dot(tl.trans(here), x * before, PRECISION)
            else:
                total += before * dot(here, x * after, PRECISION)
            before, after, whole = _merged(before, after, whole, 2 ** i)
    return total


@triton.jit
def channels(matrix, q, k, f, PRECISION: tl.constexpr):
    """The derivatives of the sum over d before c of matrix[c, d] q[c] k[d] weight, [C, K] each: by q, by k, by f.

    The last one is a sum over pairs d, c with a token j between. The longest blocks that part d and c come first; what they leave
    for j is handed down to the half in which it lies: for a block, `left` are weights of its tokens d, the rest of which is all that
    comes after j in the block, `right` the same of its tokens c.
    """
    C: tl.constexpr = q.shape[0]
    K: tl.constexpr = q.shape[1]
    by_q, by_k, by_f = tl.zeros((C, K), tl.float32), tl.zeros((C, K), tl.float32), tl.zeros((C, K), tl.float32)
    left, right = tl.zeros((C, K), tl.float32), tl.zeros((C, K), tl.float32)
    for i in tl.static_range(_MOST):
        if 2 ** i < C:
            part_q, part_k, part_f, left, right = _parted(matrix, q, k, f, left, right, C // 2 ** (i + 1), PRECISION)
            by_q += part_q
            by_k += part_k
            by_f += part_f
    return by_q, by_k, by_f


@triton.jit
def _parted(matrix, q, k, f, left, right, LENGTH: tl.constexpr, PRECISION: tl.constexpr):
    """What blocks of LENGTH tokens, two and two of which are a block of `left` and `right`, add to the three derivatives; `left` and
    `right` of the blocks of LENGTH."""
    B: tl.constexpr = q.shape[0] // LENGTH
    before, after, first, second = _halves(f, LENGTH)
    here = tl.where(_between(q.shape[0], LENGTH), matrix, 0.0)
    found = dot(here, k * after, PRECISION)
    sought = dot(tl.trans(here), q * before, PRECISION)
    ahead, _ = _each(tl.sum(tl.reshape(left * after, (B, LENGTH, q.shape[1])), 1))
    _, behind = _each(tl.sum(tl.reshape(right * before, (B, LENGTH, q.shape[1])), 1))
    one = tl.full(first.shape, 1.0, tl.float32)
    return (before * found, after * sought, after * before * _spread(behind, ahead, LENGTH),
            left * _spread(second, one, LENGTH) + k * sought, right * _spread(one, first, LENGTH) + q * found)


@triton.jit
def products(f, REVERSE: tl.constexpr):
    """[C, K]: the product of the factors before each token (REVERSE: after it)."""
    before, after, whole = _alone(f)
    for i in tl.static_range(_MOST):
        if 2 ** i < f.shape[0]:
            before, after, whole = _merged(before, after, whole, 2 ** i)
    if REVERSE:
        return after
    else:
        return before


@triton.jit
def decayed(x, f, REVERSE: tl.constexpr):
    """[C, K]: the sum over d before c (REVERSE: after) of x[d] weight."""
    C: tl.constexpr = f.shape[0]
    total = tl.zeros(f.shape, tl.float32)
    before, after, whole = _alone(f)
    left = x                                         # of a block: what its tokens leave behind, in the way that the sum runs
    for i in tl.static_range(_MOST):
        if 2 ** i < C:
            a, b = _each(left)
            u, w = _each(whole)
            if REVERSE:
                total += after * _spread(b, tl.zeros(b.shape, tl.float32), 2 ** i)
                left = a + u * b
            else:
                total += before * _spread(tl.zeros(a.shape, tl.float32), a, 2 ** i)
                left = b + w * a
            before, after, whole = _merged(before, after, whole, 2 ** i)
    return total


@triton.jit
def _alone(f):
    """Blocks of one token: products of the factors in the block before each token and after it, and of the whole block."""
    one = tl.full(f.shape, 1.0, tl.float32)
    return one, one, f


@triton.jit
def _merged(before, after, whole, LENGTH: tl.constexpr):
    """The same for blocks of twice LENGTH tokens. before, after: [C, K]; whole: [blocks, K]."""
    first, second = _each(whole)
    one = tl.full(first.shape, 1.0, tl.float32)
    return before * _spread(one, first, LENGTH), after * _spread(second, one, LENGTH), first * second


@triton.jit
def _halves(f, LENGTH: tl.constexpr):
    """before and after in blocks of LENGTH tokens; the products of the first and second of every two of them."""
    before, after, whole = _alone(f)
    for i in tl.static_range(_MOST):
        if 2 ** i < LENGTH:
            before, after, whole = _merged(before, after, whole, 2 ** i)
    first, second = _each(whole)
    return before, after, first, second


@triton.jit
def _each(x):
    """[blocks, K] -> the first and the second of every two neighbouring blocks, [blocks / 2, K] each."""
    pairs = tl.reshape(x, (x.shape[0] // 2, 2, x.shape[1]))
    second = tl.arange(0, 2)[None, :, None] == 1
    return tl.sum(tl.where(second, 0.0, pairs), 1), tl.sum(tl.where(second, pairs, 0.0), 1)


@triton.jit
def _spread(first, second, LENGTH: tl.constexpr):
    """[blocks / 2, K] -> [C, K]: `first` at the tokens of every first block of LENGTH, `second` at those of the other ones."""
    B: tl.constexpr = first.shape[0]
    K: tl.constexpr = first.shape[1]
    which = tl.arange(0, 2)[None, :, None, None] == 1
    found = tl.where(which, second[:, None, None, :], first[:, None, None, :])
    return tl.reshape(tl.broadcast_to(found, (B, 2, LENGTH, K)), (B * 2 * LENGTH, K))


@triton.jit
def _between(C: tl.constexpr, LENGTH: tl.constexpr):
    """Truth [C, C] where c lies in a second block of LENGTH tokens and d in the first one before it."""
    block = tl.arange(0, C) // LENGTH
    return (block[:, None] == block[None, :] + 1) & (block[:, None] % 2 == 1)
