"""Functions that both loops over a column's tokens compute are kept by the first for the second, and when they must not be."""
from __future__ import annotations

import pytest

from mcgen.ir import kernel as kr
from mcgen.ir.kernel_printer import print_kernel
from mcgen.passes.keep_functions import keep_functions

from .test_share_rows import mul, ref, tile

TILES = {"s": ("K", "V"), "g": ("K", "V"), "t": ("c", "K", "V"), "a": ("K", "V"), "d": ("c", "V"), "k": ("c", "K")}
S, G, T, A, D, K = (ref(n, *axes) for n, axes in TILES.items())


def fn(name, *args):
    return kr.Expr(name, args)


DECAY = fn("exp", mul(D, A))
COPY = kr.Map(tile("t", "c", "K", "V"), S)


def text(*bodies) -> list[str]:
    """The loops' statements, line by line: of the first loop on, and of those back."""
    loops = tuple(kr.Loop("tokens" if i == 0 else "tokens_back", (kr.Along("K", tuple(body)),)) for i, body in enumerate(bodies))
    kernel = kr.Kernel("k", (), (), 0, False, [kr.Tile(n, a) for n, a in TILES.items()], rows=[kr.Along("V", loops)])
    return [line.strip() for line in print_kernel(keep_functions(kernel)).splitlines() if "[" in line and "=" in line]


def change(name, value):
    return kr.Map(tile(name, "K", "V"), value)


def test_a_decay_is_kept():
    assert text([COPY, change("s", mul(S, DECAY))], [change("g", mul(DECAY, mul(T, G)))]) == [
        "t[c, K, V] = s[K, V]", "each_exp[c, K, V] = exp((d[c, V] * a[K, V]))", "s[K, V] = (s[K, V] * each_exp[c, K, V])",
        "g[K, V] = (each_exp[c, K, V] * (t[c, K, V] * g[K, V]))"]


def test_of_the_state_as_it_was():
    """The first loop has it of the state, the second one of what was kept of it."""
    assert text([COPY, change("s", fn("tanh", mul(K, S)))], [change("g", mul(G, fn("tanh", mul(K, T))))]) == [
        "t[c, K, V] = s[K, V]", "each_tanh[c, K, V] = tanh((k[c, K] * s[K, V]))", "s[K, V] = each_tanh[c, K, V]", "g[K, V] = (g[K, V] * each_tanh[c, K, V])"]


def test_the_whole_of_it():
    """Not a function inside a function that is kept; two that have nothing in common are two."""
    lines = text([COPY, change("s", fn("tanh", mul(S, DECAY)))], [change("g", mul(fn("tanh", mul(T, DECAY)), G))])
    assert [line for line in lines if line.startswith("each_")] == ["each_tanh[c, K, V] = tanh((s[K, V] * exp((d[c, V] * a[K, V]))))"]
    lines = text([COPY, change("s", mul(DECAY, fn("tanh", mul(S, K))))], [change("g", mul(fn("tanh", mul(T, K)), mul(G, DECAY)))])
    assert sum(line.startswith("each_") for line in lines) == 2 and "exp(" not in lines[-1] + lines[-2]


def test_three_loops():
    """One is enough for two others; none may change what it is of."""
    first, last = [COPY, change("s", mul(S, DECAY))], [change("g", mul(DECAY, G))]
    assert sum("each_exp[c, K, V]" in line for line in text(first, last, last)) == 4
    assert not any("each_" in line for line in text(first, [change("a", G)], last))


@pytest.mark.parametrize("first, second", [
    ([COPY, change("s", mul(S, DECAY))], [change("g", mul(G, T))]),                                       # the second has none
    ([COPY, change("s", mul(S, mul(D, A)))], [change("g", mul(mul(D, A), G))]),                           # a product is cheap
    ([COPY, change("s", mul(S, fn("exp", D)))], [change("g", mul(G, fn("exp", D)))]),                     # one for a column, not for an entry
    ([COPY, change("s", mul(K, S)), change("a", fn("tanh", mul(K, S)))], [change("g", fn("tanh", mul(K, T)))]),       # of the state as it is now
    ([COPY, change("s", mul(S, DECAY))], [change("g", mul(DECAY, G)), change("a", G)]),                    # the second changes what it is of
    ([change("s", mul(S, DECAY)), change("a", S)], [change("g", mul(DECAY, G))]),                         # the first does
])
def test_not_kept(first, second):
    assert not any("each_" in line for line in text(first, second))
