"""The interpreter's operations on factors for each channel, by their definition: the weight between two tokens is the product of the
factors of the tokens between them."""
from __future__ import annotations

from typing import Any

import torch

from .builder import Builder

Tensor = torch.Tensor


def _lead(v) -> tuple[str, ...]:
    """The axes for each entry of which an operation runs on its own: rows and levels."""
    return tuple(a for a in v.axes if a in ("r", "l"))


class ChannelOps:
    """Takes from the interpreter the rows, and `align` and `full` for the order of axes."""

    rows: Any
    align: Any
    full: Any

    def between(self, f) -> Tensor:
        """The product of f over the tokens strictly between d and c, 0 unless d is before c: over lead, rest, c, d."""
        size = self.rows.chunk
        weights = torch.zeros(*f.shape, size, dtype=f.dtype)
        for d in range(size):
            run = torch.ones(f.shape[:-1], dtype=f.dtype)
            for c in range(d + 1, size):
                weights[..., c, d] = run
                run = run * f[..., c]
        return weights

    def channels(self, v, values, args, tokens) -> list[Tensor]:
        """Arguments over (lead.., axis, tokens..), and the weights between tokens, over (lead.., axis, c, d)."""
        lead = _lead(v)
        f = self.full(values[-1], args[-1].axes, (*lead, v["axis"], "c"))
        given = [self.full(x, arg.axes, (*lead, v["axis"], *t)) for x, arg, t in zip(values, args, tokens)]
        return [*given, self.between(f)]

    def do_cumprod(self, v, a):
        i = 1 + v.axes.index("c")
        x = a[0].flip(i) if v["reverse"] else a[0]
        x = torch.cat([torch.ones_like(x.narrow(i, 0, 1)), x.narrow(i, 0, x.shape[i] - 1)], i).cumprod(i)
        return x.flip(i) if v["reverse"] else x

    def do_decayed(self, v, a):
        rest = tuple(x for x in v.axes if x != "c")
        x, f = (self.full(t, arg.axes, (*rest, "c")) for t, arg in zip(a, v.args))
        weights = self.between(f)
        return self.align((weights.mT if v["reverse"] else weights).matmul(x[..., None])[..., 0], (*rest, "c"), v.axes)

    def do_pair(self, v, a):
        q, k, w = self.channels(v, a, v.args, (("c",), ("d",)))
        lead = _lead(v)
        return self.align((q[..., :, None] * k[..., None, :] * w).sum(len(lead) + 1), (*lead, "c", "d"), v.axes)

    def do_papply(self, v, a):
        axes = (("c", "d"), ("c",) if v["transposed"] else ("d",))
        matrix, x, w = self.channels(v, a, v.args, axes)
        lead = _lead(v)
        matrix = (matrix * w).mT if v["transposed"] else matrix * w
        return self.align(matrix.matmul(x[..., None])[..., 0], (*lead, v["axis"], "d" if v["transposed"] else "c"), v.axes)

    def do_pfactor(self, v, a):
        lead = _lead(v)
        matrix, q, k, w = self.channels(v, a, v.args, (("c", "d"), ("c",), ("d",)))
        inner = torch.einsum("...cd,...c,...d,...cj,...jd->...j", matrix, q, k, w, w)        # d before j before c
        return self.align(inner, (*lead, v["axis"], "c"), v.axes)

    def do_channels(self, v, a):
        b, (matrix, q, k, f) = Builder(), v.args
        match v["part"]:
            case "q":
                return self.do_papply(b.papply(matrix, k, f, v["axis"]), (a[0], a[2], a[3]))
            case "k":
                return self.do_papply(b.papply(matrix, q, f, v["axis"], True), (a[0], a[1], a[3]))
        return self.do_pfactor(v, a)
