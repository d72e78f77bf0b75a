"""Sums over columns that one statement uses together are added up as one, and when they must not be."""
from __future__ import annotations

import pytest

from mcgen.ir import kernel as kr
from mcgen.ir.kernel_printer import print_kernel
from mcgen.ir.nodes import Result
from mcgen.passes.join_sums import join_sums

from .test_share_rows import mul, ref, tile

TILES = {"s": ("K", "V"), "p": ("c", "K"), "q": ("c", "K"), "k": ("c", "K"), "a": ("c", "K"), "b": ("c", "K"), "v": ("c", "V"), "w": ("c", "V"), "m": ("c",)}
ZERO, MINUS = kr.Expr("num", attr=0.0), kr.Expr("num", attr=-1.0)
P, Q, K, A, B, M = (ref(n, *TILES[n]) for n in "pqkabm")
FIRST = kr.Map(tile("p", "c", "K"), mul(ref("s", "K", "V"), ref("v", "c", "V")), True)
SECOND = kr.Map(tile("q", "c", "K"), mul(ref("s", "K", "V"), ref("w", "c", "V")), True)
CHANGE = kr.Map(tile("s", "K", "V"), mul(ref("k", "c", "K"), ref("v", "c", "V")), True)


def add(*args):
    return kr.Expr("add", args)


def stored(value):
    return kr.Store(Result("out", "token", ("K",), ()), value, 0, False)


def text(*behind, body=(FIRST, SECOND), before=()) -> list[str]:
    loop = kr.Along("V", (kr.Loop("tokens", (kr.Along("K", tuple(body)),)),))
    rows = [*before, kr.Map(FIRST.dst, ZERO), kr.Map(SECOND.dst, ZERO), loop, *behind]
    lines = [line.strip() for line in print_kernel(join_sums(kr.Kernel("k", (), (), 0, False, [kr.Tile(n, a) for n, a in TILES.items()], rows=rows))).splitlines()]
    return [line for line in lines[lines.index("rows {") + 1:] if line not in ("", "}", "after {")]


def test_two_sums_are_one():
    assert text(stored(add(mul(K, P), Q))) == [
        "q[c, K] = 0", "along V {", "loop tokens {", "along K {", "q[c, K] += ((k[c, K] * (s[K, V] * v[c, V])) + (s[K, V] * w[c, V]))",
        "store out = q[c, K]"]


def test_through_tiles_that_nothing_else_uses():
    """Used twice, and taken away: numbers add up."""
    lines = text(kr.Map(tile("a", "c", "K"), mul(K, kr.Expr("neg", (P,)))), stored(add(A, add(add(Q, M), A))))
    assert lines[4:] == ["q[c, K] += (((-2 * k[c, K]) * (s[K, V] * v[c, V])) + (s[K, V] * w[c, V]))", "store out = (q[c, K] + m[c])"] and "p[c, K] = 0" not in lines


@pytest.mark.parametrize("behind", [
    [stored(add(P, Q)), stored(P)],                                                      # another one reads it
    [stored(mul(P, Q))], [stored(add(kr.Expr("exp", (P,)), Q))],                         # not linear
    [stored(add(P, mul(P, Q)))],
    [kr.Map(tile("k", "c", "K"), B), stored(add(mul(K, P), Q))],                         # what it is multiplied with comes later
    [stored(add(mul(K, P), M))],                                                         # one sum alone
    [kr.Map(tile("a", "c", "K"), mul(P, B)), stored(add(A, Q)), stored(A)],
    [kr.Map(tile("a", "c", "K"), add(P, B)), kr.Map(tile("b", "c", "K"), K), stored(add(A, Q))],        # what is added is another by then
])
def test_not_joined(behind):
    lines = text(*behind)
    assert sum("+=" in line for line in lines) == 2 and {"p[c, K] = 0", "q[c, K] = 0"} <= set(lines)


def test_not_past_a_change_of_what_is_summed():
    assert sum("+=" in line for line in text(stored(add(P, Q)), body=(FIRST, CHANGE, SECOND))) == 3
    assert sum("+=" in line for line in text(stored(add(P, Q)), body=(CHANGE, FIRST, SECOND))) == 2


def test_a_start_that_is_not_zero_stays():
    assert sum("+=" in line for line in text(stored(add(P, Q)), before=(kr.Map(FIRST.dst, K),))) == 2
