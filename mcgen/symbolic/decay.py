"""A state's decay factor as a logarithm: what the chunk form accumulates."""
from __future__ import annotations

from ..diagnostics import NotLowered
from .algebra import Algebra
from .linear import num
from .terms import Term, term


def log_decay(scale: Term, algebra: Algebra) -> Term | None:
    """The logarithm of a scalar factor as a term; None for the factor 1.

    exp, sigmoid, products, quotients, powers and positive numbers are taken apart; any other factor must be proved
    nonnegative and becomes log with a floor (logfloor), so that a factor of 0 keeps its gradient.
    """
    parts = _parts(scale, algebra)
    total: Term | None = None
    for sign, part in parts:
        signed = part if sign > 0 else term("neg", part, pos=part.pos)
        total = signed if total is None else term("add", total, signed, pos=scale.pos)
    return total


def _parts(t: Term, algebra: Algebra) -> list[tuple[int, Term]]:
    match t.op:
        case "num" if t["value"] == 1:
            return []
        case "exp":
            return [(1, t.args[0])]
        case "sigmoid":
            return [(1, term("logsigmoid", t.args[0], pos=t.pos))]
        case "mul":
            return _parts(t.args[0], algebra) + _parts(t.args[1], algebra)
        case "div":
            return _parts(t.args[0], algebra) + [(-s, p) for s, p in _parts(t.args[1], algebra)]
        case "sqrt":
            return [(s, term("mul", num(0.5), p, pos=t.pos)) for s, p in _parts(t.args[0], algebra)]
        case "pow" if t.args[1].op == "num":
            return [(s, term("mul", t.args[1], p, pos=t.pos)) for s, p in _parts(t.args[0], algebra)]
    if not algebra.nonnegative(t):
        raise NotLowered("a decay factor that may be negative", t.pos,
                         hint="give the factor's input a domain such as [0, 1], or write the decay as exp(...)")
    return [(1, term("logfloor", t, pos=t.pos))]
