"""Text of what runs along a row's tokens beyond sums: triangular systems, and factors for each channel."""
from __future__ import annotations

from ..ir.nodes import Value
from .torch_expr import aligned


class Channels:
    """Part of the torch printer: `ref` and `full` are the printer's."""

    def _solve(self, v: Value) -> str:
        matrix, x = v.args
        own = ("c", v["step"]) if v["step"] else ("c",)
        lead = self._lead(v)
        rest = tuple(a for a in v.axes if a not in (*lead, *own))
        other = ("d", *(a + "~" for a in own[1:]))
        text = f"ops.solve({self.full(matrix, lead + own + other)}, {self.full(x, lead + own + rest)}, {len(lead) + 1}, {len(own)}"
        text += ", transposed=True)" if v["transposed"] else ")"
        return aligned(text, lead + own + rest, v.axes)

    def _lead(self, v: Value, each: tuple[str, ...] = ("r",)) -> tuple[str, ...]:
        """The axes for each entry of which an operation runs on its own."""
        return tuple(a for a in v.axes if a in each)

    def _cumprod(self, v: Value) -> str:
        return f"ops.cumprod({self.ref(v.args[0], v.axes)}, {1 + v.axes.index('c')}{', reverse=True' if v['reverse'] else ''})"

    def _decayed(self, v: Value) -> str:
        rest = tuple(a for a in v.axes if a != "c")
        axes = (*rest[:-1], "c", *rest[-1:])
        x, f = (self.full(a, axes) for a in v.args)
        return aligned(f"ops.decayed({x}, {f}{', reverse=True' if v['reverse'] else ''})", axes, v.axes)

    def _pair(self, v: Value) -> str:
        lead, axis = self._lead(v, ("r", "l")), v["axis"]
        q, k, f = (self.full(x, (*lead, t, axis)) for x, t in zip(v.args, "cdc"))
        return aligned(f"ops.pair({q}, {k}, {f})", (*lead, "c", "d"), v.axes)

    def _papply(self, v: Value) -> str:
        lead, axis, turned = self._lead(v, ("r", "l")), v["axis"], v["transposed"]
        matrix, x, f = self.full(v.args[0], (*lead, "c", "d")), self.full(v.args[1], (*lead, "c" if turned else "d", axis)), self.full(v.args[2], (*lead, "c", axis))
        text = f"ops.papply({matrix}, {x}, {f}{', transposed=True' if turned else ''})"
        return aligned(text, (*lead, "d" if turned else "c", axis), v.axes)

    def _pfactor(self, v: Value) -> str:
        lead, axis = self._lead(v, ("r", "l")), v["axis"]
        matrix = self.full(v.args[0], (*lead, "c", "d"))
        q, k, f = (self.full(x, (*lead, t, axis)) for x, t in zip(v.args[1:], "cdc"))
        return aligned(f"ops.pfactor({matrix}, {q}, {k}, {f})", (*lead, "c", axis), v.axes)
