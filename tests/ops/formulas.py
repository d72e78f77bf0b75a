"""The update rules of the library as their papers state them: plain loops over tokens, independent of specs and compiler.

A state is a tuple of tensors [B, H, ...], a token a namespace of tensors [B, H, ...] (an input of a head: [H, ...]).
Every rule of the library whose gradients, if any, are taken at the token is here.
"""
from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Callable, Sequence

import torch

State = tuple[torch.Tensor, ...]
MATRIX, KEYS, VALUES = ("K", "V"), ("K",), ("V",)


@dataclass(frozen=True)
class Formula:
    """states: their axes.  step(state, token, past): the state after the token; past(n) is the token n before or None.
    read(state, token): what a memory answers.  before: the online memory is read as it was before the token.
    output(y, token): after the memories are mixed.  key(token): what a cache sums up.
    """

    step: Callable[..., State]
    read: Callable[..., torch.Tensor]
    states: tuple[tuple[str, ...], ...] = (MATRIX,)
    before: bool = False
    output: Callable[..., torch.Tensor] = lambda y, x: y
    key: Callable[..., torch.Tensor] = lambda x: x.k


def run(formula: Formula, inputs: dict[str, torch.Tensor], per_head: Sequence[str], sizes: dict[str, int],
        segment: int | None = None) -> torch.Tensor:
    """y [B, T, H, V]. With a segment: the memory after every `segment` tokens is kept, a token reads those kept and the
    online one, and the answers are weighted by a softmax of u . (mean key of the memory's tokens)."""
    per_token = {n: x for n, x in inputs.items() if n not in per_head}
    batch, length, heads = next(iter(per_token.values())).shape[:3]

    def token(t: int) -> SimpleNamespace | None:
        return SimpleNamespace(**{n: x[:, t] if n in per_token else x for n, x in inputs.items()}) if t >= 0 else None

    state: State = tuple(torch.zeros(batch, heads, *(sizes[d] for d in axes), dtype=torch.float64) for axes in formula.states)
    kept: list[tuple[State, torch.Tensor]] = []
    keys: list[torch.Tensor] = []
    answers = []
    for t in range(length):
        x, earlier = token(t), state
        state = formula.step(state, x, lambda n, t=t: token(t - n))
        online = formula.read(earlier if formula.before else state, x)
        if segment is None:
            y = online
        else:
            keys.append(formula.key(x))
            means = [mean for _, mean in kept] + [sum(keys) / len(keys)]
            reads = [formula.read(memory, x) for memory, _ in kept] + [online]
            weights = torch.stack([(x.u * mean).sum(-1) for mean in means]).softmax(0)
            y = sum(w[..., None] * r for w, r in zip(weights, reads))
            if len(keys) == segment:
                kept.append((state, means[-1]))
                keys = []
        answers.append(formula.output(y, x))
    return torch.stack(answers, 1)


# -- shorthands: a scalar, row or column of numbers against a matrix [..., K, V] ---------------------------------------

def outer(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return a[..., :, None] * b[..., None, :]


def ask(S: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """S^T x."""
    return torch.einsum("...kv,...k->...v", S, x)


def by(a: torch.Tensor) -> torch.Tensor:
    """A scalar for a whole matrix."""
    return a[..., None, None]


def rows(a: torch.Tensor) -> torch.Tensor:
    return a[..., :, None]


def scaled(S: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    return ask(S, q) / q.shape[-1] ** 0.5


def plain_read(state: State, x: SimpleNamespace) -> torch.Tensor:
    return ask(state[0], x.q)


def scaled_read(state: State, x: SimpleNamespace) -> torch.Tensor:
    return scaled(state[0], x.q)


# -- the rules ---------------------------------------------------------------------------------------------------------

def elu1(x):
    return torch.nn.functional.elu(x) + 1


def normalised(state, x, past):
    S, z = state
    return S + outer(elu1(x.k), x.v), z + elu1(x.k)


def normalised_read(state, x):
    S, z = state
    return ask(S, elu1(x.q)) / (z * elu1(x.q)).sum(-1, keepdim=True)


def mlstm(state, x, past):
    C, n = state
    f, i, k = x.g.exp(), x.i.exp(), x.k / x.k.shape[-1] ** 0.5
    return by(f) * C + by(i) * outer(k, x.v), f[..., None] * n + i[..., None] * k


def mlstm_read(state, x):
    C, n = state
    return ask(C, x.q) / (n * x.q).sum(-1).abs().clamp(min=1)[..., None]


def swla(state, x, past):
    S = by(x.a) * state[0] + by(x.l) * outer(x.k, x.v)
    last = past(1)
    return (S if last is None else S + by(x.b) * outer(last.k, last.v),)


def erase(S, k, beta):
    """(I - beta k k^T) S."""
    return S - by(beta) * outer(k, ask(S, k))


def delta(S, k, v, beta):
    """(I - beta k k^T) S + beta k v^T."""
    return erase(S, k, beta) + by(beta) * outer(k, v)


def comba(state, x, past):
    S = by(x.g.exp()) * state[0]
    return (S + by(x.beta) * outer(x.k, x.v - ask(S, x.c[:, None] * x.k)),)


def gdn2(state, x, past):
    S = rows(x.g.exp()) * state[0]
    return (S - outer(x.k, ask(S, x.e * x.k)) + outer(x.k, x.w * x.v),)


def rwkv7(state, x, past):
    """In the paper's rows: S (diag(w) - kappa^T (a kappa)) + v^T k, with S the transposed of ours."""
    S = state[0].mT
    S = S * x.g.exp()[..., None, :] - (S @ rows(x.kappa)) * (x.a * x.kappa)[..., None, :] + rows(x.v) * x.k[..., None, :]
    return (S.mT,)


def two_steps(state, x, past):
    return (delta(delta(by(x.g.exp()) * state[0], x.k, x.v, x.beta), x.k2, x.v2, x.beta2),)


def slope(S, x):
    """The gradient of |S^T k - v|^2 / 2 by S."""
    return outer(x.k, ask(S, x.k) - x.v)


def omega(state, x, past):
    S = state[0]
    tokens = [x, *(p for p in map(past, range(1, 4)) if p is not None)]
    return (by(x.g.exp()) * S - sum(by(i.eta) * slope(S, i) for i in tokens),)


def momentum(state, x, past):
    S, Z = state
    Z = by(x.m) * Z - by(x.eta) * slope(S, x)
    return by(x.g.exp()) * S + Z, Z


def mesa(state, x, past):
    H, G = state
    a = by(x.g.exp())
    return a * H + outer(x.k, x.k), a * G + outer(x.k, x.v)


def mesa_read(state, x):
    H, G = state
    return ask(G, torch.linalg.solve(H + torch.diag_embed(x.l), x.q))


def longhorn(state, x, past):
    d = x.beta / (1 + x.beta * (x.k * x.k).sum(-1, keepdim=True))
    return ((1 - outer(x.k * x.k, d)) * state[0] + outer(x.k, d * x.v),)


def mamba1(state, x, past):
    return ((x.A * x.dt[..., None, :]).exp() * state[0] + outer(x.k, x.dt * x.v),)


FORMULAS: dict[str, Formula] = {
    "linear_attention": Formula(lambda s, x, past: (s[0] + outer(x.k, x.v),), scaled_read),
    "linear_attention_normalised": Formula(normalised, normalised_read, (MATRIX, KEYS)),
    "retnet": Formula(lambda s, x, past: (by(x.g.exp()) * s[0] + outer(x.k, x.v),), scaled_read),
    "simple_gla": Formula(lambda s, x, past: (by(x.g.exp()) * s[0] + outer(x.k, x.v),), scaled_read),
    "mamba2": Formula(lambda s, x, past: (by((x.A * x.dt).exp()) * s[0] + outer(x.k, x.dt[..., None] * x.v),), plain_read),
    "mlstm": Formula(mlstm, mlstm_read, (MATRIX, KEYS)),
    "swla": Formula(swla, scaled_read),
    "gla": Formula(lambda s, x, past: (rows(x.g.exp()) * s[0] + outer(x.k, x.v),), scaled_read),
    "hgrn2": Formula(lambda s, x, past: (rows(x.g.exp()) * s[0] + outer(1 - x.g.exp(), x.v),), plain_read, key=lambda x: 1 - x.g.exp()),
    "rwkv6": Formula(lambda s, x, past: (rows(x.g.exp()) * s[0] + outer(x.k, x.v),), plain_read, before=True,
                     output=lambda y, x: y + ask(outer(x.bonus * x.k, x.v), x.q)),
    "deltanet": Formula(lambda s, x, past: (delta(s[0], x.k, x.v, x.beta),), scaled_read),
    "gated_delta": Formula(lambda s, x, past: (delta(by(x.g.exp()) * s[0], x.k, x.v, x.beta),), scaled_read),
    "comba": Formula(comba, lambda s, x: scaled(s[0], x.q - x.d[:, None] * x.c[:, None] * x.k)),
    "kda": Formula(lambda s, x, past: (delta(rows(x.g.exp()) * s[0], x.k, x.v, x.beta),), scaled_read),
    "gdn2": Formula(gdn2, scaled_read),
    "rwkv7": Formula(rwkv7, plain_read),
    "delta_product": Formula(two_steps, scaled_read),
    "omega_linear": Formula(omega, plain_read),
    "titans_linear": Formula(momentum, plain_read, (MATRIX, MATRIX)),
    "mesa": Formula(mesa, mesa_read, (("K", "K"), MATRIX)),
    "longhorn": Formula(longhorn, plain_read),
    "mamba1": Formula(mamba1, plain_read),
}
