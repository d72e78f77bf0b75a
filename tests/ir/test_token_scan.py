"""The scan over the tokens of a row: on its own for all rows at once, and inside the scan over rows."""
from __future__ import annotations

import pytest
import torch

from mcgen.ir.builder import Builder
from mcgen.ir.nodes import Param, Program, Result
from mcgen.passes.rewrite import inline

from .helpers import CHUNK, ROWS, gradients, tensors, value_of

T, U, S0, A = Param("t", "token", ("K",)), Param("u", "token", ("V",)), Param("s", "memory", ("K", "V")), Param("a", "memory", ("K", "V"))


def body_of(b: Builder) -> Program:
    """S' = tanh(a * S) + outer(t, u);  y = S'^T t + S^T t."""
    old, t, u, a = (Param(n, "value", x) for n, x in (("at_S", ("K", "V")), ("x_t", ("K",)), ("x_u", ("V",)), ("k_a", ("K", "V"))))
    after = b.map("add", b.map("tanh", b.map("mul", b.param(a), b.param(old))), b.map("mul", b.param(t), b.param(u)))
    y = b.add(b.dot(after, b.param(t), ["K"]), b.dot(b.param(old), b.param(t), ["K"]))
    return Program("tokens", (old, t, u, a), (Result("at_S", "value", ("K", "V"), ((after, 0),)), Result("y", "value", ("V",), ((y, 0),))))


def nested(b: Builder, reverse: bool = False):
    """(final state, states before rows, y) of the whole sequence."""
    inner = body_of(b)
    old, t, u, a, count = (Param(n, "value", x, dtype=d) for n, x, d in (
        ("old_S", ("K", "V"), "f"), ("row_t", ("c", "K"), "f"), ("row_u", ("c", "V"), "f"), ("row_a", ("K", "V"), "f"), ("row_count", (), "i")))
    finals, _, ys = b.scan(inner, [b.param(old)], [b.param(t), b.param(u)], [b.param(a)], reverse, b.param(count))
    outer = Program("rows", (old, t, u, count, a), (Result("old_S", "value", ("K", "V"), ((finals[0], 0),)), Result("y", "value", ("c", "V"), ((ys[0], 0),))))
    return b.scan(outer, [b.param(S0)], [b.load(T), b.load(U), b.row("count")], [b.param(A)], reverse)


def loop(t, u, s, a, reverse=False):
    S, ys, starts = s, {}, {}
    for r, (start, count, _, _) in [*enumerate(ROWS)][::-1 if reverse else 1]:
        starts[r] = S
        for c in range(CHUNK):
            ys[r, c] = torch.zeros_like(u[:, 0])
        for c in reversed(range(count)) if reverse else range(count):
            k, v = t[:, start + c], u[:, start + c]
            old, S = S, torch.tanh(a * S) + k[:, :, None] * v[:, None, :]
            ys[r, c] = torch.einsum("zkv,zk->zv", S + old, k)
    return S, torch.stack([starts[r] for r in range(len(ROWS))], 1), torch.stack([torch.stack([ys[r, c] for c in range(CHUNK)], 1) for r in range(len(ROWS))], 1)


def value_and_gradients(make, want):
    params = [T, U, S0, A]
    given = tensors(params)
    b = Builder()
    value = make(b)
    torch.testing.assert_close(value_of(value, params, given), want(*(given[p.name] for p in params)), rtol=1e-10, atol=1e-12)
    for got, wanted in zip(*gradients(b, value, params, given)):
        torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("which", [0, 1, 2])
def test_inside_the_scan_over_rows(which, reverse):
    """Tokens past a row's count change nothing and answer 0."""
    def make(b):
        finals, starts, ys = nested(b, reverse)
        chosen = b.map("exp", b.map("mul", (finals + starts + ys)[which], b.const(0.1)))
        return b.sum(chosen, [a for a in chosen.axes if a in "rc"])

    def want(t, u, s, a):
        chosen = (loop(t, u, s, a, reverse)[which] * 0.1).exp()
        return chosen.sum([1, 2]) if which == 2 else chosen.sum(1) if which == 1 else chosen
    value_and_gradients(make, want)


def test_of_all_rows_at_once():
    """On arguments over rows the body gets the rows as an axis, and each row starts from its own state."""
    params = [T, U, Param("starts", "starts", ("K", "V")), A]
    given = tensors(params)
    b = Builder()
    inner = body_of(b)
    t, u, a, s, count = (b.param(Param(n, "value", x, dtype=d)) for n, x, d in (
        ("row_t", ("c", "K"), "f"), ("row_u", ("c", "V"), "f"), ("row_a", ("K", "V"), "f"), ("old_S", ("K", "V"), "f"), ("count", (), "i")))
    one_row = Program("row", (), (Result("y", "value", ("c", "V"), ((b.scan(inner, [s], [t, u], [a], count=count)[2][0], 0),)),))
    value, = inline(b, one_row, {"row_t": b.load(T), "row_u": b.load(U), "row_a": b.param(A), "old_S": b.param(params[2]), "count": b.row("count")})
    assert value.axes == ("r", "c", "V")

    def want(t, u, s, a):
        rows = []
        for r, (start, count, _, _) in enumerate(ROWS):
            S, ys = s[:, r], []
            for c in range(CHUNK):
                k, v = t[:, min(start + c, 12)], u[:, min(start + c, 12)]
                new = torch.tanh(a * S) + k[:, :, None] * v[:, None, :]
                ys.append(torch.einsum("zkv,zk->zv", S + new, k) if c < count else 0 * v)
                S = new
            rows.append(torch.stack(ys, 1))
        return torch.stack(rows, 1)
    torch.testing.assert_close(value_of(b.sum(value, ["c"]), params, given), want(*(given[p.name] for p in params)).sum(2), rtol=1e-10, atol=1e-12)
    for g, w in zip(*gradients(b, b.sum(b.map("exp", b.map("mul", value, b.const(0.1))), ["r", "c"]), params, given)):
        torch.testing.assert_close(g, w, rtol=1e-10, atol=1e-12)
