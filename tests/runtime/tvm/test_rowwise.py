"""Loops over tokens and along an axis: statements in one pass, what they hand on, sums that end with the pass."""
from __future__ import annotations

import pytest
import torch

from .helpers import close, run, table_of


@pytest.mark.parametrize("K, V", [(3, 5), (8, 16), (5, 67), (2, 1)])
@pytest.mark.parametrize("reverse", [False, True])
def test_statements_of_a_row_in_one_pass(K, V, reverse):
    """Elements are handed from statement to statement, in place too; a sum is read by the statements behind it."""
    def fn(k):
        a, b, y, z = k.token("a", "K"), k.token("b", "V"), k.token("y", "V", out=True), k.token("z", "K", out=True)
        M = k.memory("M", "K", "V", inout=True)
        with k.sequences():
            S, m, p, s = k.tile("S", "K", "V"), k.tile("m", "V"), k.tile("p", "V"), k.tile("s")
            a_, b_, y_, z_ = k.tile("a_", "c", "K"), k.tile("b_", "c", "V"), k.tile("y_", "c", "V"), k.tile("z_", "c", "K")
            k.map(S["K", "V"], M["K", "V"])
            with k.rows(reverse=reverse):
                k.load(a_["c", "K"], a)
                k.load(b_["c", "V"], b)
                with k.loop("c", 0, k.count, reverse=reverse):
                    k.map(p["V"], 0.0)
                    with k.loop("K", 0, k.sizes["K"]):
                        k.map(S["K", "V"], a_["c", "K"] * b_["c", "V"], accumulate=True)
                        k.map(m["V"], k.tanh(S["K", "V"]) - 0.5 * b_["c", "V"])
                        k.map(p["V"], a_["c", "K"] * m["V"], accumulate=True)
                        k.sum(s(), m["V"] * S["K", "V"], over="V")
                        k.map(S["K", "V"], m["V"] - s() * b_["c", "V"])
                        k.map(z_["c", "K"], -s())
                    k.map(y_["c", "V"], p["V"])
                k.store(y, y_["c", "V"])
                k.store(z, z_["c", "K"])
            k.map(M["K", "V"], S["K", "V"])
    torch.manual_seed(K)
    T, C = 7, 4
    a, b, M = torch.randn(1, T, 1, K), torch.randn(1, T, 1, V) / V ** 0.5, torch.randn(1, 1, K, V)
    out = run(fn, {"#chunk": C, "K": K, "V": V}, {"a": a, "b": b}, {"y": torch.empty(1, T, 1, V), "z": torch.empty(1, T, 1, K), "M": M.clone()},
              table_of(1, T, C, C))
    S = M[0, 0].double()
    for t in reversed(range(T)) if reverse else range(T):
        k, v = a[0, t, 0].double(), b[0, t, 0].double()
        S = S + k[:, None] * v
        m = torch.tanh(S) - 0.5 * v
        s = (m * S).sum(1)
        close(out["y"][0, t, 0], k @ m)
        close(out["z"][0, t, 0], -s)
        S = m - s[:, None] * v
    close(out["M"][0, 0], S)


@pytest.mark.parametrize("K, V", [(3, 200), (40, 64), (9, 70)])
def test_sums_side_by_side(K, V):
    """Many vectors of sums at once, the last ones on their own; products subtracted and added in one rounding."""
    def fn(k):
        x, w, u = k.memory("x", "K", "V"), k.memory("w", "K"), k.memory("u", "V")
        y, z, s, m = (k.memory(n, *axes, out=True) for n, axes in (("y", "V"), ("z", "V"), ("s", "K"), ("m", "KV")))
        with k.sequences():
            k.sum(y["V"], w["K"] * x["K", "V"], over="K")
            k.sum(z["V"], -(w["K"] * (x["K", "V"] - u["V"] * w["K"])) + u["V"], over="K")
            k.sum(s["K"], -1.0 * (u["V"] * x["K", "V"]), over="V")
            k.map(m["K", "V"], (x["K", "V"] * u["V"] - w["K"]) - x["K", "V"] * (w["K"] * u["V"]))
    torch.manual_seed(K)
    x, w, u = torch.randn(1, 1, K, V), torch.randn(1, 1, K), torch.randn(1, 1, V)
    out = run(fn, {"K": K, "V": V}, {"x": x, "w": w, "u": u}, {"y": torch.empty(1, 1, V), "z": torch.empty(1, 1, V), "s": torch.empty(1, 1, K),
                                                              "m": torch.empty(1, 1, K, V)}, table_of(1, 1, 1, 1))
    X, W, U = x[0, 0].double(), w[0, 0].double()[:, None], u[0, 0].double()
    close(out["y"][0, 0], (W * X).sum(0))
    close(out["z"][0, 0], (U - W * (X - U * W)).sum(0))
    close(out["s"][0, 0], -(U * X).sum(1))
    close(out["m"][0, 0], (X * U - W) - X * W * U)
