"""Terms as text in the spec language: with functions and `let` names written out, for people to read."""
from __future__ import annotations

from .terms import Term, walk

_INFIX = {"add": (" + ", 1), "sub": (" - ", 1), "mul": (" * ", 2), "div": (" / ", 2), "matmul": (" @ ", 2), "pow": ("**", 4)}
_TESTS = {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="}
_LONG = 400                      # characters of a part beyond which it is cut: shared parts could double without end
_NEGATION, _ATOM = 3, 5


def text(t: Term) -> str:
    """The term as an expression.

    >>> from mcgen.symbolic.terms import term
    >>> a, b = (term("input", name=n) for n in "ab")
    >>> text(term("mul", a, term("sub", b, term("neg", a)))), text(term("exp", term("div", a, b)))
    ('a * (b - -a)', 'exp(a / b)')
    >>> text(term("mul", term("mul", term("num", value=-1), a), b)), text(term("mul", term("num", value=-1), term("add", a, b)))
    ('-a * b', '-(a + b)')
    """
    done: dict[int, tuple[str, int]] = {}
    for node in walk(t):
        spelled, level = _spell(node, [done[id(a)] for a in node.args])
        done[id(node)] = (spelled, level) if len(spelled) <= _LONG else (spelled[: _LONG - 3] + "...", _ATOM)
    return done[id(t)][0]


def _spell(t: Term, args: list[tuple[str, int]]) -> tuple[str, int]:
    """(text, how tightly its outermost operation binds)."""
    plain = [spelled for spelled, _ in args]
    match t.op:
        case "num":
            value = t["value"]
            return (f"{value:g}" if value == float(f"{value:g}") else repr(value)), (_ATOM if value >= 0 else _NEGATION)
        case "size":
            return str(t["dim"]), _ATOM
        case "const" | "input" | "online":
            return t["name"], _ATOM
        case "state":
            return t["name"], _ATOM
        case "atom":
            return f"read{t['index'] + 1}", _ATOM
        case "mul" if t.args[0].op == "num" and t.args[0]["value"] == -1:
            return "-" + _inside(args[1], 2), 2
        case op if op in _INFIX:
            sign, level = _INFIX[op]
            left = _inside(args[0], level + (op == "pow"))
            return left + sign + _inside(args[1], level + (op not in ("add", "mul"))), level
        case "neg":
            return "-" + _inside(args[0], _NEGATION), _NEGATION
        case "transpose":
            return _inside(args[0], _ATOM) + ".T", _ATOM
        case "index":
            return f"{_inside(args[0], _ATOM)}[{plain[1]}]", _ATOM
        case "where":
            return f"where({plain[0]} {_TESTS[t['op']]} {plain[1]}, {plain[2]}, {plain[3]})", _ATOM
        case "mixsoftmax":
            return f"softmax({plain[0]})", _ATOM
        case "grad":
            return f"grad({', '.join([t['state'], *(f'at={a}' for a in plain)])})", _ATOM
        case "logfloor":
            return f"log({plain[0]})", _ATOM
    extra = [str(v) for k, v in t.attrs if k in ("n", "axis", "dim") and v is not None]
    return f"{t.op}({', '.join([*plain, *extra])})", _ATOM


def _inside(part: tuple[str, int], level: int) -> str:
    spelled, own = part
    return spelled if own >= level else f"({spelled})"
