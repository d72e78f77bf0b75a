"""Products between tokens of a row with factors for each channel: rows and channels that fill no whole vectors, factors of 0 and below."""
import pytest
import torch

from .helpers import close, run, table_of


def kernel(k):
    q, x, f = k.token("q", "K"), k.token("x", "K"), k.token("f", "K")
    y = k.token("y", "c", out=True)
    with k.sequences():
        q_, x_, f_, P = k.tile("q_", "c", "K"), k.tile("x_", "c", "K"), k.tile("f_", "c", "K"), k.tile("P", "c", "d")
        with k.rows():
            k.load(q_["c", "K"], q)
            k.load(x_["c", "K"], x)
            k.load(f_["c", "K"], f)
            k.pair(P["c", "d"], q_["c", "K"], x_["d", "K"], f_["c", "K"])
            k.store(y["c", "d"], P["c", "d"])


@pytest.mark.parametrize("tokens, channels", [(5, 3), (16, 8), (23, 13), (32, 40), (50, 70)])
def test_pair(tokens, channels):
    torch.manual_seed(0)
    q, x, f = (torch.randn(1, 2 * tokens, 2, channels) for _ in range(3))
    f[:, ::7, :, ::2] = 0.0
    f[:, 1] = 3e-30
    got = run(kernel, {"K": channels, "#chunk": tokens}, {"q": q, "x": x, "f": f}, {"y": torch.zeros(1, 2 * tokens, 2, tokens)},
              table_of(1, 2 * tokens, tokens, 1000))["y"]
    for row in range(2):
        now = slice(row * tokens, (row + 1) * tokens)
        q_, x_, f_ = (v[0, now].double().transpose(0, 1) for v in (q, x, f))
        wanted = torch.zeros(2, tokens, tokens, dtype=torch.float64)
        for d in range(tokens):
            left = x_[:, d]
            for c in range(d + 1, tokens):
                wanted[:, c, d] = (q_[:, c] * left).sum(-1)
                left = left * f_[:, c]
        close(got[0, now].transpose(0, 1), wanted, 1e-6)
