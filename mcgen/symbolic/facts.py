"""What a term depends on, and the values of terms of numbers, dims and constants."""
from __future__ import annotations

import math
from typing import Callable, Mapping
from weakref import WeakKeyDictionary

from ..diagnostics import UsageError
from .model import Model
from .terms import Term, walk

_KINDS: WeakKeyDictionary[Term, frozenset[str]] = WeakKeyDictionary()
_NONE: frozenset[str] = frozenset()
_OWN = {"grad": "grad", "mixsoftmax": "mix", "after": "after", "delay": "delay", "window": "window"}


def kinds(t: Term) -> frozenset[str]:
    """What the term depends on: 'old', 'new' (states), 'grad', 'input' (per-token or per-head inputs), 'online'
    (score, age, ...), 'after', 'mix', 'delay', 'window'. Empty for terms of numbers, dims and constants."""
    found = _KINDS.get(t)
    if found is None:
        for node in walk(t):
            if node not in _KINDS:
                own = node["when"] if node.op == "state" else node.op if node.op in ("input", "online") else _OWN.get(node.op)
                below = _NONE.union(*(_KINDS[a] for a in node.args))
                _KINDS[node] = below | {own} if own else below
        found = _KINDS[t]
    return found


def has_states(t: Term) -> bool:
    return bool(kinds(t) & {"old", "new", "grad"})


class Unknown(Exception):
    """A dim that has no size."""


_FUNCTIONS: dict[str, Callable[..., float]] = {
    "neg": lambda x: -x, "exp": math.exp, "log": math.log, "sqrt": math.sqrt, "abs": abs, "tanh": math.tanh,
    "sign": lambda x: (x > 0) - (x < 0), "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "logsigmoid": lambda x: -math.log1p(math.exp(-x)), "softplus": lambda x: math.log1p(math.exp(x)),
    "relu": lambda x: max(x, 0.0), "silu": lambda x: x / (1 + math.exp(-x)),
    "gelu": lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2,
    "add": lambda x, y: x + y, "sub": lambda x, y: x - y, "mul": lambda x, y: x * y, "div": lambda x, y: x / y,
    "pow": lambda x, y: float(x) ** float(y), "minimum": min, "maximum": max, "norm": abs, "dot": lambda x, y: x * y,
    "huber": lambda x, d: x * x / 2 if abs(x) <= d else d * (abs(x) - d / 2),
}
_TESTS = {"lt": lambda a, b: a < b, "le": lambda a, b: a <= b, "gt": lambda a, b: a > b, "ge": lambda a, b: a >= b,
          "eq": lambda a, b: a == b, "ne": lambda a, b: a != b}


def evaluate(t: Term, sizes: Mapping[str, int], constants: Mapping[str, Term],
             derived: Mapping[str, Term] | None = None, known: dict[str, float] | None = None) -> float:
    """The value of a scalar term of numbers, dims and constants. `known` remembers values of names between calls.

    Raises Unknown if a size is missing or the term is not of that kind; ArithmeticError or ValueError where the value
    is not a number.
    """
    known = {} if known is None else known
    values: dict[int, float] = {}

    def named(name: str, table: Mapping[str, Term]) -> float:
        if name not in known:
            known[name] = evaluate(table[name], sizes, constants, derived, known)
        return known[name]

    for node in walk(t):
        args = [values[id(a)] for a in node.args]
        match node.op:
            case "num":
                value = node["value"]
            case "const":
                value = named(node["name"], constants)
            case "size" if node["dim"] in sizes:
                value = sizes[node["dim"]]
            case "size" if derived and node["dim"] in derived:
                value = named(node["dim"], derived)
            case "where":
                value = args[2] if _TESTS[node["op"]](args[0], args[1]) else args[3]
            case op if op in _FUNCTIONS and not node.shape:
                value = _FUNCTIONS[op](*args)
            case op:
                raise Unknown(node["dim"] if op == "size" else op)
        if isinstance(value, complex):
            raise ValueError("a power of a negative number")
        values[id(node)] = value
    return values[id(t)]


def numbers(model: Model, sizes: Mapping[str, int]) -> dict[str, float]:
    """The values of all derived dims (ints) and constants of a model, once the sizes of its dims are known.

    Raises as `evaluate` does; UsageError if a derived dim is not a positive integer.
    """
    known: dict[str, float] = {}
    for name, t in [*model.derived.items(), *model.constants.items()]:
        if name not in known and name not in sizes:
            known[name] = evaluate(t, sizes, model.constants, model.derived, known)
    for name in model.derived:
        value = known.get(name, 1)
        if value < 1 or value != int(value):
            raise UsageError(f"dimension {name!r} is {value:g}: not a positive integer", "bad-size")
        known[name] = int(value)
    return {**known, **sizes}
