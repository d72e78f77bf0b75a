"""A kernel function to a Kernel: record, lower, build."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Mapping

from . import llvm
from .builder import TileBuilder
from .kernel import Kernel


@dataclass(frozen=True)
class Options:
    """What changes the speed of a kernel and not its results beyond rounding."""

    rows: int = 6            # rows of a register tile
    columns: int = 16        # its columns, a multiple of 8
    unroll: int = 4          # steps of a product's inner loop taken at once
    opt_level: int = 2       # LLVM's


def compile(fn: Callable, sizes: Mapping[str, int], name: str | None = None, options: Options | Mapping | None = None) -> Kernel:
    """The kernel that `fn` describes, for these sizes of "C" and the named dims."""
    from .lower import lower
    options = options if isinstance(options, Options) else Options(**(options or {}))
    builder = TileBuilder()
    builder.sizes = dict(sizes)
    fn(builder)
    llvm.require()
    function = lower(builder, dict(sizes), options)
    module = llvm.build(function, options.opt_level)
    return Kernel(name or fn.__name__, builder.params, dict(sizes), module.get_function("main"))
