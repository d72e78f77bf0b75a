"""Tile programs on the CPU: a kernel is a Python function of calls on a builder, compiled through TVM and LLVM.

    from mcgen.runtime.tvm import compile
    kernel = compile(forward, sizes={"K": 64, "#chunk": 64})
    kernel(table, q=q, y=y)

TVM is imported when something is compiled, not before.
"""
from .builder import TileBuilder
from .compile import Options, compile
from .kernel import Kernel

__all__ = ["Kernel", "Options", "TileBuilder", "compile"]
