"""Text of one operation in a Triton kernel: alignment by axis names, elementwise functions."""
from __future__ import annotations

from ..ir.functions import FLOOR
from .torch_expr import number as _number

INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==",
         "ne": "!=", "and": "&", "or": "|"}
COMPARE = ("lt", "le", "gt", "ge", "eq", "ne")
CALLS = {"exp": "tl.exp", "log": "tl.log", "sqrt": "tl.sqrt", "erf": "tl.erf", "abs": "tl.abs", "sigmoid": "tl.sigmoid",
         "minimum": "tl.minimum", "maximum": "tl.maximum", "where": "tl.where"}
CALLS |= {name: f"lib.{name}" for name in ("sign", "logsigmoid", "softplus", "tanh", "relu", "silu", "gelu", "parity",
                                             "digit", "carries", "ones", "below", "two_to")}


def number(x: float) -> str:
    """A number as text: infinities as calls, negative ones in brackets."""
    if x in (float("inf"), float("-inf")):
        return f'float("{x}")'
    text = _number(x)
    return f"({text})" if x < 0 else text


def integer(x: float) -> str:
    return str(int(x)) if x == int(x) else number(x)


def aligned(text: str, axes: tuple[str, ...], target: tuple[str, ...]) -> str:
    """A tile over `axes` as one that broadcasts over `target`.

    >>> aligned("x", ("c",), ("c", "d")), aligned("x", ("K", "c"), ("c", "K")), aligned("x", (), ("c",))
    ('x[:, None]', 'tl.trans(x)', 'x')
    """
    wanted = [a for a in target if a in axes]
    if wanted != list(axes):
        order = ", ".join(str(axes.index(a)) for a in wanted)
        text = f"tl.trans({text})" if len(axes) == 2 else f"tl.permute({text}, ({order}))"
    if not axes or len(wanted) == len(target):
        return text
    return f"{text}[{', '.join(':' if a in axes else 'None' for a in target)}]"


def call(fn: str, args: list[str], powers: tuple[bool, float] | None = None) -> str:
    """An elementwise function of named values. powers: for `pow`, whether the base is a tile, and the exponent."""
    if fn in INFIX:
        return f"{args[0]} {INFIX[fn]} {args[1]}"
    match fn:
        case "neg":
            return f"-{args[0]}"
        case "float":
            return f"{args[0]}.to(tl.float32)"
        case "stop":
            return args[0]
        case "logfloor":
            return f"tl.log(tl.maximum(tl.abs({args[0]}), {FLOOR}))"
        case "pow":
            return _power(args, powers)
    return f"{CALLS[fn]}({', '.join(args)})"


def _power(args: list[str], powers: tuple[bool, float] | None) -> str:
    tile, exponent = powers
    if not tile:
        return f"{args[0]} ** {args[1]}"
    if exponent == int(exponent) and 0 < exponent <= 8:
        return " * ".join([args[0]] * int(exponent))
    if exponent == int(exponent) and -8 <= exponent < 0:
        return f"1.0 / ({' * '.join([args[0]] * int(-exponent))})"
    return f"tl.exp({args[1]} * tl.log({args[0]}))"
