"""What a row's products ask of memory: the next row's tokens and starts, every line once."""
import re
from types import SimpleNamespace

import pytest

from mcgen.runtime.tvm.ahead import Block, _ask
from mcgen.runtime.tvm.compile import Options, record

SIZES = {"K": 40, "V": 16, "#chunk": 8}


@pytest.mark.parametrize("count, lines, number", [(32, 4, 32), (32, 1, 8), (8, 3, 5), (1, 256, 64), (1, 1, 16)])
def test_every_line_is_asked_for_once(count, lines, number):
    asked = []
    em = SimpleNamespace(bind_index=lambda i: i, floordiv=lambda i, by: i // by, prefetch=lambda buffer, index, dtype, write: asked.append(index))
    ask = _ask(SimpleNamespace(em=em), [Block("x", "f32", 1000, 512, count, lines, False)], number)
    for tile in range(number):
        ask(tile)
    wanted = [1000 + 512 * piece + 16 * line for piece in range(count) for line in range(lines)]
    assert asked[:len(wanted)] == wanted                             # what is left over lies behind the last
    assert len(asked) < len(wanted) + number


def kernel(k):
    q, v, saved = k.token("q", "K"), k.token("v", "V"), k.starts("saved", "K", "V", out=True)
    y, weights = k.token("y", "V", out=True), k.starts("weights", "n", out=True)           # as many as the call has memories
    with k.sequences():
        S, q_, v_, y_ = k.tile("S", "K", "V"), k.tile("q_", "c", "K"), k.tile("v_", "c", "V"), k.tile("y_", "c", "V")
        k.map(S["K", "V"], 0.0)
        with k.rows():
            k.load(q_["c", "K"], q)
            k.load(v_["c", "V"], v)
            k.dot(y_["c", "V"], q_["c", "K"], S["K", "V"], over="K")
            k.store(y, y_["c", "V"])
            k.map(saved["K", "V"], S["K", "V"])
            k.map(weights["n"], 0.0)
            k.dot(S["K", "V"], q_["c", "K"], v_["c", "V"], over="c", accumulate=True)


def asked_for(sizes):
    """What the functions ask for that multiply, and what the others do; the frame is only asked for so that it is aligned."""
    from mcgen.runtime.tvm.lower import lower

    found = {True: set(), False: set()}
    for text in map(str, lower(record(kernel, sizes), sizes, Options())[1].values()):
        found["fma" in text] |= set(re.findall(r"prefetch.*?address_of\(([a-z]+)", text)) - {"frame"}
    return found[True], found[False]


def test_products_share_what_the_next_row_touches():
    assert asked_for(SIZES) == ({"q", "v", "saved", "y"}, set())


def test_a_step_asks_for_nothing():
    assert asked_for({**SIZES, "#chunk": 1}) == (set(), set())
