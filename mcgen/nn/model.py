"""A small causal language model: embedding, (RMSNorm, memory layer, RMSNorm, gated MLP) x n, RMSNorm, tied head."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from .layer import Layer, Memory
from .norm import RMSNorm
from .signature import resolve


class GatedMLP(nn.Module):
    """down(silu(gate x) * up x)."""

    def __init__(self, d_model: int, hidden: int):
        super().__init__()
        self.up = nn.Linear(d_model, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, d_model, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate, value = self.up(x).chunk(2, -1)
        return self.down(nn.functional.silu(gate) * value)


class Block(nn.Module):
    """Pre-norm residual: memory layer, then MLP."""

    def __init__(self, layer: Layer, d_model: int, hidden: int):
        super().__init__()
        self.norm1, self.layer = RMSNorm(d_model), layer
        self.norm2, self.mlp = RMSNorm(d_model), GatedMLP(d_model, hidden)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None, memory: Memory | None) -> tuple[torch.Tensor, Memory | None]:
        y = self.layer(self.norm1(x), attention_mask=mask, memory=memory)
        y, after = y if memory is not None else (y, None)
        x = x + y
        return x + self.mlp(self.norm2(x)), after


class LanguageModel(nn.Module):
    """tokens [B, T] -> logits [B, T, vocab].

    The op is loaded once and shared by all layers. `memory` is a list with one memory a layer; `[]` starts one.
    """

    def __init__(self, spec_or_op: Any, vocab: int = 256, d_model: int = 128, n_layers: int = 4, heads: int = 4,
                 dims: Mapping[str, int] | None = None, mlp_ratio: float = 8 / 3, short_conv: int = 4, **options: Any):
        super().__init__()
        loading = {k: options.pop(k) for k in ("backend", "segment_length", "constants") if k in options}
        _, op = resolve(spec_or_op, **loading)
        hidden = 16 * round(d_model * mlp_ratio / 16)
        self.embed = nn.Embedding(vocab, d_model)
        self.blocks = nn.ModuleList(
            Block(Layer(op, d_model, heads, dims, short_conv=short_conv, layer_idx=i, **options), d_model, hidden)
            for i in range(n_layers))
        self.norm = RMSNorm(d_model)
        nn.init.normal_(self.embed.weight, std=d_model ** -0.5)
        with torch.no_grad():                      # residual branches start small: the sum of 2 n of them has variance 1
            for block in self.blocks:
                block.layer.out.weight *= (2 * n_layers) ** -0.5     # type: ignore[union-attr, operator]
                block.mlp.down.weight *= (2 * n_layers) ** -0.5      # type: ignore[union-attr, operator]

    def parameter_count(self) -> int:
        return sum(p.numel() for p in self.parameters())

    def forward(self, tokens: torch.Tensor, attention_mask: torch.Tensor | None = None, memory: list[Memory] | None = None,
                return_memory: bool | None = None) -> Any:
        """logits, or (logits, memory) when `memory` is given or asked for."""
        wanted = memory is not None if return_memory is None else return_memory
        past: list[Memory] = memory or [{} for _ in self.blocks]
        after = []
        x = self.embed(tokens) * self.embed.embedding_dim ** 0.5
        for block, mine in zip(self.blocks, past):
            x, new = block(x, attention_mask, mine if wanted or memory else None)
            after.append(new)
        logits = nn.functional.linear(self.norm(x), self.embed.weight)
        return (logits, after) if wanted else logits

    @torch.no_grad()
    def stream(self, prompt: torch.Tensor, n: int, temperature: float = 1.0, top_k: int | None = None,
               generator: torch.Generator | None = None) -> Iterator[torch.Tensor]:
        """n tokens after the prompt [B, T], one [B] at a time: the prompt in one call, then `step` by `step`."""
        logits, memory = self(prompt, memory=[])
        for _ in range(n):
            token = _sample(logits[:, -1].float(), temperature, top_k, generator)
            yield token
            logits, memory = self(token[:, None], memory=memory)

    def generate(self, prompt: torch.Tensor, n: int, temperature: float = 1.0, top_k: int | None = None,
                 generator: torch.Generator | None = None) -> torch.Tensor:
        """[B, n] tokens after the prompt [B, T] ([T] is one row). Temperature 0 takes the likeliest."""
        prompt = prompt[None] if prompt.dim() == 1 else prompt
        new = list(self.stream(prompt, n, temperature, top_k, generator))
        return torch.stack(new, 1) if new else prompt[:, :0]


def _sample(logits: torch.Tensor, temperature: float, top_k: int | None, generator: torch.Generator | None) -> torch.Tensor:
    if temperature <= 0:
        return logits.argmax(-1)
    logits = logits / temperature
    if top_k:
        least = logits.topk(min(top_k, logits.shape[-1])).values[:, -1:]
        logits = logits.masked_fill(logits < least, float("-inf"))
    return torch.multinomial(logits.softmax(-1), 1, generator=generator).squeeze(1)
