"""Ready-made modules around an op: a layer with all its projections, and a small causal language model.

    layer = mcgen.nn.Layer("gated_delta+grm", d_model=256, heads=4)
    y = layer(x)                                   # [B, T, d_model]
    y, memory = layer(x, return_memory=True)
    y, memory = layer(more, memory=memory)         # goes on where it stopped
"""
from .layer import Layer
from .model import LanguageModel
from .norm import RMSNorm
from .packing import reorder

__all__ = ["Layer", "LanguageModel", "RMSNorm", "reorder"]
