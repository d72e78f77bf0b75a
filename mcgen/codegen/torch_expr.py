"""Text of one operation in a torch program: alignment by axis names, elementwise functions, einsum."""
from __future__ import annotations

from dataclasses import dataclass

from ..ir.nodes import Value, dim_of


@dataclass(frozen=True)
class Name:
    """How a value is spelled: text, its axes, whether it has the leading z, whether it is a Python number."""

    text: str
    axes: tuple[str, ...] = ()
    batched: bool = True
    scalar: bool = False


INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==",
         "ne": "!=", "and": "&", "or": "|", "pow": "**"}
CALLS = {name: f"torch.{name}" for name in ("exp", "log", "sqrt", "erf", "abs", "sign", "sigmoid", "tanh", "relu")}
CALLS |= {name: f"F.{name}" for name in ("logsigmoid", "silu", "gelu")}
CALLS |= {"softplus": "ops.softplus", "logfloor": "ops.logfloor", "parity": "ops.parity", "digit": "ops.digit", "carries": "ops.carries", "ones": "ops.ones", "below": "ops.below",
          "two_to": "ops.two_to"}


def number(x: float) -> str:
    """A number as Python text: short, exact."""
    if x == int(x) and abs(x) < 1e6:
        return f"{x:.1f}"
    return repr(x)


def aligned(text: str, axes: tuple[str, ...], target: tuple[str, ...], batched: bool = True) -> str:
    """A tensor over (z, *axes) as one that broadcasts over (z, *target)."""
    lead = 1 if batched else 0
    wanted = [a for a in target if a in axes]
    if wanted != list(axes):
        text += f".permute({', '.join([*map(str, range(lead)), *(str(lead + axes.index(a)) for a in wanted)])})"
    if len(wanted) == len(target) and batched:
        return text
    index = [":" if batched else "None"] + [":" if a in axes else "None" for a in target]
    while index and index[-1] == ":" and len(index) > 1:
        index.pop()
    return text if index == [":"] else f"{text}[{', '.join(index)}]"


def spelled(*groups: tuple[str, ...]) -> list[str]:
    """einsum subscripts of axis tuples, z first: one letter an axis, its own where it has one."""
    letters: dict[str, str] = {}
    free = [c for c in "abefghijlmopqstuvwxyABCDEFGHIJLMNOPQRSTUWXYZ"]
    for axis in dict.fromkeys(a for g in groups for a in g):
        own = axis if len(axis) == 1 and axis.isalpha() and axis != "z" else dim_of(axis)[:1]
        if not (own.isalpha() and own.isascii() and own != "z" and own not in letters.values()):
            own = next(c for c in free if c not in letters.values())
        letters[axis] = own
    return ["z" + "".join(letters[a] for a in g) for g in groups]


def shape_comment(value: Value) -> str:
    return "[" + ", ".join(("z", *value.axes)) + "]"
