"""A short causal convolution per channel, which remembers its last inputs."""
from __future__ import annotations

import torch
from torch import nn


class ShortConv(nn.Module):
    """y_t = silu(sum_j w_j x_{t-j}) per channel, j < width; starts as the identity under silu."""

    def __init__(self, channels: int, width: int):
        super().__init__()
        weight = torch.randn(width, channels) * 0.1 * width ** -0.5
        weight[-1] += 1.0
        self.weight = nn.Parameter(weight)
        self.width = width

    def forward(self, x: torch.Tensor, past: torch.Tensor | None = None,
                lengths: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """x [B, T, C], past [B, width - 1, C] -> (y [B, T, C], the next past). lengths: valid tokens of a row, which come first."""
        keep = self.width - 1
        if past is None:
            past = x.new_zeros(x.shape[0], keep, x.shape[2])
        seen = torch.cat([past.to(x.dtype), x], 1)                                   # [B, width - 1 + T, C]
        y = seen[:, :x.shape[1]] * self.weight[0]            # shifted sums: torch's depthwise conv1d has a very slow backward on CPUs
        for j in range(1, self.width):
            y = torch.addcmul(y, seen[:, j:j + x.shape[1]], self.weight[j])
        if lengths is None:
            after = seen[:, seen.shape[1] - keep:]
        else:
            index = lengths[:, None] + torch.arange(keep, device=x.device)           # [B, width - 1]
            after = seen.gather(1, index[..., None].expand(-1, -1, x.shape[2]))
        return nn.functional.silu(y), after
