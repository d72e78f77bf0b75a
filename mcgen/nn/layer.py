"""A layer made from a spec: projections into the inputs' domains, the op, an output norm with a gate, a projection back."""
from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

import torch
from torch import nn

from ..diagnostics import UsageError
from .conv import ShortConv
from .norm import RMSNorm
from .packing import packing
from .projections import Projections
from .signature import read_signature, resolve

Memory = dict[str, Any]


class Layer(nn.Module):
    """[B, T, d_model] -> [B, T, d_model] through a memory.

    spec_or_op    a name ("gated_delta+grm"), a path, a dict, or an op that is already loaded
    dims          sizes of the spec's dimensions; those not named are d_model / heads
    short_conv    width of a causal convolution over tokens on the vector inputs (4 is usual); 0: none
    output_norm   RMSNorm of each head's answer, gated by silu of a projection of x (output_gate)
    input_heads   fewer heads for some inputs, e.g. {"k": 2, "v": 2}: each is shared by consecutive heads
    optional      inputs with a default that are to be projected as well
    layer_idx     this layer's key in `past_key_values`
    options       go to `mcgen.load`: backend, segment_length, constants
    """

    def __init__(self, spec_or_op: Any, d_model: int, heads: int, dims: Mapping[str, int] | None = None, *,
                 short_conv: int = 0, output_norm: bool = True, output_gate: bool = True,
                 input_heads: Mapping[str, int] | None = None, optional: tuple[str, ...] = (),
                 layer_idx: int = 0, **options: Any):
        super().__init__()
        if heads < 1 or d_model < heads:
            raise UsageError(f"{heads} heads don't fit a width of {d_model}")
        spec, self.op = resolve(spec_or_op, **options)
        self.signature = read_signature(spec, dims, d_model // heads)
        self.heads, self.layer_idx = heads, layer_idx
        self.project = Projections(self.signature, d_model, heads, input_heads or {}, tuple(optional))
        self.conv = None
        if short_conv:
            channels = self.project.convolved
            self.register_buffer("conv_channels", torch.tensor(channels), persistent=False)
            self.conv = ShortConv(len(channels), short_conv)
        width = heads * self.signature.answer
        self.norm = RMSNorm(self.signature.answer) if output_norm else None
        self.gate = nn.Linear(d_model, width, bias=False) if output_norm and output_gate else None
        self.out = nn.Linear(width, d_model, bias=False)
        nn.init.normal_(self.out.weight, std=width ** -0.5)

    def extra_repr(self) -> str:
        return f"{self.signature.spec.name}, heads={self.heads}, dims={dict(self.signature.sizes)}"

    def forward(self, x: torch.Tensor, attention_mask: torch.Tensor | None = None,
                past_key_values: MutableMapping[int, Memory] | None = None, memory: Memory | None = None,
                return_memory: bool | None = None) -> Any:
        """y, or (y, memory) when `memory` is given or asked for.

        attention_mask [B, T], or [B, past + T] while decoding: tokens where it is 0 are left out, on whichever side.
        past_key_values: a mapping from layer_idx to memories, shared by a model's layers; updated in place and returned.
        """
        if past_key_values is not None:
            if memory is not None or not isinstance(past_key_values, MutableMapping):
                raise UsageError("past_key_values is a dict from layer index to memory, and excludes `memory`", hint="start with {}")
            y, past_key_values[self.layer_idx] = self._run(x, attention_mask, past_key_values.get(self.layer_idx) or {})
            return y, past_key_values
        wanted = memory is not None if return_memory is None else return_memory
        y, after = self._run(x, attention_mask, memory or {}, wanted)
        return (y, after) if wanted else y

    def _run(self, x: torch.Tensor, mask: torch.Tensor | None, memory: Memory, wanted: bool = True) -> tuple[torch.Tensor, Memory]:
        pack = packing(mask, *x.shape[:2])
        after: Memory = {}
        inside = x if pack is None else pack.compact(x)
        channels = self.project(inside)
        if self.conv is not None:
            mixed, after["conv"] = self.conv(channels[..., self.conv_channels], memory.get("conv"), pack.lengths if pack else None)
            channels = channels.index_copy(2, self.conv_channels, mixed.to(channels.dtype))
        if pack is None:
            y, after["op"] = self._call(self.project.split(channels), memory.get("op"), wanted)
            return self._output(y.to(x.dtype), inside), after
        y, after["op"] = self._call(self.project.split(pack.pack(channels)), memory.get("op"), wanted, cu_seqlens=pack.cu_seqlens)
        return pack.unpack(self._output(y.to(x.dtype), pack.pack(inside))), after

    def _call(self, inputs: dict[str, torch.Tensor], memory: Memory | None, wanted: bool,
              **packed: torch.Tensor) -> tuple[torch.Tensor, Memory | None]:
        """The op over these tokens; one token of every row goes through `step`."""
        token = self.project.token
        if memory is not None and not packed and not torch.is_grad_enabled() and next(inputs[n] for n in token).shape[1] == 1:
            y, after = self.op.step(**{n: v.squeeze(1) if n in token else v for n, v in inputs.items()}, memory=memory)
            return y.unsqueeze(1), after
        if not wanted and memory is None:
            return self.op(**inputs, **packed), None
        return self.op(**inputs, memory=memory, return_memory=True, **packed)

    def _output(self, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """y [B, T, H, V] normalised, gated, projected back."""
        if self.norm is not None:
            y = self.norm(y)
        y = y.flatten(2)
        if self.gate is not None:
            y = y * nn.functional.silu(self.gate(x))
        return self.out(y)
