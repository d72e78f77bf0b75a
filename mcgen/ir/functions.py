"""The elementwise functions: one table that holds value (float64 torch), arity, derivative and result type.

A derivative is written with a Builder `b`, the arguments, the result y and its cotangent g: one entry per argument,
None where it is zero. Conventions of the spec language: abs and sign have derivative 0 at 0, and the branch of a
`where` that is not taken adds nothing to a gradient.
"""
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Callable

import torch
import torch.nn.functional as F

Grad = Callable[[Any, tuple, Any, Any], tuple]


@dataclass(frozen=True)
class Function:
    """arity, value on torch tensors, derivative, result dtype; `linear`: derivative does not depend on the arguments."""

    arity: int
    value: Callable[..., torch.Tensor]
    grad: Grad | None = None
    dtype: str = "f"
    cheap: bool = True             # recomputing costs about what loading would


FLOOR = 1e-30         # a raw decay below this counts as this in logarithms
_INV_SQRT_2PI = 1.0 / math.sqrt(2.0 * math.pi)
_INV_SQRT_2 = 1.0 / math.sqrt(2.0)


def _gelu_slope(b, x):
    density = b.map("mul", b.map("exp", b.map("mul", b.map("mul", x, x), b.const(-0.5))), b.const(_INV_SQRT_2PI))
    below = b.map("mul", b.map("add", b.map("erf", b.map("mul", x, b.const(_INV_SQRT_2))), b.const(1.0)), b.const(0.5))
    return b.map("add", below, b.map("mul", x, density))


def _silu_slope(b, x):
    s = b.map("sigmoid", x)
    rest = b.map("mul", x, b.map("sub", b.const(1.0), s))
    return b.map("mul", s, b.map("add", b.const(1.0), rest))


def _tensor(x):
    return x if isinstance(x, torch.Tensor) else torch.as_tensor(x, dtype=torch.float64)


TABLE: dict[str, Function] = {
    "add": Function(2, lambda x, y: x + y, lambda b, a, y, g: (g, g)),
    "sub": Function(2, lambda x, y: x - y, lambda b, a, y, g: (g, b.map("neg", g))),
    "mul": Function(2, lambda x, y: x * y, lambda b, a, y, g: (b.map("mul", g, a[1]), b.map("mul", g, a[0]))),
    "div": Function(2, lambda x, y: x / y, lambda b, a, y, g: (
        b.map("div", g, a[1]), b.map("neg", b.map("div", b.map("mul", g, y), a[1]))), cheap=False),
    "neg": Function(1, lambda x: -x, lambda b, a, y, g: (b.map("neg", g),)),
    "pow": Function(2, lambda x, e: _tensor(x) ** e, lambda b, a, y, g: (
        b.map("mul", g, b.map("mul", a[1], b.map("pow", a[0], b.map("sub", a[1], b.const(1.0))))), None), cheap=False),
    "exp": Function(1, lambda x: torch.exp(x), lambda b, a, y, g: (b.map("mul", g, y),), cheap=False),
    "log": Function(1, lambda x: torch.log(x), lambda b, a, y, g: (b.map("div", g, a[0]),), cheap=False),
    "sqrt": Function(1, lambda x: torch.sqrt(x), lambda b, a, y, g: (
        b.map("div", b.map("mul", g, b.const(0.5)), y),), cheap=False),
    "erf": Function(1, lambda x: torch.erf(x), lambda b, a, y, g: (b.map("mul", g, b.map(
        "mul", b.map("exp", b.map("neg", b.map("mul", a[0], a[0]))), b.const(2.0 / math.sqrt(math.pi)))),), cheap=False),
    "abs": Function(1, lambda x: torch.abs(x), lambda b, a, y, g: (b.map("mul", g, b.map("sign", a[0])),)),
    "sign": Function(1, lambda x: torch.sign(x), lambda b, a, y, g: (None,)),
    "sigmoid": Function(1, lambda x: torch.sigmoid(x), lambda b, a, y, g: (
        b.map("mul", g, b.map("mul", y, b.map("sub", b.const(1.0), y))),), cheap=False),
    "logsigmoid": Function(1, lambda x: F.logsigmoid(x), lambda b, a, y, g: (
        b.map("mul", g, b.map("sigmoid", b.map("neg", a[0]))),), cheap=False),
    "softplus": Function(1, lambda x: F.softplus(x, threshold=1e9), lambda b, a, y, g: (
        b.map("mul", g, b.map("sigmoid", a[0])),), cheap=False),
    "tanh": Function(1, lambda x: torch.tanh(x), lambda b, a, y, g: (
        b.map("mul", g, b.map("sub", b.const(1.0), b.map("mul", y, y))),), cheap=False),
    "relu": Function(1, lambda x: torch.relu(x), lambda b, a, y, g: (
        b.map("where", b.map("gt", a[0], b.const(0.0)), g, b.const(0.0)),)),
    "silu": Function(1, lambda x: F.silu(x), lambda b, a, y, g: (b.map("mul", g, _silu_slope(b, a[0])),), cheap=False),
    "gelu": Function(1, lambda x: F.gelu(x), lambda b, a, y, g: (b.map("mul", g, _gelu_slope(b, a[0])),), cheap=False),
    # ties: half to each side, as torch and the reference do
    "minimum": Function(2, lambda x, y: torch.minimum(_tensor(x), _tensor(y)), lambda b, a, y, g: _pick(b, a, g, "lt")),
    "maximum": Function(2, lambda x, y: torch.maximum(_tensor(x), _tensor(y)), lambda b, a, y, g: _pick(b, a, g, "gt")),
    "where": Function(3, lambda m, x, y: torch.where(m, _tensor(x), _tensor(y)), lambda b, a, y, g: (
        None, b.map("where", a[0], g, b.const(0.0)), b.map("where", a[0], b.const(0.0), g))),
    # the `where` of the spec language: what makes a branch is kept out of gradients where it is not taken (branches.py);
    # `where` to every pass after differentiation
    "choose": Function(3, lambda m, x, y: torch.where(m, _tensor(x), _tensor(y)), lambda b, a, y, g: (
        None, b.map("where", a[0], g, b.const(0.0)), b.map("where", a[0], b.const(0.0), g))),
    "lt": Function(2, lambda x, y: x < y, None, "b"), "le": Function(2, lambda x, y: x <= y, None, "b"),
    "gt": Function(2, lambda x, y: x > y, None, "b"), "ge": Function(2, lambda x, y: x >= y, None, "b"),
    "eq": Function(2, lambda x, y: x == y, None, "b"), "ne": Function(2, lambda x, y: x != y, None, "b"),
    "and": Function(2, lambda x, y: x & y, None, "b"), "or": Function(2, lambda x, y: x | y, None, "b"),
    # of a whole number i: its digit of 2^n; whether i + 1 carries into that digit; how many of the digits below it are 1; the number that these make; 2^n
    "digit": Function(2, lambda i, n: (i >> n) & 1 == 1, None, "b"),
    "carries": Function(2, lambda i, n: (i + 1) % (1 << n) == 0, None, "b"),
    "ones": Function(2, lambda i, n: _ones(i, n), None, "i"),
    "below": Function(2, lambda i, n: i % (1 << n), None, "i"),
    "two_to": Function(1, lambda n: 1 << n, None, "i"),
    # log of the size of a decay that may be 0: floored, with the gradient divided by the same floored value, so that the
    # gradient at 0 is that of the product that the decay stands in
    "logfloor": Function(1, lambda x: torch.log(x.abs().clamp(min=FLOOR)), lambda b, a, y, g: (
        b.map("div", g, b.where(b.map("lt", a[0], b.zero()), b.map("minimum", a[0], b.const(-FLOOR)),
                                b.map("maximum", a[0], b.const(FLOOR)))),), cheap=False),
    # the sign of a product of so many negative factors
    "parity": Function(1, lambda x: 1 - 2 * torch.remainder(x, 2), lambda b, a, y, g: (None,)),
    "float": Function(1, lambda x: x.double(), lambda b, a, y, g: (None,)),
    # the value as a constant: its derivative is zero by definition (the shift of a softmax)
    "stop": Function(1, lambda x: x.detach(), lambda b, a, y, g: (None,)),
}


def _ones(i, n):
    below = i & ((1 << n) - 1)
    return sum((below >> j) & 1 for j in range(32))


def _pick(b, args, g, better):
    x, y = args
    half = b.map("mul", g, b.const(0.5))
    tie = b.map("eq", x, y)
    first = b.map("where", tie, half, b.map("where", b.map(better, x, y), g, b.const(0.0)))
    second = b.map("where", tie, half, b.map("where", b.map(better, x, y), b.const(0.0), g))
    return first, second
