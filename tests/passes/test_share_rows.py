"""Statements of a token that share a loop over the rows of a memory: before and after, and when they must not."""
from __future__ import annotations

from mcgen.ir import kernel as kr
from mcgen.ir.kernel_printer import print_kernel
from mcgen.passes.share_rows import share_rows


def tile(name: str, *axes: str) -> kr.Ref:
    return kr.Ref(name, "tile", axes)


def ref(name: str, *axes: str) -> kr.Expr:
    return kr.Expr("ref", attr=tile(name, *axes))


def mul(x: kr.Expr, y: kr.Expr) -> kr.Expr:
    return kr.Expr("mul", (x, y))


TILES = {"s": ("K", "V"), "m": ("K", "V"), "p": ("K",), "y": ("V",), "q": ("c", "K"), "v": ("c", "V"), "out": ("c", "V"), "w": ("c", "K"), "z": ("K", "K~")}
MADE = kr.Map(tile("m", "K", "V"), kr.Expr("tanh", (ref("s", "K", "V"),)))
ALONG_V = kr.Reduce("sum", tile("p", "K"), mul(ref("m", "K", "V"), ref("v", "c", "V")), ("V",))
KEPT = kr.Map(tile("w", "c", "K"), kr.Expr("neg", (ref("p", "K"),)))
ALONG_K = kr.Reduce("sum", tile("y", "V"), mul(ref("s", "K", "V"), ref("q", "c", "K")), ("K",))
IN_PLACE = kr.Map(tile("s", "K", "V"), mul(ref("q", "c", "K"), ref("m", "K", "V")))
STORED = kr.Map(tile("out", "c", "V"), ref("y", "V"))


def shared(*statements) -> list[str]:
    """The loop's text, line by line."""
    kernel = kr.Kernel("k", (), (), 0, False, [kr.Tile(n, axes) for n, axes in TILES.items()], rows=[kr.Loop("tokens", tuple(statements))])
    text = print_kernel(share_rows(kernel)).splitlines()
    start = next(i for i, line in enumerate(text) if "loop tokens" in line)
    return [line.strip() for line in text[start + 1:]][:-5]


def test_one_loop_over_the_rows():
    """What only the loop uses becomes one row; a sum over rows is added to, from zero on; what needs it comes behind, and so does a
    vector that no row waits for."""
    assert shared(MADE, ALONG_V, ALONG_K, STORED, KEPT, IN_PLACE) == [
        "y[V] = 0", "along K {", "m[V] = tanh(s[K, V])", "p[K] = sum((m[V] * v[c, V])) over V", "y[V] += (s[K, V] * q[c, K])",
        "s[K, V] = (q[c, K] * m[V])", "}", "w[c, K] = neg(p[K])", "out[c, V] = y[V]"]


def test_a_vector_that_rows_wait_for_is_a_number_of_each():
    again = kr.Map(tile("s", "K", "V"), mul(ref("w", "c", "K"), ref("m", "K", "V")))
    assert shared(MADE, ALONG_V, KEPT, again) == [
        "along K {", "m[V] = tanh(s[K, V])", "p[] = sum((m[V] * v[c, V])) over V", "w[c, K] = neg(p[])", "s[K, V] = (w[c, K] * m[V])", "}"]


def test_a_statement_alone_stays_as_it_is():
    assert shared(ALONG_K, STORED) == ["y[V] = sum((s[K, V] * q[c, K])) over K", "out[c, V] = y[V]"]


def test_rows_that_are_not_the_same_end_the_loop():
    """A sum over rows that the next statement needs, and a matrix read across."""
    needs = kr.Map(tile("s", "K", "V"), mul(ref("q", "c", "K"), ref("y", "V")))
    assert shared(ALONG_K, needs)[1:] == ["s[K, V] = (q[c, K] * y[V])"]
    square = kr.Map(tile("z", "K", "K~"), mul(ref("q", "c", "K"), ref("q", "c", "K~")))
    across = kr.Map(tile("s", "K", "V"), mul(ref("z", "K~", "K"), ref("s", "K", "V")))
    assert not any("along" in line for line in shared(square, across))


def test_a_tile_that_others_use_stays_whole():
    again = kr.Dot(tile("z", "K", "K~"), ref("m", "K", "V"), ref("m", "K~", "V"), ("V",))
    text = shared(MADE, ALONG_V, again)
    assert text[:4] == ["along K {", "m[K, V] = tanh(s[K, V])", "p[] = sum((m[K, V] * v[c, V])) over V", "}"]
