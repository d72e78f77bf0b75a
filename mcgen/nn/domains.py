"""Unbounded numbers into an input's domain, and the starting values that give a long memory."""
from __future__ import annotations

import math

import torch
from torch.nn import functional as F

from ..spec.nodes import Domain

SHORTEST, LONGEST = 16.0, 2048.0      # tokens after which a decay has fallen to 1/e, over heads, at the start
STEP_SIZES = 1e-3, 1e-1               # a positive factor in a decay's exponent starts between these


def into(domain: Domain, x: torch.Tensor) -> torch.Tensor:
    """x mapped into the domain: l2norm, logsigmoid, softplus or a scaled sigmoid; `real` stays as it is."""
    if domain.kind == "unit":
        return x * torch.rsqrt(x.square().sum(-1, keepdim=True) + 1e-6)
    if domain.kind == "real":
        return x
    low, high = math.isfinite(domain.lo), math.isfinite(domain.hi)
    if low and high:
        return domain.lo + (domain.hi - domain.lo) * torch.sigmoid(x)
    if low:
        return domain.lo + F.softplus(x)
    return domain.hi + F.logsigmoid(x) if high else x


def raw_start(domain: Domain, shape: tuple[int, ...], retains: bool, stepped: bool) -> torch.Tensor:
    """What to start `into`'s argument from, [H, *shape] without noise.

    retains: the input scales the old state, as a decay or inside its exponent. Time constants are then spread evenly in
    logarithm over the last axis (over heads for a scalar). stepped: a positive step size multiplies it there.
    """
    zero = torch.zeros(shape)
    if domain.kind != "interval":
        return zero
    spread = torch.linspace(0.0, 1.0, shape[-1]).expand(shape) if shape and shape[-1] > 1 else torch.full(shape, 0.5)
    life = torch.exp(math.log(SHORTEST) + spread * math.log(LONGEST / SHORTEST))
    if (domain.lo, domain.hi) == (float("-inf"), 0.0):
        return torch.full(shape, -math.log(math.e - 1)) if stepped else life.log()      # exp(logsigmoid(log n)) = n / (n + 1)
    if not retains:
        return zero
    if (domain.lo, domain.hi) == (0.0, 1.0):
        return life.log()
    if (domain.lo, domain.hi) == (0.0, float("inf")):
        small, large = STEP_SIZES
        step = torch.exp(math.log(small) + spread * math.log(large / small))
        return torch.log(torch.expm1(step))
    return zero
