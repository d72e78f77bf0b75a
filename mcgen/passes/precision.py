"""Which values are computed in float64: running sums of one number a token, and the differences of such sums.

A log decay of -120 a token makes a running sum of thousands, whose difference must still be right to 1e-7 absolutely;
float32 loses that, and these values are C numbers a row, so float64 costs nothing.
"""
from __future__ import annotations

from ..ir.nodes import Value


def precise(values: list[Value]) -> set[int]:
    """Ids of the values in float64, for values in order of evaluation."""
    found: set[int] = set()
    for v in values:
        if v.op == "cumsum" and set(v.axes) <= {"r", "c"}:
            found.add(id(v))
        elif v.op == "rename" and id(v.args[0]) in found:
            found.add(id(v))
        elif v.op == "map" and v["fn"] == "sub" and all(id(a) in found for a in v.args):
            found.add(id(v))
        elif v.op == "map" and v["fn"] == "where" and id(v.args[1]) in found and v.args[2].op == "const":
            found.add(id(v))
    return found
