"""Inputs for the oracle's tests, and plain loops over one row and one head."""
from __future__ import annotations

import torch

from mcgen.verify.world import all_inputs

SIZES = {"K": 3, "V": 5, "L": 6}


def draw(spec, B=2, T=23, H=2, seed=0, **sizes):
    """Every input and learned init by name, float64, with gradients."""
    g = torch.Generator().manual_seed(seed)
    sizes = {**SIZES, **sizes}
    sizes["D"] = 2 * sizes["K"]
    out = {}
    for name, i in all_inputs(spec).items():
        lead = (B, T, H) if i.per == "token" else (H,)
        x = torch.randn(*lead, *[sizes.get(d, d) for d in i.shape], generator=g, dtype=torch.float64)
        if i.domain.kind == "unit":
            x = torch.nn.functional.normalize(x, dim=-1)
        if i.domain.kind == "interval":
            x = -x.abs() if i.domain.hi == 0 else torch.sigmoid(x) * min(i.domain.hi, 1)
        out[name] = x.requires_grad_()
    for name, s in spec.rule.state.items():
        if s.init == "learned":
            x = 0.3 * torch.randn(H, *[sizes.get(d, d) for d in s.shape], generator=g, dtype=torch.float64)
            out[f"{name}_init"] = x.requires_grad_()
    return out


def each_lane(plain, x):
    """plain(lane) -> [T, V] for every row and head; lane has per-token tensors [T, *shape], per-head ones [*shape]."""
    some = next(iter(x.values()))
    B, T, H = some.shape[:3]

    def lane(b, h):
        return {n: t[b, :, h] if t.shape[:3] == (B, T, H) else t[h] for n, t in x.items()}

    return torch.stack([torch.stack([plain(lane(b, h)) for h in range(H)], 1) for b in range(B)])


def same(ref, plain, x, rtol=1e-10, atol=1e-11):
    """The reference and the plain loop agree, forward and in every gradient."""
    got, want = ref(**x), each_lane(plain, x)
    torch.testing.assert_close(got, want, rtol=rtol, atol=atol)
    g = torch.randn(want.shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    for a, b in zip(*(torch.autograd.grad((y * g).sum(), list(x.values()), allow_unused=True, materialize_grads=True)
                      for y in (got, want))):
        torch.testing.assert_close(a, b, rtol=rtol, atol=atol)
