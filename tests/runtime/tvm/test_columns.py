"""Loops along columns around loops over tokens: states kept for a walk back, sums over rows, over columns, over both; other widths."""
from __future__ import annotations

import pytest
import torch

from mcgen.runtime.tvm import columns

from .helpers import close, counting, run, table_of


@pytest.fixture(autouse=True)
def counted(monkeypatch):
    """How many loops were lowered this way."""
    return counting(monkeypatch, columns, "lower_columns")


@pytest.mark.parametrize("K, V, function", [(3, 5, False), (8, 16, True), (5, 67, False), (19, 40, False), (19, 40, True)])
def test_there_and_back(K, V, function, counted, tmp_path, monkeypatch):
    """S = S (1 - a b / 2) + a b; D stays; y = (S + D)^T a; w = S b, n their sum. Back: G += a b; g, G times S + D as they were before,
    summed over rows."""
    monkeypatch.setenv("MCGEN_CACHE", str(tmp_path))

    def fn(k):
        a, b = k.token("a", "K"), k.token("b", "V")
        y, w, g, n = (k.token(name, *axes, out=True) for name, axes in (("y", "V"), ("w", "K"), ("g", "V"), ("n", "")))
        M, L = k.memory("M", "K", "V", inout=True), k.memory("L", "K", "V", out=True)
        f = k.tanh if function else k.abs
        with k.sequences():
            S, G, x = k.tile("S", "K", "V"), k.tile("G", "K", "V"), k.tile("x", "V")
            at, same, D = k.tile("at", "c", "K", "V"), k.tile("same", "c", "K", "V"), k.tile("D", "K", "V")
            a_, b_, y_, w_, g_, n_ = (k.tile(name, "c", *axes) for name, axes in (("a_", "K"), ("b_", "V"), ("y_", "V"), ("w_", "K"), ("g_", "V"), ("n_", "")))
            k.map(S["K", "V"], M["K", "V"])
            k.map(D["K", "V"], 0.5 * M["K", "V"])
            with k.rows():
                k.load(a_["c", "K"], a)
                k.load(b_["c", "V"], b)
                for sums, axis in ((y_, "V"), (w_, "K"), (g_, "V")):
                    k.map(sums["c", axis], 0.0)
                k.map(n_["c"], 2.0)
                k.map(G["K", "V"], 0.0)
                with k.loop("V", 0, k.sizes["V"]):
                    with k.loop("c", 0, k.count):
                        with k.loop("K", 0, k.sizes["K"]):
                            k.map(same["c", "K", "V"], D["K", "V"])
                            k.map(at["c", "K", "V"], S["K", "V"])
                            k.map(S["K", "V"], -0.5 * (S["K", "V"] * (a_["c", "K"] * b_["c", "V"])) + a_["c", "K"] * b_["c", "V"], accumulate=True)
                            k.map(y_["c", "V"], a_["c", "K"] * (S["K", "V"] + D["K", "V"]), accumulate=True)
                            k.map(w_["c", "K"], S["K", "V"] * b_["c", "V"], accumulate=True)
                            k.map(n_["c"], S["K", "V"] * b_["c", "V"], accumulate=True)
                    with k.loop("c", 0, k.count, reverse=True):
                        with k.loop("K", 0, k.sizes["K"]):
                            k.map(G["K", "V"], a_["c", "K"] * b_["c", "V"], accumulate=True)
                            k.map(x["V"], f(at["c", "K", "V"] + same["c", "K", "V"]))
                            k.map(g_["c", "V"], G["K", "V"] * x["V"], accumulate=True)
                for out, tile, axis in ((y, y_, "V"), (w, w_, "K"), (g, g_, "V")):
                    k.store(out, tile["c", axis])
                k.store(n, n_["c"])
            k.map(M["K", "V"], S["K", "V"])
            k.map(L["K", "V"], G["K", "V"])
    torch.manual_seed(K)
    T, C = 7, 4
    a, b, M = torch.randn(1, T, 1, K), torch.randn(1, T, 1, V) / V ** 0.5, torch.randn(1, 1, K, V)
    out = run(fn, {"#chunk": C, "K": K, "V": V}, {"a": a, "b": b},
              {"y": torch.empty(1, T, 1, V), "w": torch.empty(1, T, 1, K), "g": torch.empty(1, T, 1, V), "n": torch.empty(1, T, 1), "M": M.clone(),
               "L": torch.empty(1, 1, K, V)}, table_of(1, T, C, C))
    assert any(counted)
    S, kept = M[0, 0].double(), []
    for i in range(T):
        k, v = a[0, i, 0].double(), b[0, i, 0].double()
        kept.append(S)
        S = S - 0.5 * S * k[:, None] * v + k[:, None] * v
        close(out["y"][0, i, 0], k @ (S + 0.5 * M[0, 0].double()))
        close(out["w"][0, i, 0], S @ v)
        close(out["n"][0, i, 0], 2 + (S @ v).sum())
    close(out["M"][0, 0], S)
    for start in (0, C):
        G = torch.zeros(K, V, dtype=torch.float64)
        for i in reversed(range(start, min(start + C, T))):
            G = G + a[0, i, 0].double()[:, None] * b[0, i, 0].double()
            close(out["g"][0, i, 0], (G * (torch.tanh if function else torch.abs)(kept[i] + 0.5 * M[0, 0].double())).sum(0))
    close(out["L"][0, 0], G)
