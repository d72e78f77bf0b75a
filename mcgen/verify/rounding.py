"""Rounding that any algorithm may have, put into a run of the reference in float32: a run token by token alone is luckier than that.

A state that a rule erases is, written by chunks, the difference of what it was and of what was taken from it: its error is a
roundoff of the largest value that it had, not of what is left; so is the error of its cotangent, going back. Nor is it a roundoff
of what is left of the terms that an update adds up, but of them. The derivative of a softmax, w (dw - sum(w dw)), is a difference
of products dy . x of every memory's answer x: where one memory has all the weight nothing is left of it but a roundoff of those.
What a norm makes of equal numbers is exactly 0 only where their mean is exact. And of equal scores any is the largest.
"""
from __future__ import annotations

import math
from typing import Any, Sequence

import torch


class Rounding:
    """The roundings of one run: normal numbers from a seed, in units of `unit`, times the size of what is rounded."""

    def __init__(self, seed: int, unit: float):
        self.unit, self.generator = unit, torch.Generator().manual_seed(seed)
        self.largest: dict[tuple[str, bool], torch.Tensor] = {}         # state, whether its cotangent -> the largest so far [B, H, 1, ..]
        self.softmaxes: list[tuple[torch.Tensor, torch.Tensor]] = []    # scores and weights [B, H, M] of the token at hand

    def noise(self, size: torch.Tensor) -> torch.Tensor:
        return self.unit * size * torch.randn(size.shape, generator=self.generator, dtype=size.dtype)

    def state(self, name: str, x: torch.Tensor, terms: Sequence[torch.Tensor] = ()) -> torch.Tensor:
        """A state's value after a token, [B, H, R, *shape], and the terms that it is the sum of, of the same shape."""
        return _State.apply(x, self, name, [t.detach() for t in terms])

    def of_state(self, key: tuple[str, bool], x: torch.Tensor, terms: Sequence[torch.Tensor] = ()) -> torch.Tensor:
        for part in (x, *terms):
            size = part.abs().nan_to_num(0.0, 0.0, 0.0).amax(tuple(range(2, x.dim())), keepdim=True)
            self.largest[key] = torch.maximum(self.largest.get(key, size), size)
        return x + self.noise(self.largest[key].expand_as(x))

    def rounded(self, x: torch.Tensor) -> torch.Tensor:
        """A value whose entries, and its cotangent's, are off by a roundoff each."""
        return _Rounded.apply(x, self)

    def mixed(self, out: torch.Tensor, parts: torch.Tensor) -> torch.Tensor:
        """What the parts [B, H, M, *shape] mix to, [B, H, 1, *shape]: the derivatives by the scores have the roundings of their terms."""
        for score, weight in self.softmaxes:
            weight = weight[(...,) + (None,) * (parts.dim() - 3)]
            with torch.no_grad():
                terms = self.noise(weight * parts) + weight * self.noise(out)
            out = _Scored.apply(out, score, terms)
        return out


class _State(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, rounding: Rounding, name: str, terms: Sequence[torch.Tensor]) -> torch.Tensor:
        ctx.rounding, ctx.name = rounding, name
        return rounding.of_state((name, False), x, terms)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        return ctx.rounding.of_state((ctx.name, True), grad), None, None, None


class _Rounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, rounding: Rounding) -> torch.Tensor:
        ctx.rounding = rounding
        return x + rounding.noise(x.abs().nan_to_num(0.0, 0.0, 0.0))

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        return grad + ctx.rounding.noise(grad.detach().abs().nan_to_num(0.0, 0.0, 0.0)), None


class _Scored(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, out: torch.Tensor, score: torch.Tensor, terms: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(terms)
        ctx.scores = score.shape
        return out.view_as(out)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        (terms,) = ctx.saved_tensors
        each = (grad * terms).nan_to_num(0.0, 0.0, 0.0)
        return grad, each.reshape(*each.shape[:3], math.prod(each.shape[3:])).sum(-1).sum_to_size(ctx.scores), None
