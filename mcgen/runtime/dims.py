"""Sizes from expressions of dimensions, such as `4*K`: parsed once, then evaluated on integers (or torch.SymInt)."""
from __future__ import annotations

import ast
from typing import Callable, Mapping

_BINARY: dict[type, Callable] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a // b,
    ast.FloorDiv: lambda a, b: a // b,
    ast.Pow: lambda a, b: a ** b,
}


def size_of(text: str) -> Callable[[Mapping[str, int]], int]:
    """A function from sizes to the value of `text`: names, integers, `+ - * / **` (division rounds down).

    Raises ValueError for anything else. Nothing is evaluated as Python.

    >>> size_of("4*K + 1")({"K": 16})
    65
    """
    return _lower(ast.parse(text, mode="eval").body, text)


def _lower(node: ast.expr, text: str) -> Callable[[Mapping[str, int]], int]:
    match node:
        case ast.Constant(value=int(number)):
            return lambda sizes: number
        case ast.Name(id=name):
            return lambda sizes: sizes[name]
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            a, b, apply = _lower(left, text), _lower(right, text), _BINARY[type(op)]
            return lambda sizes: apply(a(sizes), b(sizes))
    raise ValueError(f"not a size: {text!r}")


def sizes_of(shape: tuple, sizes: Mapping[str, int]) -> list[int]:
    """A shape's entries as integers.

    >>> sizes_of(("K", 3), {"K": 16})
    [16, 3]
    """
    return [entry if isinstance(entry, int) else sizes[entry] for entry in shape]
