"""Loops along rows for a block of columns at a time: sums over rows and over columns, numbers handed from row to row, other widths."""
from __future__ import annotations

import pytest
import torch

from mcgen.runtime.tvm import blocks

from .helpers import close, counting, run, table_of

SIZES = [(3, 5), (8, 16), (5, 67), (2, 1), (19, 40), (16, 96)]


@pytest.fixture(autouse=True)
def counted(monkeypatch):
    """How many loops were lowered this way."""
    return counting(monkeypatch, blocks, "lower_blocks")


@pytest.mark.parametrize("function", [False, True])
@pytest.mark.parametrize("K, V", SIZES)
def test_a_token(K, V, function, counted, tmp_path, monkeypatch):
    """S += a b; p = S^T a; w = S b, kept and added to; n, the sum of all; t, from row to row; m, of the last row."""
    monkeypatch.setenv("MCGEN_CACHE", str(tmp_path))

    def fn(k):
        a, b = k.token("a", "K"), k.token("b", "V")
        y, w, u, n = (k.token(name, *axes, out=True) for name, axes in (("y", "V"), ("w", "K"), ("u", "K"), ("n", "")))
        M, t, m = k.memory("M", "K", "V", inout=True), k.memory("t", "V", out=True), k.memory("m", "V", out=True)
        f = k.exp if function else k.abs
        with k.sequences():
            S, p, q, w_, t_, m_ = k.tile("S", "K", "V"), k.tile("p", "V"), k.tile("q", "V"), k.tile("w_", "c", "K"), k.tile("t_", "V"), k.tile("m_", "V")
            a_, b_, y_, u_, n_ = k.tile("a_", "c", "K"), k.tile("b_", "c", "V"), k.tile("y_", "c", "V"), k.tile("u_", "c", "K"), k.tile("n_", "c")
            k.map(S["K", "V"], M["K", "V"])
            k.map(t_["V"], 0.5)
            k.map(m_["V"], 0.0)
            with k.rows():
                k.load(a_["c", "K"], a)
                k.load(b_["c", "V"], b)
                k.map(u_["c", "K"], 1.0)
                k.map(n_["c"], 2.0)
                with k.loop("c", 0, k.count):
                    k.map(p["V"], 0.0)
                    with k.loop("K", 0, k.sizes["K"], reverse=True):
                        k.map(S["K", "V"], a_["c", "K"] * b_["c", "V"], accumulate=True)
                        k.map(q["V"], f(-0.1 * k.abs(S["K", "V"])))
                        k.map(p["V"], a_["c", "K"] * q["V"], accumulate=True)
                        k.map(t_["V"], 0.9 * t_["V"] + S["K", "V"])
                        k.map(m_["V"], S["K", "V"] - q["V"])
                        k.sum(w_["c", "K"], S["K", "V"] * b_["c", "V"], over="V")
                        k.sum(u_["c", "K"], t_["V"], over="V", accumulate=True)
                        k.sum(n_["c"], q["V"], over="V", accumulate=True)
                    k.map(y_["c", "V"], p["V"])
                for out, tile, axis in ((y, y_, "V"), (w, w_, "K"), (u, u_, "K")):
                    k.store(out, tile["c", axis])
                k.store(n, n_["c"])
            k.map(M["K", "V"], S["K", "V"])
            k.map(t["V"], t_["V"])
            k.map(m["V"], m_["V"])
    torch.manual_seed(K)
    T, C = 7, 4
    a, b, M = torch.randn(1, T, 1, K), torch.randn(1, T, 1, V) / V ** 0.5, torch.randn(1, 1, K, V)
    out = run(fn, {"#chunk": C, "K": K, "V": V}, {"a": a, "b": b},
              {"y": torch.empty(1, T, 1, V), "w": torch.empty(1, T, 1, K), "u": torch.empty(1, T, 1, K), "n": torch.empty(1, T, 1), "M": M.clone(),
               "t": torch.empty(1, 1, V), "m": torch.empty(1, 1, V)}, table_of(1, T, C, C))
    assert any(counted)
    S, t = M[0, 0].double(), torch.full((V,), 0.5, dtype=torch.float64)
    for i in range(T):
        k, v = a[0, i, 0].double(), b[0, i, 0].double()
        S = S + k[:, None] * v
        q = (torch.exp if function else torch.abs)(-0.1 * S.abs())
        close(out["y"][0, i, 0], k @ q)
        close(out["w"][0, i, 0], S @ v)
        close(out["n"][0, i, 0], 2 + q.sum())
        for row in reversed(range(K)):
            t = 0.9 * t + S[row]
            close(out["u"][0, i, 0, row] / t.abs().sum(), (1 + t.sum()) / t.abs().sum())
    close(out["M"][0, 0], S)
    close(out["t"][0, 0], t)
    close(out["m"][0, 0], S[0] - q[0])


def test_columns_that_depend_on_each_other_are_left_alone(counted, tmp_path, monkeypatch):
    """A row that needs the sum over itself, a number that the next row reads."""
    monkeypatch.setenv("MCGEN_CACHE", str(tmp_path))

    def fn(k):
        S, x, y = k.memory("S", "K", "K~", inout=True), k.memory("x", "K", out=True), k.memory("y", "K", out=True)
        with k.sequences():
            M, s = k.tile("M", "K", "K~"), k.tile("s")
            k.map(M["K", "K~"], S["K", "K~"])
            with k.loop("K", 0, k.sizes["K"]):
                k.sum(s(), M["K", "K~"], over="K~")
                k.map(M["K", "K~"], M["K", "K~"] - s())
            k.map(s(), 1.0)
            with k.loop("K", 0, k.sizes["K"]):
                k.sum(x["K"], 0.1 * s() * M["K", "K~"], over="K~")
                k.sum(s(), 0.1 * M["K", "K~"], over="K~", accumulate=True)
            k.map(y["K"], s())
            k.map(S["K", "K~"], M["K", "K~"])
    torch.manual_seed(0)
    K = 9
    S = torch.randn(1, 1, K, K)
    out = run(fn, {"K": K}, {}, {"S": S.clone(), "x": torch.empty(1, 1, K), "y": torch.empty(1, 1, K)}, table_of(1, 1, 1, 1))
    assert counted and not any(counted)
    M, s = S[0, 0].double(), 1.0
    M = M - M.sum(1, keepdim=True)
    for row in range(K):
        close(out["x"][0, 0, row], 0.1 * s * M[row].sum())
        s = s + 0.1 * M[row].sum()
    close(out["S"][0, 0], M)
