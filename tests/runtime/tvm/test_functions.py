"""Elementwise functions over their whole range against float64: relative error, and the ends."""
import math

import pytest
import torch

from .helpers import run, table_of

SWEEP = torch.cat([torch.linspace(-87.2, 87.2, 20001), torch.linspace(-2, 2, 20001), torch.logspace(-37, 38, 2000), -torch.logspace(-30, 30, 2000)])
ENDS = torch.tensor([0.0, -0.0, math.inf, -math.inf, math.nan, 88.7, 88.8, -87.35, -200.0, 1e-40])
EXACT = {
    "rsqrt": torch.rsqrt, "logsigmoid": torch.nn.functional.logsigmoid, "silu": torch.nn.functional.silu, "erf": torch.erf,
    "softplus": lambda x: x.clamp(min=0) + torch.log1p(torch.exp(-x.abs())), "gelu": lambda x: x * 0.5 * torch.special.erfc(-x / 2 ** 0.5),
}
BOUND = {"gelu": 2e-6, "silu": 4e-7, "tanh": 3e-7, "erf": 3e-7, "sigmoid": 3e-7, "logsigmoid": 3e-7, "softplus": 3e-7, "rsqrt": 2e-7}


def apply(name, x, dtype="f32", **options):
    def fn(k):
        a, b = k.memory("x", "K", dtype=dtype), k.memory("y", "K", out=True, dtype=dtype)
        with k.sequences():
            k.map(b["K"], getattr(k, name)(a["K"]))
    return run(fn, {"K": x.numel()}, {"x": x[None, None]}, {"y": torch.zeros_like(x)[None, None]}, **options)["y"][0, 0]


NAMES = ["exp", "log", "sqrt", "rsqrt", "abs", "sign", "sigmoid", "logsigmoid", "softplus", "tanh", "relu", "silu", "gelu", "erf"]


@pytest.mark.parametrize("lanes", [8, 16])
@pytest.mark.parametrize("name", NAMES)
def test_accuracy(name, lanes):
    got, exact = apply(name, SWEEP, lanes=lanes).double(), (EXACT.get(name) or getattr(torch, name))(SWEEP.double())
    normal = exact.isfinite() & (exact.abs() > 1.3e-38) & (exact.abs() < 3.4e38) & (SWEEP.abs() < (87.2 if name != "log" else math.inf))
    error = ((got - exact).abs() / exact.abs())[normal]
    assert not error.isnan().any() and error.max() <= BOUND.get(name, 2e-7), (name, error.max())
    double = apply(name, SWEEP[::50].double(), "f64")
    close = torch.isclose(double, (EXACT.get(name) or getattr(torch, name))(SWEEP[::50].double()), rtol=1e-12, atol=1e-300, equal_nan=True)
    assert close.all()


@pytest.mark.parametrize("lanes", [8, 16])
@pytest.mark.parametrize("name", ["exp", "log", "sqrt", "tanh", "sigmoid", "softplus", "relu", "erf"])
def test_ends(name, lanes):
    """In whole vectors and in what is left beside them."""
    ends = ENDS.repeat(lanes + 1)
    got, exact = apply(name, ends, lanes=lanes), (EXACT.get(name) or getattr(torch, name))(ends)
    if name == "exp":
        for part in got.split(len(ENDS)):
            assert part[3] == 0 and part[7] == 0 and part[8] == 0 and part[6] == math.inf
    assert torch.isclose(got, exact, rtol=5e-7, atol=2e-38, equal_nan=True).all(), (got, exact)


@pytest.mark.parametrize("columns", [16, 32, 33])
def test_of_an_outer_loop(columns):
    """Computed where the loop stands that it depends on, before the loops inside."""
    def fn(k):
        a, b, y = k.memory("a", "K"), k.memory("b", "V"), k.memory("y", "K", "V", out=True)
        with k.sequences():
            S = k.tile("S", "K", "V")
            k.map(S["K", "V"], 0.0)
            with k.rows(), k.loop("V", 0, k.sizes["V"]), k.loop("c", 0, k.count), k.loop("K", 0, k.sizes["K"]):
                k.map(S["K", "V"], a["K"] * (k.exp(b["V"]) + k.pow(b["V"], 0.3)), accumulate=True)
            k.map(y["K", "V"], S["K", "V"])
    torch.manual_seed(0)
    a, b = torch.randn(8), torch.rand(columns)
    given = {"a": a[None, None], "b": b[None, None]}
    y = run(fn, {"K": 8, "V": columns, "#chunk": 4}, given, {"y": torch.zeros(1, 1, 8, columns)}, table_of(1, 4, 4, 4))["y"][0, 0]
    assert torch.allclose(y, 4 * a[:, None] * (b.exp() + b ** 0.3), rtol=1e-6)


def test_arithmetic():
    """where, comparisons, minimum and maximum with NaN, powers, casts, integers."""
    def fn(k):
        a, b = k.memory("a", "K"), k.memory("b", "K")
        out = [k.memory(f"y{i}", "K", out=True) for i in range(8)]
        with k.sequences():
            x, y = a["K"], b["K"]
            k.map(out[0]["K"], k.where((x > 0) & (y <= 1) | (x == y), x / y, -x))
            k.map(out[1]["K"], k.minimum(x, y))
            k.map(out[2]["K"], k.maximum(x, 0.5))
            k.map(out[3]["K"], k.pow(k.abs(x), 1.7))
            k.map(out[4]["K"], k.pow(x, 3) + k.pow(x, -2))
            k.map(out[5]["K"], k.f32(k.f64(x) * k.f64(y) + 1.0) + k.iota("K"))
            k.map(out[6]["K"], k.f32(k.iota("K") * 3 % 7 // 2))
            k.map(out[7]["K"], x != x)
    torch.manual_seed(0)
    a, b = torch.randn(1, 1, 29), torch.randn(1, 1, 29)
    a[..., 3] = b[..., 5] = math.nan
    out = run(fn, {"K": 29}, {"a": a, "b": b}, {f"y{i}": torch.zeros(1, 1, 29) for i in range(8)})
    i = torch.arange(29)
    wanted = [torch.where((a > 0) & (b <= 1) | (a == b), a / b, -a), torch.minimum(a, b), torch.clamp(a, min=0.5), a.abs() ** 1.7, a ** 3 + a ** -2.0,
              (a.double() * b.double() + 1).float() + i, ((i * 3 % 7) // 2).float().expand(1, 1, 29), a.isnan().float()]
    for number, exact in enumerate(wanted):
        assert torch.isclose(out[f"y{number}"], exact, rtol=1e-6, equal_nan=True).all(), number
