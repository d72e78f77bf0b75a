"""Token loops under one loop over columns, and carries changed where they are: before and after, and when it must not be."""
from __future__ import annotations

from mcgen.ir import kernel as kr
from mcgen.ir.kernel_printer import print_kernel
from mcgen.passes.columns import by_columns
from mcgen.passes.in_place import in_place

from .test_share_rows import mul, ref, tile

TILES = {"s": ("K", "V"), "old": ("K", "V"), "t": ("c", "K", "V"), "m": ("V",), "p": ("c", "K"), "q": ("c", "K"), "v": ("c", "V"), "y": ("c", "V"), "g": ("K", "V")}
KEEP = kr.Map(tile("t", "c", "K", "V"), ref("s", "K", "V"))
STEP = kr.Map(tile("s", "K", "V"), mul(ref("q", "c", "K"), ref("v", "c", "V")), True)
SUM = kr.Reduce("sum", tile("p", "c", "K"), mul(ref("s", "K", "V"), ref("v", "c", "V")), ("V",))
WALK = kr.Map(tile("y", "c", "V"), mul(ref("t", "c", "K", "V"), ref("g", "K", "V")), True)
FILL = kr.Map(tile("g", "K", "V"), ref("old", "K", "V"))


def tokens(*statements, back: bool = False) -> kr.Loop:
    return kr.Loop("tokens_back" if back else "tokens", (kr.Along("K", statements),))


def text(run, *rows) -> list[str]:
    """The rows' text, line by line."""
    kernel = run(kr.Kernel("k", (), (), 0, False, [kr.Tile(n, axes) for n, axes in TILES.items()], rows=list(rows)))
    lines = [line.strip() for line in print_kernel(kernel).splitlines()]
    return lines[lines.index("rows {") + 1:-4]


def test_two_loops_by_columns():
    """What the second loop needs goes before both, what reads the first one's sums goes behind both."""
    behind = kr.Map(tile("q", "c", "K"), ref("p", "c", "K"))
    assert text(by_columns, tokens(KEEP, STEP, SUM), behind, FILL, tokens(WALK, back=True)) == [
        "g[K, V] = old[K, V]", "p[c, K] = 0", "along V {", "loop tokens {", "along K {", "t[c, K, V] = s[K, V]",
        "s[K, V] += (q[c, K] * v[c, V])", "p[c, K] += (s[K, V] * v[c, V])", "}", "}", "loop tokens_back {", "along K {",
        "y[c, V] += (t[c, K, V] * g[K, V])", "}", "}", "}", "q[c, K] = p[c, K]"]


def test_what_stands_between_and_needs_both_keeps_them_apart():
    both = kr.Map(tile("g", "K", "V"), ref("s", "K", "V"))
    lines = text(by_columns, tokens(KEEP, STEP), both, tokens(WALK, back=True))
    assert lines.count("along V {") == 2 and lines.index("g[K, V] = s[K, V]") < lines.index("loop tokens_back {")


def test_columns_that_need_each_other_stay_in_the_loop_over_tokens():
    """A sum over columns that the loop reads; a vector without columns that goes from row to row."""
    reads = kr.Map(tile("s", "K", "V"), mul(ref("p", "c", "K"), ref("v", "c", "V")), True)
    assert "along V {" not in text(by_columns, tokens(SUM, reads))
    assert "along V {" not in text(by_columns, tokens(kr.Map(tile("p", "c", "K"), ref("q", "c", "K")), STEP))


def test_a_carry_changes_where_it_is():
    """What keeps it as it was comes first; a copy that others use stays."""
    taken, given = kr.Map(tile("s", "K", "V"), ref("old", "K", "V")), kr.Map(tile("old", "K", "V"), ref("s", "K", "V"))
    assert text(in_place, taken, tokens(STEP), FILL, given) == [
        "g[K, V] = old[K, V]", "loop tokens {", "along K {", "old[K, V] += (q[c, K] * v[c, V])", "}", "}"]
    assert text(in_place, taken, tokens(STEP), given, kr.Map(tile("g", "K", "V"), ref("s", "K", "V")))[0] == "s[K, V] = old[K, V]"
    again = kr.Map(tile("old", "K", "V"), ref("g", "K", "V"), True)
    assert text(in_place, taken, tokens(STEP), again, given)[0] == "s[K, V] = old[K, V]"
