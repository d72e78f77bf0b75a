"""Loops over the tokens of a row in kernels whose tiles are registers: nothing there picks out one token of a tile.

What such a loop takes of a token is therefore computed inside it, for that token alone, where that needs no other token; and what
it hands out goes to memory token by token, from where later loops, tiles and kernels read it.
"""
from __future__ import annotations

from dataclasses import dataclass, field

from ..ir.nodes import Program, Result, Value, scan_axis

_ALONE = {"const", "size", "row", "iota", "load", "param", "map", "sum", "max", "dot", "rename", "dense_solve"}


def over_tokens(v: Value) -> bool:
    """Whether v is a scan over the tokens of a row."""
    return v.op == "scan" and scan_axis(v) == "c"


def scans_rows(v: Value) -> bool:
    return v.op == "scan" and scan_axis(v) == "r"


def per_token(v: Value) -> bool:
    """Whether v is what a scan over tokens gives of every token."""
    return v.op == "out" and over_tokens(v.args[0]) and v["kind"] != "final"


def handed_out(v: Value) -> Value | None:
    """What a scan over tokens gives of every token, as the result of the loop over rows around it, or of itself; else None."""
    if v.op == "out" and v["kind"] == "y" and scans_rows(loop := v.args[0]):
        v = loop["body"].results[loop["carries"] + v["index"]].parts[0][0]
    return v if per_token(v) else None


@dataclass
class TokenLoops:
    """alone: ids of what is computed for one token at a time only. read: what scans over tokens give of every token and the same kernel
    reads again. stored: such values with the results that they are."""

    alone: set[int] = field(default_factory=set)
    read: dict[int, Value] = field(default_factory=dict)
    stored: list[tuple[Value, Result]] = field(default_factory=list)


def token_loops(program: Program) -> TokenLoops:
    """Of one kernel's program."""
    return _Walk(program).found


class _Walk:
    """Follows what is wanted from the results down: of all tokens at once, or of one token."""

    def __init__(self, program: Program):
        self.found = TokenLoops()
        self.bound = {p.name: a for v in program.order() if scans_rows(v)                       # parameters of bodies
                      for p, a in zip(v["body"].params[v["carries"]:], v.args[v["carries"]:])}
        self.whole: set[int] = set()
        self.single: set[int] = set()
        self.pending: list[tuple[Value, bool]] = []
        for r in program.results:
            value = r.parts[0][0]
            inner = handed_out(value)
            if inner is None:
                self.pending.append((value, False))
            else:
                self.found.stored.append((inner, r))
                self.pending += [(value.args[0], False), (inner.args[0], False)]
        while self.pending:
            self.visit(*self.pending.pop())
        self.found.alone = self.single - self.whole

    def visit(self, v: Value, single: bool) -> None:
        single = single and "c" in v.axes
        seen = self.single if single else self.whole
        if id(v) in seen:
            return
        seen.add(id(v))
        if v.op == "scan":
            self.scan(v)
        elif v.op == "out":
            self.out(v, single)
        elif v.op == "param" and v["name"] in self.bound:
            self.pending.append((self.bound[v["name"]], single))
        elif single and not alone(v):
            self.pending.append((v, False))
        else:
            self.pending += [(a, single) for a in v.args]

    def out(self, v: Value, single: bool) -> None:
        loop = v.args[0]
        self.pending.append((loop, False))
        if per_token(v):
            self.found.read[id(v)] = v
        elif scans_rows(loop) and v["kind"] == "y":
            self.pending.append((loop["body"].results[loop["carries"] + v["index"]].parts[0][0], single))

    def scan(self, v: Value) -> None:
        n, m = v["carries"], v["xs"]
        if over_tokens(v):
            self.pending += [(a, n <= i < n + m) for i, a in enumerate(v.args)]
        else:
            self.pending += [(a, False) for a in (*v.args[:n], *(r.parts[0][0] for r in v["body"].results[:n]))]


def alone(v: Value) -> bool:
    """Whether v of one token needs its arguments of that token only."""
    axes = {a for x in (v, *v.args) for a in x.axes}
    moved = {a for move in v.get("moves") or () for a in move}
    return v.op in _ALONE and not axes & {"d", "mid", "n"} and "c" not in moved | set(v.get("over") or ())
