"""How much of the rate of torch.mm an op's forward pass reaches, on the operations that its kernel executes in products and solves."""
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from . import cases
from .cases import Case
from .measure import forward, interleaved

SIZES = {"B": 1, "T": 4096, "H": 8}
SQUARE = 1024


def measure(name: str, rounds: int = 7) -> dict[str, float] | None:
    """{'operations', 'milliseconds', 'share'}: of one call at 64 of every dim, float32; operations are multiplications and additions in
    products, those that register tiles skip above a diagonal left out; share of the rate that torch.mm has in turns with it.

    None for an op whose kernel has no products on the CPU: one that runs token by token.
    """
    case = Case(name, SIZES)
    op = cases.load(case)
    operations = 2.0 * multiply_adds(op, case) * SIZES["B"] * SIZES["H"]
    if not operations:
        return None
    inputs = cases.draw(op, case)
    square = [torch.randn(SQUARE, SQUARE) for _ in range(2)]
    times = interleaved({"op": forward(lambda *xs: op(**dict(zip(inputs, xs))), list(inputs.values())), "mm": forward(torch.mm, square)}, rounds)
    peak = 2.0 * SQUARE ** 3 / times["mm"].median
    return {"operations": operations, "milliseconds": times["op"].median, "share": operations / times["op"].median / peak}


def multiply_adds(op: Any, case: Case) -> float:
    """Of one sequence and head, in products outside loops, and in dense systems, of which a token's read solves one."""
    from ..runtime.package import tvm_module
    from ..runtime.tvm.compile import Options, record
    from ..runtime.tvm.statements import DenseSolve, Rows, Sequences, leaves

    sizes = {dim: case.sizes.get(dim, cases.SIZE) for item in op.inputs for dim in item.shape if isinstance(dim, str)}
    chunk = op.chunk_at("cpu", sizes)
    kernel = record(lambda k: tvm_module(op.folder).forward(k, False), {**sizes, "#chunk": chunk})
    rows = [s for outer in kernel.body if isinstance(outer, Sequences) for s in outer.body if isinstance(s, Rows)]
    products = math.ceil(case.sizes["T"] / chunk) * sum(executed(s, {**sizes, "#chunk": chunk}, Options().rows) for row in rows for s in row.body)
    systems = [(_extent(s.row, sizes), 6 if s.definite else 3) for s in leaves(kernel.body) if isinstance(s, DenseSolve)]
    return products + case.sizes["T"] * sum(side ** 3 / part + side ** 2 for side, part in systems)


def executed(statement: Any, sizes: Mapping[str, int], height: int) -> float:
    """Multiply-adds of a statement on matrices: 0 for one that multiplies none. height: rows of a register tile; those that lie wholly
    in the empty half of a triangle are skipped."""
    from ..runtime.tvm import statements as st
    from ..runtime.tvm.expr import Expr

    def elements(*values: Expr | Sequence[str]) -> int:
        return math.prod(_extent(a, sizes) for a in {a for v in values for a in (v.axes if isinstance(v, Expr) else v)})

    chunk = sizes["#chunk"]
    before = (chunk - 1) / (2 * chunk)
    match statement:
        case st.Dot(dst=dst, a=a, b=b, over=over):
            half = min(1.0, (chunk + height) / (2 * chunk))
            return elements(dst, a, b, over) * (half if statement.lower else 1) * (half if statement.over_lower else 1)
        case st.Product(axes=axes, a=a, b=b, over=over):
            return elements(axes, a, b, over)
        case st.Solve(x=x, matrix=matrix):
            side = math.isqrt(elements(matrix))
            return elements(x) * (side - 1) / 2
        case st.Pair(dst=dst, q=q):
            return elements(dst, q) * before
        case _:
            return 0.0


def _extent(axis: str, sizes: Mapping[str, int]) -> int:
    if axis[0] == "#":
        return int(axis[1:].rstrip("~'."))
    return sizes["#chunk" if axis in ("c", "d", "mid") else axis.rstrip("~'.")]
