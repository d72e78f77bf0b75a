"""From x [B, T, d_model] to an op's inputs, each in its domain; per-head inputs and learned starts as parameters."""
from __future__ import annotations

import math
from typing import Mapping

import torch
from torch import nn

from ..diagnostics import UsageError, did_you_mean
from ..spec.nodes import Input
from .domains import into, raw_start
from .signature import Signature

GATE_SCALE = 0.25      # projections into intervals start small beside their bias: a gate is nearly constant at first


class Projections(nn.Module):
    """One matrix for all token inputs; a bias where the domain is an interval."""

    def __init__(self, signature: Signature, d_model: int, heads: int, input_heads: Mapping[str, int], optional: tuple[str, ...]):
        super().__init__()
        self.signature = signature
        for name in (*input_heads, *optional):
            if name not in signature.inputs:
                raise UsageError(f"{name!r} is not an input of {signature.spec.name}{did_you_mean(name, signature.inputs)}")
        used = {n: i for n, i in signature.inputs.items() if i.default is None or n in optional}
        self.token = {n: i for n, i in used.items() if i.per == "token"}
        self.head = {n: i for n, i in used.items() if i.per == "head"}
        self.heads = {n: input_heads.get(n, heads) for n in used}
        for name, count in self.heads.items():
            if count < 1 or heads % count:
                raise UsageError(f"input_heads: {count} heads of {name!r} don't divide {heads}")
        self.sizes = [self.heads[n] * math.prod(signature.shape(i.shape)) for n, i in self.token.items()]
        self.weight = nn.Parameter(torch.cat([self._weight(i, s, d_model) for i, s in zip(self.token.values(), self.sizes)]))
        stepped = any(i.domain.lo == 0 and i.domain.hi == math.inf for n, i in self.token.items() if n in signature.retained)
        self.raw = nn.ParameterDict()          # by `of_<name>`: a module has attributes such as `type` already
        for name, item in used.items():
            if item.domain.kind == "interval" or item.per == "head":
                shape = (self.heads[name], *signature.shape(item.shape))
                start = raw_start(item.domain, shape, name in signature.retained, stepped and item.per == "head")
                if item.per == "head" and item.domain.kind != "interval":
                    start = torch.randn(shape) * (shape[-1] ** -0.5 if item.shape else 0.02)
                self.raw[f"of_{name}"] = nn.Parameter(start)
        for name, state in signature.learned.items():
            shape = (heads, *signature.shape(state.shape))
            start = torch.randn(shape) * shape[-1] ** -0.5 if state.domain.kind != "interval" else torch.zeros(shape)
            self.raw[f"of_{name}_init"] = nn.Parameter(start)

    @staticmethod
    def _weight(item: Input, rows: int, d_model: int) -> torch.Tensor:
        scale = GATE_SCALE if item.domain.kind == "interval" else 1.0
        return torch.randn(rows, d_model) * scale * d_model ** -0.5

    @property
    def convolved(self) -> list[int]:
        """Channels of the vectors and matrices among the inputs, which a short convolution may mix over tokens."""
        out: list[int] = []
        at = 0
        for (_, item), size in zip(self.token.items(), self.sizes):
            if item.shape and item.domain.kind in ("real", "unit"):
                out += range(at, at + size)
            at += size
        return out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, T, channels], before domains."""
        return nn.functional.linear(x, self.weight)

    def split(self, channels: torch.Tensor) -> dict[str, torch.Tensor]:
        """The op's keyword arguments from [B, T, channels]."""
        out: dict[str, torch.Tensor] = {}
        for (name, item), part in zip(self.token.items(), channels.split(self.sizes, -1)):
            part = part.unflatten(-1, (self.heads[name], *self.signature.shape(item.shape)))
            out[name] = into(item.domain, part + self.raw[f"of_{name}"] if f"of_{name}" in self.raw else part)
        for name, item in self.head.items():
            out[name] = into(item.domain, self.raw[f"of_{name}"])
        for name, state in self.signature.learned.items():
            out[f"{name}_init"] = into(state.domain, self.raw[f"of_{name}_init"])
        return out
