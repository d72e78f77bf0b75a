"""Which matrices of a row's tokens are zero where the second token comes after the first: half the work of a product."""
from __future__ import annotations

from typing import Mapping

from ..ir.nodes import Value


def lower_triangular(v: Value) -> bool:
    """Whether v[c, d] is proved 0 for d > c (by how it is computed)."""
    if not {"c", "d"} <= set(v.axes):
        return False
    if v.op == "pair":
        return True
    if v.op != "map":
        return False
    match v["fn"]:
        case "mul":
            return any(lower_triangular(a) for a in v.args)
        case "neg" | "div":
            return lower_triangular(v.args[0])
        case "add" | "sub":
            return all(lower_triangular(a) for a in v.args)
        case "where":
            zero = v.args[2].op == "const" and v.args[2]["value"] == 0.0
            return zero and (_below(v.args[0]) or lower_triangular(v.args[1]))
        case "exp":
            gap = v.args[0]          # masked before the exponential: exp(-1e4) is 0
            return gap.op == "map" and gap["fn"] == "where" and _below(gap.args[0]) and \
                gap.args[2].op == "const" and gap.args[2]["value"] <= -1e4
    return False


def needed_below(v: Value, users: Mapping[int, list[Value]]) -> bool:
    """Whether v[c, d] for d > c reaches nothing: all that uses it is 0 there, or used so in turn."""
    found = users.get(id(v), [])
    return bool(found) and {"c", "d"} <= set(v.axes) and all(
        u.op in ("solve", "papply", "pfactor") and u.args[0] is v or
        u.op == "map" and (lower_triangular(u) or needed_below(u, users)) for u in found)


def _below(mask: Value) -> bool:
    if mask.op != "map":
        return False
    if mask["fn"] == "and":
        return any(_below(a) for a in mask.args)
    if mask["fn"] == "eq":
        return {a.get("axis") for a in mask.args if a.op == "iota"} == {"c", "d"}
    return mask["fn"] in ("ge", "gt") and [a.get("axis") for a in mask.args if a.op == "iota"] == ["c", "d"]
