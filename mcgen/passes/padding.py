"""Which values are zero beyond the end of an axis, where tiles are longer than the axis: sums along it need no mask then.

Tiles have powers of two as sides. What is loaded is 0 beyond an axis's size; arithmetic may make something else of it.
"""
from __future__ import annotations

from typing import Mapping

from ..ir.nodes import Program, Value

_OF_ZERO = {"neg", "abs", "sign", "relu", "tanh", "stop", "float", "silu", "gelu", "sqrt", "erf"}       # 0 at 0


class Padding:
    """Proofs about the values of one program; `bound`: what the parameters of loops' bodies stand for."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, str], bool] = {}
        self.bound: dict[str, Value] = {}

    def zero(self, v: Value, axis: str) -> bool:
        """Whether v is proved 0 where its axis `axis` is past its size."""
        key = (id(v), axis)
        if key not in self._known:
            self._known[key] = axis in v.axes and self._zero(v, axis)
        return self._known[key]

    def _zero(self, v: Value, axis: str) -> bool:
        args = [a for a in v.args if axis in a.axes]
        match v.op:
            case "param":
                given = self.bound.get(v["name"], v)
                return given is v or axis not in given.axes or self.zero(given, axis)
            case "load":
                return True
            case "out":
                return v["kind"] in ("start", "final") or self.result(v.args[0], v, axis)
            case "rename":
                return self.zero(v.args[0], {new: old for old, new in v["moves"]}.get(axis, axis))
            case "sum" | "dot" | "cumsum" | "collect" | "expose" | "keep" | "take" | "give":
                return bool(args) and v.get("axis") != axis and all(self.zero(a, axis) for a in args)
            case "decayed" | "papply" | "channels":
                return any(self.zero(a, axis) for a in (v.args[:1] if v.op == "decayed" else v.args[1:-1]))
            case "map":
                return self._map(v, args, axis)
        return False

    def _map(self, v: Value, args: list[Value], axis: str) -> bool:
        zero = all(self.zero(a, axis) for a in args)
        match v["fn"]:
            case "mul":
                return zero
            case "add" | "sub" | "minimum" | "maximum":
                return zero and len(args) == len(v.args)
            case "div":
                return zero and axis not in v.args[1].axes
            case "where":
                return all(self.zero(a, axis) or (a.op == "const" and a["value"] == 0.0) for a in v.args[1:])
        return v["fn"] in _OF_ZERO and zero

    def result(self, loop: Value, out: Value, axis: str) -> bool:
        """Whether a loop's result is 0 past the axis, its carries being so."""
        body: Program = loop["body"]
        self.bind(loop)
        index = out["index"] + (loop["carries"] if loop.op == "scan" else 0)
        return self.zero(body.results[index].parts[0][0], axis)

    def bind(self, loop: Value) -> None:
        skipped = loop["carries"] if loop.op == "scan" else 0
        self.bound |= {p.name: a for p, a in zip(loop["body"].params[skipped:], loop.args[skipped:])}


def padded(axes: Mapping[str, object] | tuple[str, ...]) -> list[str]:
    """Those of the axes whose tiles may be longer than they are: the spec's dims and the slots, not the tokens of a row."""
    return [a for a in axes if a not in ("r", "c", "d", "mid", "t")]
