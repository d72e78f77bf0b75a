"""The text of `torch_program.py`: forward, backward, weights and initial states as torch functions."""
from __future__ import annotations

from ..ir.builder import Builder
from ..ir.nodes import Param
from ..passes.emit import Emitter, axes_of
from ..passes.pipeline import Compiled
from .formulas import formulas
from .torch_printer import print_function, print_starts

_HEAD = '''"""{title}

Written by mcgen: build it again instead of changing it. Whole tensors over the rows of the chunk table, any device.
Axes in the comments: z sequence and head, r chunk-table row, c and d tokens of a row, n cached memory, then the dims.

{formulas}
"""
import torch
import torch.nn.functional as F

from mcgen.runtime import torch_ops as ops

'''


def torch_module(compiled: Compiled) -> str:
    """The whole module."""
    count = len(compiled.forward.params)
    parts = [
        _HEAD.format(title=f"{compiled.model.name} in torch.", formulas=formulas(compiled.model)),
        print_function("forward", compiled.forward, count, compiled.results),
        print_function("backward", compiled.backward, count),
    ]
    if compiled.weights is not None:
        parts.append(print_function("_weights", compiled.weights, count))
        made = "_weights(*params, chunk=chunk)"
        made = f"ops.oldest_first(*{made})" if compiled.forward.slot == "m" else made
        parts.append(f'''def weights(*params, chunk):
    """The weight of every memory [B, T, H, 1 + N], the online one first, and which take part."""
    online, cached, taking = {made}
    return torch.cat([online[..., None], cached], -1), torch.cat([torch.ones_like(online[..., None], dtype=torch.bool), taking > 0], -1)
''')
    inits = compiled.model.inits
    if inits:
        b = Builder()
        params = {n: Param(n, i.per, axes_of(i.shape)) for n, i in compiled.model.inputs.items()}
        emitter = Emitter(b, compiled.model, params)
        parts.append(print_starts({n: emitter.emit(t) for n, t in inits.items()},
                                  {n: axes_of(compiled.model.states[n].shape) for n in inits}))
    return "\n\n".join(p.rstrip("\n") for p in parts).rstrip("\n") + "\n"
