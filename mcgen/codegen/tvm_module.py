"""The text of `tvm_kernels.py`: the forward and backward kernels for the CPU."""
from __future__ import annotations

from ..passes.fuse import fuse
from ..passes.pipeline import Compiled
from .formulas import formulas
from .tvm_printer import print_kernel

_HEAD = '''"""{title}

Written by mcgen: build it again instead of changing it. One pass over the chunk table's rows for every sequence and
head, on tiles; `mcgen.runtime.tvm` compiles the functions. Axes: c and d tokens of a row, n cached memories, then the dims.

{formulas}
"""
'''


def tvm_module(compiled: Compiled) -> str:
    """The whole module."""
    b = compiled.source.builder
    return "\n\n".join([
        _HEAD.format(title=f"{compiled.model.name} on the CPU.", formulas=formulas(compiled.model)),
        print_kernel("forward", fuse(compiled.forward, b, compiled.results), True),
        print_kernel("backward", fuse(compiled.backward, b), False),
    ])
