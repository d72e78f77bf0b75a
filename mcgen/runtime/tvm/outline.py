"""Statements as functions of their own, called from where they stood.

LLVM's work on a function grows with more than its length, and a kernel is one loop over rows with all that a row needs inside. So
statements become functions: of the tiles, parameters and numbers that they use. Equal ones are one function.
"""
from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .emit import Emitter


class Parts:
    """The functions of one kernel. `functions`: name -> PrimFunc."""

    def __init__(self, em: "Emitter") -> None:
        from tvm_ffi import StructuralKey
        self.em, self.key = em, StructuralKey
        self.functions: dict[str, object] = {}
        self.inside = False                  # whether what is emitted now belongs to a part
        self._names: dict[object, str] = {}

    @contextmanager
    def part(self):
        """What is emitted inside becomes a function, and a call of it.

        Requires: it writes to memory and to registers of its own only, so that values which stand outside can be handed over.
        """
        em, tir = self.em, self.em.tir
        em.frames.append([])
        self.inside = True
        yield
        self.inside = False
        body = em.frames.pop()
        params, given, begin = [], [], []
        for used in tir.analysis.undefined_vars(em.block(body), []):
            if used in em.registers:
                dtype, lanes = em.registers[used]
                param = tir.Var("r", em.type_name(dtype, lanes))
                at = em.int(0) if lanes == 1 else tir.Ramp(em.int(0), em.int(1), lanes)
                begin += [em.allocation(used), tir.BufferStore(used, param, [at])]
                argument = tir.BufferLoad(used, [at])
            elif used in em.pointers:
                integer, dtype = em.pointers[used]
                if integer is not None:
                    param = argument = integer
                    begin += em.at_address(used, integer, dtype)
                else:
                    param, argument = em.pointer(dtype), used.data
                    begin.append(tir.DeclBuffer(used, data=param))
            else:
                param = argument = used
            params.append(param)
            given.append(argument)
        function = tir.PrimFunc(params, em.block(em.aligned_frame() + begin + body)).with_attr("tirx.noalias", True)
        name = self._names.setdefault(self.key(function), f"part{len(self.functions)}")
        self.functions.setdefault(name, function.with_attr("global_symbol", name))
        em.frames[-1].append(tir.Evaluate(tir.call_extern("void", name, *given)))
