"""What a token only hands on leaves the loop over tokens: before and after, and when it must stay."""
from __future__ import annotations

from mcgen.ir import kernel as kr
from mcgen.ir.kernel_printer import print_kernel
from mcgen.passes.leave_tokens import ZERO, leave_tokens

from .test_share_rows import mul, ref, tile

TILES = {"s": ("K", "V"), "y": ("V",), "w": ("K",), "q": ("c", "K"), "v": ("c", "V"), "out": ("c", "V"), "back": ("c", "K")}
FILL = kr.Map(tile("y", "V"), ZERO)
ADD = kr.Map(tile("y", "V"), mul(ref("s", "K", "V"), ref("q", "c", "K")), True)
SUM = kr.Reduce("sum", tile("w", "K"), mul(ref("s", "K", "V"), ref("v", "c", "V")), ("V",))
OUT = kr.Map(tile("out", "c", "V"), ref("y", "V"))
BACK = kr.Map(tile("back", "c", "K"), kr.Expr("neg", (ref("w", "K"),)))


def left(*statements, before=(), behind=()) -> list[str]:
    """The rows' text, line by line."""
    rows = [*before, kr.Loop("tokens", tuple(statements)), *behind]
    kernel = leave_tokens(kr.Kernel("k", (), (), 0, False, [kr.Tile(n, axes) for n, axes in TILES.items()], rows=rows))
    text = [line.strip() for line in print_kernel(kernel).splitlines()]
    return text[text.index("rows {") + 1:-4]


def test_sums_of_all_tokens():
    """A copy goes, and its tile takes the place of what was copied; what changes the sign stands behind the loop."""
    zero = kr.Map(tile("out", "c", "V"), ZERO)
    assert left(FILL, kr.Along("K", (ADD, SUM)), OUT, BACK, before=[zero, kr.Map(tile("back", "c", "K"), ZERO)]) == [
        "w[c, K] = 0", "out[c, V] = 0", "loop tokens {", "along K {", "out[c, V] += (s[K, V] * q[c, K])",
        "w[c, K] = sum((s[K, V] * v[c, V])) over V", "}", "}", "back[c, K] = neg(w[c, K])"]


def test_what_is_carried_or_read_elsewhere_stays():
    plain = ["loop tokens {", "along K {", "y[V] += (s[K, V] * q[c, K])", "}", "out[c, V] = y[V]", "}"]
    assert left(kr.Along("K", (ADD,)), OUT) == plain                                    # from token to token
    after = kr.Map(tile("v", "c", "V"), ref("y", "V"))
    assert left(FILL, kr.Along("K", (ADD,)), OUT, behind=[after]) == [plain[0], "y[V] = 0", *plain[1:], "v[c, V] = y[V]"]


def test_what_is_not_zero_past_the_last_token_stays():
    other = kr.Map(tile("out", "c", "V"), kr.Expr("exp", (ref("y", "V"),)))
    assert "out[c, V] = exp(y[V])" in left(FILL, kr.Along("K", (ADD,)), other)[:-1]
