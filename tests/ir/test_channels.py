"""Triangular systems and factors for each channel: values against what they mean, derivatives against torch's autograd."""
from __future__ import annotations

import pytest
import torch

from mcgen.ir.builder import Builder
from mcgen.ir.nodes import Param

from .helpers import CHUNK, ROWS, gradients, tensors, value_of

Q, K, F, V = (Param(n, "token", (a,)) for n, a in (("q", "K"), ("k", "K"), ("f", "K"), ("v", "V")))


def inside(b, p):
    """A parameter's tokens, 0 past a row's end."""
    return b.where(b.map("lt", b.iota("c"), b.row("count")), b.load(p))


def late(b, x):
    return b.rename(x, {"c": "d"})


def rows(x):
    """[z, r, c, *] of tokens, 0 past a row's end."""
    out = torch.zeros(x.shape[0], len(ROWS), CHUNK, *x.shape[2:], dtype=x.dtype)
    for r, (start, count, _, _) in enumerate(ROWS):
        out[:, r, :count] = x[:, start:start + count]
    return out


def weights(f):
    """[z, r, c, d, K]: the product of the factors between d and c."""
    f = rows(f)
    out = torch.zeros(*f.shape[:3], CHUNK, f.shape[-1], dtype=f.dtype)
    for c in range(CHUNK):
        for d in range(c):
            out[:, :, c, d] = f[:, :, d + 1:c].prod(2)
    return out


def check(make, params, want, given=None):
    b, given = Builder(), given or tensors(params)
    value = make(b)
    torch.testing.assert_close(value_of(value, params, given), want(*(given[p.name] for p in params)), rtol=1e-10, atol=1e-12)
    for got, expected in zip(*gradients(b, value, params, given)):
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("transposed", [False, True])
def test_solve(transposed):
    def make(b):
        order = b.map("gt", b.iota("c"), b.iota("d"))
        return b.solve(b.where(order, b.dot(inside(b, Q), late(b, inside(b, K)), ["K"])), inside(b, V), transposed)

    def want(q, k, v):
        lower = torch.einsum("zrck,zrdk->zrcd", rows(q), rows(k)).tril(-1)
        return torch.linalg.solve(torch.eye(CHUNK) - (lower.mT if transposed else lower), rows(v))
    check(make, (Q, K, V), want)


@pytest.mark.parametrize("transposed", [False, True])
def test_solve_with_steps_inside_a_token(transposed):
    """Two steps a token: the second sees the first one of its own token."""
    def make(b):
        two = lambda x, y: b.where(b.map("eq", b.iota("2."), b.const(0)), x, y)
        q, k, v = inside(b, Q), inside(b, K), inside(b, V)
        keys = b.rename(two(k, b.map("mul", k, k)), {"c": "d", "2.": "2.~"})
        earlier = b.map("or", b.map("gt", b.iota("c"), b.iota("d")),
                        b.map("and", b.map("eq", b.iota("c"), b.iota("d")), b.map("gt", b.iota("2."), b.iota("2.~"))))
        return b.solve(b.where(earlier, b.dot(two(q, b.map("tanh", q)), keys, ["K"])), two(v, b.map("sigmoid", v)), transposed, "2.")

    def want(q, k, v):
        join = lambda x, y: torch.stack([rows(x), rows(y)], 3).flatten(2, 3)
        lower = torch.einsum("zrck,zrdk->zrcd", join(q, q.tanh()), join(k, k * k)).tril(-1)
        right = torch.stack([rows(v), rows(v).sigmoid()], 3).flatten(2, 3)
        solved = torch.linalg.solve(torch.eye(2 * CHUNK) - (lower.mT if transposed else lower), right)
        return solved.unflatten(2, (CHUNK, 2))
    check(make, (Q, K, V), want)


def given_with_zeros(*params):
    """Factors of any sign, some of them 0: a derivative must not divide by them."""
    given = tensors(params)
    given["f"][:, ::3, 0] = 0.0
    return given


def test_pair():
    check(lambda b: b.pair(inside(b, Q), late(b, inside(b, K)), inside(b, F), "K"), (Q, K, F),
          lambda q, k, f: torch.einsum("zrck,zrdk,zrcdk->zrcd", rows(q), rows(k), weights(f)), given_with_zeros(Q, K, F))


@pytest.mark.parametrize("transposed", [False, True])
def test_papply(transposed):
    def make(b):
        matrix = b.dot(inside(b, Q), late(b, inside(b, K)), ["K"])
        x = inside(b, Q)
        return b.papply(matrix, x if transposed else late(b, x), inside(b, F), "K", transposed)

    def want(q, k, f):
        matrix = torch.einsum("zrck,zrdk->zrcd", rows(q), rows(k))
        return torch.einsum("zrcd,zrck,zrcdk->zrdk" if transposed else "zrcd,zrdk,zrcdk->zrck", matrix, rows(q), weights(f))
    check(make, (Q, K, F), want, given_with_zeros(Q, K, F))


@pytest.mark.parametrize("reverse", [False, True])
def test_decayed_and_cumprod(reverse):
    turned = lambda w: w.transpose(2, 3) if reverse else w
    given = given_with_zeros(Q, F)
    check(lambda b: b.decayed(inside(b, Q), inside(b, F), reverse), (Q, F),
          lambda q, f: torch.einsum("zrdk,zrcdk->zrck", rows(q), turned(weights(f))), given)

    def want(f):
        f = rows(f)
        each = [f[:, :, c + 1:].prod(2) if reverse else f[:, :, :c].prod(2) for c in range(CHUNK)]
        return torch.stack(each, 2)
    check(lambda b: b.cumprod(inside(b, F), reverse), (F,), want, {"f": given["f"]})
