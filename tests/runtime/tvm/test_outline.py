"""Statements as functions of their own: which become one, what they are handed, and that they compute the same."""
import torch

from mcgen.runtime.tvm import compile
from mcgen.runtime.tvm.compile import Options, record
from .helpers import table_of

SIZES = {"K": 16, "V": 16, "#chunk": 8}


def parts(fn) -> tuple[str, dict]:
    from mcgen.runtime.tvm.lower import lower

    main, functions = lower(record(fn, SIZES), SIZES, Options())
    return str(main), functions


def products(k):
    """Two products of equal sizes, and one that is added up."""
    q, a, b = k.token("q", "K"), k.head("a", "K", "V"), k.head("b", "K", "V")
    y = k.token("y", "V", out=True)
    with k.sequences():
        q_, x, z = k.tile("q_", "c", "K"), k.tile("x", "c", "V"), k.tile("z", "c", "V")
        a_, b_ = k.tile("a_", "K", "V"), k.tile("b_", "K", "V")
        k.map(a_["K", "V"], a["K", "V"])
        k.map(b_["K", "V"], b["K", "V"])
        with k.rows():
            k.load(q_["c", "K"], q)
            k.dot(x["c", "V"], q_["c", "K"], a_["K", "V"], over="K")
            k.dot(z["c", "V"], q_["c", "K"], b_["K", "V"], over="K")
            k.dot(z["c", "V"], x["c", "K"], b_["K", "V"], over="K", accumulate=True)
            k.store(y, z["c", "V"] * k.f32(k.count + k.row))


def steps(k):
    """A loop of simple statements, with its position, and one with a product inside."""
    q, a = k.token("q", "K"), k.head("a", "K", "V")
    y = k.token("y", "V", out=True)
    with k.sequences():
        S, q_, y_, a_ = k.tile("S", "V"), k.tile("q_", "c", "K"), k.tile("y_", "c", "V"), k.tile("a_", "K", "V")
        k.map(a_["K", "V"], a["K", "V"])
        with k.rows():
            k.load(q_["c", "K"], q)
            k.map(S["V"], 0.0)
            k.map(y_["c", "V"], 0.0)
            with k.loop("c", 0, k.count) as c:
                k.sum(S["V"], q_["c", "K"] * a_["K", "V"], over="K", accumulate=True)
                k.map(y_["c", "V"], S["V"] * k.f32(c))
            with k.loop("n", 0, 2):
                k.dot(y_["c", "V"], q_["c", "K"], a_["K", "V"], over="K", accumulate=True)
            k.store(y, y_["c", "V"])


def test_equal_statements_are_one_function():
    main, functions = parts(products)
    assert len(functions) == 6      # a copy, a load, a store, a product for each tensor that the next row touches, one added up
    assert main.count('"part') == 7
    assert "fma" not in main


def test_loops():
    main, functions = parts(steps)
    assert main.count("for n in") == 1 and "for c in" not in main
    assert any("for c in" in str(f) and '"part' not in str(f) for f in functions.values())


def test_values():
    torch.manual_seed(0)
    table = table_of(1, 19, 8, 64)
    q, a, b = torch.randn(1, 19, 2, 16), torch.randn(2, 16, 16), torch.randn(2, 16, 16)
    y = torch.zeros(1, 19, 2, 16)
    compile(products, SIZES)(table, q=q, a=a, b=b, y=y)
    by_token = (torch.tensor([8, 9, 5])).repeat_interleave(torch.tensor([8, 8, 3])).view(1, 19, 1, 1)
    x = torch.einsum("bthk,hkv->bthv", q, a)
    want = (torch.einsum("bthk,hkv->bthv", q, b) + torch.einsum("bthk,hkv->bthv", x, b)) * by_token
    assert torch.allclose(y, want, rtol=1e-4, atol=1e-3)
    compile(steps, SIZES)(table, q=q, a=a, y=y)
    sums = torch.cat([part.cumsum(1) * torch.arange(part.shape[1]).view(1, -1, 1, 1) for part in x.split([8, 8, 3], 1)], 1)
    assert torch.allclose(y, sums + 2 * x, rtol=1e-4, atol=1e-3)
