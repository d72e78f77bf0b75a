"""A state's decay factor as a logarithm: what the chunk form accumulates."""
from __future__ import annotations

from .algebra import Algebra
from .linear import num
from .terms import Term, term
from .tidy import where


def log_decay(scale: Term, algebra: Algebra) -> tuple[Term | None, Term | None]:
    """The logarithm of a scalar factor's size (None for the factor 1) and the part of it that may be negative (None if
    it is proved not to be).

    exp, sigmoid, products, quotients, powers and positive numbers are taken apart; any other factor becomes log of its
    size with a floor (logfloor), so that a factor of 0 keeps its gradient.
    """
    total: Term | None = None
    signed: list[Term] = []
    for power, part in _parts(scale):
        if part.op == "logfloor" and not algebra.nonnegative(part.args[0]):
            signed.append(part.args[0])
        summand = part if power > 0 else term("neg", part, pos=part.pos)
        total = summand if total is None else term("add", total, summand, pos=scale.pos)
    return total, _sign(signed, scale)


def _sign(parts: list[Term], scale: Term) -> Term | None:
    """What is negative where an odd number of parts is: beside a part of 0, whose logarithm is that of a small positive number, the others
    keep their signs, which its gradient has."""
    if len(parts) < 2:
        return parts[0] if parts else None
    sign: Term | None = None
    for part in parts:
        one = where("lt", part, num(0), num(-1), num(1))
        sign = one if sign is None else term("mul", sign, one, pos=scale.pos)
    return sign


def _parts(t: Term) -> list[tuple[int, Term]]:
    match t.op:
        case "num" if t["value"] == 1:
            return []
        case "exp":
            return [(1, t.args[0])]
        case "sigmoid":
            return [(1, term("logsigmoid", t.args[0], pos=t.pos))]
        case "mul":
            return _parts(t.args[0]) + _parts(t.args[1])
        case "div":
            return _parts(t.args[0]) + [(-s, p) for s, p in _parts(t.args[1])]
        case "sqrt" if t.args[0].op == "exp":
            return [(s, term("mul", num(0.5), p, pos=t.pos)) for s, p in _parts(t.args[0])]
        case "pow" if t.args[1].op == "num" and t.args[0].op in ("exp", "sigmoid"):
            return [(s, term("mul", t.args[1], p, pos=t.pos)) for s, p in _parts(t.args[0])]
    return [(1, term("logfloor", t, pos=t.pos))]
