"""Each kind of statement but products, against torch."""
import pytest
import torch

from .helpers import NO_ROWS, close, run, table_of


@pytest.mark.parametrize("K, V", [(1, 1), (3, 5), (8, 16), (17, 33)])
def test_map_sum_max_cumsum(K, V):
    def fn(k):
        x, z = k.memory("x", "K", "V"), k.memory("z", "V")
        names = {"t": "VK", "rows": "K", "cols": "V", "all": "", "top": "K", "cum": "KV", "rev": "KV", "along": "KV"}
        o = {name: k.memory(name, *axes, inout=True) for name, axes in names.items()}
        with k.sequences():
            k.map(o["t"]["V", "K"], x["K", "V"] * z["V"], accumulate=True)
            k.sum(o["rows"]["K"], x["K", "V"] * z["V"], over="V", accumulate=True)
            k.sum(o["cols"]["V"], x["K", "V"], over="K")
            k.sum(o["all"](), x["K", "V"], over=("K", "V"))
            k.max(o["top"]["K"], x["K", "V"] + z["V"], over="V")
            k.cumsum(o["cum"]["K", "V"], x["K", "V"], axis="K")
            k.cumsum(o["rev"]["K", "V"], x["K", "V"], axis="K", reverse=True, exclusive=True)
            k.cumsum(o["along"]["K", "V"], x["K", "V"], axis="V", exclusive=True)
    torch.manual_seed(K)
    x, z = torch.randn(2, 3, K, V), torch.randn(2, 3, V)
    shapes = {"t": (V, K), "rows": (K,), "cols": (V,), "all": (), "top": (K,), "cum": (K, V), "rev": (K, V), "along": (K, V)}
    out = run(fn, {"K": K, "V": V}, {"x": x, "z": z}, {n: torch.ones(2, 3, *s) for n, s in shapes.items()}, NO_ROWS.expand(2, 0, 4))
    X, Z = x.double(), z.double()[:, :, None]
    close(out["t"], 1 + (X * Z).transpose(-1, -2))
    close(out["rows"], 1 + (X * Z).sum(-1))
    close(out["cols"], X.sum(-2))
    close(out["all"], X.sum((-1, -2)))
    close(out["top"], (X + Z).amax(-1))
    close(out["cum"], X.cumsum(-2))
    close(out["rev"], X.flip(-2).cumsum(-2).flip(-2) - X)
    close(out["along"], X.cumsum(-1) - X)


@pytest.mark.parametrize("C, T, segment, shift", [(4, 11, 6, 0), (4, 11, 6, 1), (8, 3, 16, 2), (1, 5, 2, 1), (16, 40, 16, -1)])
def test_tokens(C, T, segment, shift):
    """Loads clamp to real tokens or fill; stores touch existing tokens of the row only; both move by a shift."""
    def fn(k):
        x, g = k.token("x", "K"), k.token("g")
        seen, filled, gates, y = k.starts("seen", "c", "K", out=True), k.starts("filled", "c", "K", out=True), k.starts("gates", "c", out=True), \
            k.token("y", "K", inout=True)
        with k.sequences():
            a, b, c = k.tile("a", "c", "K"), k.tile("b", "c", "K"), k.tile("g_", "c")
            with k.rows(reverse=True):
                k.load(a["c", "K"], x, shift=shift)
                k.load(b["c", "K"], x, shift=shift, fill=7.0)
                k.load(c["c"], g, shift=shift, fill=0.0)
                k.map(seen["c", "K"], a["c", "K"])
                k.map(filled["c", "K"], b["c", "K"])
                k.map(gates["c"], c["c"])
                k.store(y, a["c", "K"] * 2.0, shift=shift, accumulate=True)
    B, H, K = 2, 2, 5
    table = torch.cat([table_of(B, T, C, segment), torch.zeros(B, 2, 4, dtype=torch.int32)], 1)
    R = table.shape[1]
    x, g = torch.randn(B, T, H, K), torch.randn(B, T, H)
    out = run(fn, {"#chunk": C, "K": K}, {"x": x, "g": g}, {"seen": torch.zeros(B, H, R, C, K), "filled": torch.zeros(B, H, R, C, K),
                                                      "gates": torch.zeros(B, H, R, C), "y": torch.zeros(B, T, H, K)}, table)
    y = torch.zeros_like(x)
    for r, (start, count, _, _) in enumerate(table[0].tolist()):
        for c in range(C if count else 0):
            t = start + min(c, count - 1) - shift
            real = min(max(t, 0), T - 1)
            assert torch.equal(out["seen"][:, :, r, c], x[:, real])
            inside = c < count and 0 <= t < T
            assert torch.equal(out["filled"][:, :, r, c], x[:, t] if inside else torch.full((B, H, K), 7.0))
            assert torch.equal(out["gates"][:, :, r, c], g[:, t] if inside else torch.zeros(B, H))
            if inside:
                y[:, t] += 2 * x[:, real]
    assert torch.equal(out["y"], y)


@pytest.mark.parametrize("N, limit, top", [(5, 5, 2), (9, 6, 3), (17, 0, 2), (12, 12, 1), (0, 0, 1), (3, 3, 8)])
def test_slots(N, limit, top):
    """Dynamic axes with bounds, loops over slots, conditions, the largest scores with ties."""
    def fn(k):
        s, M, p = k.memory("s", "c", "n_"), k.slots("M", "K"), k.position()
        y, sel, w = k.memory("y", "c", out=True), k.memory("sel", "c", "n_", inout=True), k.memory("w", "c", "n_", inout=True)
        total, even = k.memory("total", "K", inout=True), k.slots("even", "K", inout=True)
        with k.sequences():
            s_, w_, t = k.tile("s_", "c", "n"), k.tile("w_", "c", "n"), k.tile("t", "c", "n")
            k.map(s_["c", "n"], s["c", "n"])
            k.map(w_["c", "n"], -1.0)
            k.map(w_["c", "n"], k.exp(s_["c", "n"]), upto={"n": p})
            k.sum(y["c"], w_["c", "n"], over="n", upto={"n": p})
            k.topk(t["c", "n"], s_["c", "n"], top=top, limit=p)
            k.map(sel["c", "n"], t["c", "n"])
            k.map(w["c", "n"], w_["c", "n"])
            with k.loop("n", 0, p):
                k.map(total["K"], M.at("n")["K"] * k.f32(p - k.index("n")), accumulate=True)
                with k.when(k.index("n") % 2 == 0):
                    k.map(even.at("n")["K"], M.at("n")["K"])
    torch.manual_seed(N)
    C, K = 6, 5
    s, M = torch.randint(0, 4, (1, 1, C, N)).float(), torch.randn(1, 1, N, K)
    out = run(fn, {"#chunk": C, "K": K, "n_": N}, {"s": s, "M": M, "call.position": torch.tensor([limit])},
              {"y": torch.ones(1, 1, C), "sel": torch.ones(1, 1, C, N), "w": torch.ones(1, 1, C, N), "total": torch.zeros(1, 1, K),
               "even": torch.zeros(1, 1, N, K)})
    weights = s.exp()
    weights[..., limit:] = -1
    close(out["w"], weights)
    close(out["y"], weights[..., :limit].sum(-1))
    order = torch.sort(s[..., :limit], dim=-1, descending=True, stable=True).indices[..., :top]
    close(out["sel"], torch.zeros(1, 1, C, N).scatter_(-1, order, 1.0))
    close(out["total"], (M[:, :, :limit] * (limit - torch.arange(limit))[:, None]).sum(2))
    wanted = torch.zeros_like(M)
    wanted[:, :, 0:limit:2] = M[:, :, 0:limit:2]
    assert torch.equal(out["even"], wanted)


def test_threads_change_nothing():
    """Bit for bit the same on one thread and on many."""
    from . import kernels
    from mcgen.runtime.tvm import compile
    kernel = compile(kernels.decay_forward, {"K": 16, "V": 16, "#chunk": 16})
    torch.manual_seed(0)
    B, T, H = 3, 50, 2
    x = {n: torch.randn(B, T, H, 16) for n in "qkv"} | {"g": -torch.rand(B, T, H), "S0": torch.randn(B, H, 16, 16)}
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 5, 1):
            torch.set_num_threads(threads)
            y, SN = torch.zeros(B, T, H, 16), torch.zeros(B, H, 16, 16)
            kernel(table_of(B, T, 16, 16), **x, y=y, SN=SN)
            results.append((y, SN))
    finally:
        torch.set_num_threads(before)
    for y, SN in results[1:]:
        assert torch.equal(y, results[0][0]) and torch.equal(SN, results[0][1])
