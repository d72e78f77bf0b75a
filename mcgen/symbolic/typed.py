"""Making terms: the shape rules of every operation, and the little that is simplified on the way.

Simplified: x*1, x+0, x/1, x**1, double negation and transpose, arithmetic of two numbers. Nothing is reordered.
Every function takes terms and the place that an error points at, and returns a term or raises SpecError.
"""
from __future__ import annotations

import operator

from ..diagnostics import NOWHERE, Pos, SpecError, error
from .terms import Shape, Term, term

_ARITHMETIC = {"add": operator.add, "sub": operator.sub, "mul": operator.mul, "div": operator.truediv,
               "pow": lambda a, b: float(a) ** float(b)}
NAMES = {"add": "+", "sub": "-", "mul": "*", "div": "/", "matmul": "@", "pow": "**"}


def show(shape: Shape) -> str:
    """A shape as messages have it."""
    if not shape:
        return "a scalar"
    return f"{'a vector' if len(shape) == 1 else 'a matrix'} [{', '.join(map(str, shape))}]"


def num(value: float, pos: Pos = NOWHERE) -> Term:
    """A number. Whole floats become ints, so that 1 and 1.0 are one term."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2 ** 53:
        value = int(value)
    return term("num", pos=pos, value=value)


def is_num(t: Term, value: float | None = None) -> bool:
    return t.op == "num" and (value is None or t["value"] == value)


def _mismatch(name: str, a: Term, b: Term, pos: Pos) -> SpecError:
    hint = None
    if {len(a.shape), len(b.shape)} == {1, 2}:
        vector, matrix = (a, b) if len(a.shape) == 1 else (b, a)
        if vector.shape[0] == matrix.shape[0]:
            hint = "scale rows with diag(a) @ S"
        elif vector.shape[0] == matrix.shape[1]:
            hint = "scale columns with S @ diag(b)"
    elif len(a.shape) == len(b.shape):
        hint = "equal sizes need equal names"
        if len(a.shape) == 2 and a.shape == b.shape[::-1]:
            hint = "one of them may want a transpose, x.T"
    return error("shape-mismatch", f"{name} takes two equal shapes, or a scalar with anything; here it is "
                 f"{show(a.shape)} with {show(b.shape)}", pos, hint=hint)


def elementwise(op: str, a: Term, b: Term, pos: Pos) -> Term:
    """add, sub, mul, div, minimum, maximum, huber: two equal shapes, or a scalar with anything."""
    if a.shape and b.shape and a.shape != b.shape:
        raise _mismatch(f"'{NAMES[op]}'" if op in NAMES else op, a, b, pos)
    shape = a.shape or b.shape
    if is_num(a) and is_num(b) and (folded := _fold(op, a["value"], b["value"])) is not None:
        return num(folded, pos)
    if op == "add" and is_num(a, 0) or op == "mul" and is_num(a, 1):
        return b
    if op in ("add", "sub") and is_num(b, 0) or op in ("mul", "div") and is_num(b, 1):
        return a
    if op == "sub" and is_num(a, 0):
        return unary("neg", b, pos)
    return term(op, a, b, shape=shape, pos=pos)


def _fold(op: str, a: float, b: float) -> float | None:
    """The value of two numbers, where it is a finite number."""
    try:
        if op not in _ARITHMETIC:
            return None
        value = _ARITHMETIC[op](a, b)
        return value if isinstance(value, (int, float)) and abs(value) < 1e300 else None
    except ArithmeticError:
        return None


def unary(op: str, x: Term, pos: Pos) -> Term:
    """neg and the elementwise functions of one argument."""
    if op == "neg" and is_num(x):
        return num(-x["value"], pos)
    if op == "neg" and x.op == "neg":
        return x.args[0]
    return term(op, x, shape=x.shape, pos=pos)


def power(x: Term, e: Term, pos: Pos) -> Term:
    """x**e; that e is constant is checked by the caller."""
    if e.shape:
        raise error("wrong-type", f"an exponent is a scalar, not {show(e.shape)}", e.pos)
    if is_num(e, 1):
        return x
    if is_num(x) and is_num(e) and (folded := _fold("pow", x["value"], e["value"])) is not None:
        return num(folded, pos)
    return term("pow", x, e, shape=x.shape, pos=pos)


def transpose(x: Term, pos: Pos) -> Term:
    if len(x.shape) != 2:
        raise error("wrong-type", f".T is the transpose of a matrix, not of {show(x.shape)}", pos,
                    hint="outer(a, b) makes a matrix of two vectors, dot(a, b) a scalar" if x.shape else None)
    if x.op == "transpose":
        return x.args[0]
    return term("transpose", x, shape=x.shape[::-1], pos=pos)


def matmul(a: Term, b: Term, pos: Pos) -> Term:
    """matrix @ matrix or matrix @ vector."""
    ranks = (len(a.shape), len(b.shape))
    if ranks not in ((2, 2), (2, 1)):
        hint = {(1, 1): "dot(a, b) is their product, outer(a, b) the matrix",
                (1, 2): "write the matrix first: S.T @ q"}.get(ranks, "a scalar multiplies with *")
        raise error("shape-mismatch", f"'@' takes matrix @ matrix or matrix @ vector; here it is {show(a.shape)} with "
                    f"{show(b.shape)}", pos, hint=hint)
    if a.shape[1] != b.shape[0]:
        hint = "equal sizes need equal names"
        if a.shape[0] == b.shape[0]:
            hint = "the left one may want a transpose, S.T"
        raise error("shape-mismatch", f"'@' needs equal inner sizes; here it is {show(a.shape)} with {show(b.shape)}",
                    pos, hint=hint)
    return term("matmul", a, b, shape=(a.shape[0], *b.shape[1:]), pos=pos)


def want(t: Term, ranks: tuple[int, ...], fn: str, pos: Pos, hint: str | None = None) -> None:
    """Raises unless the term's rank is one of these."""
    if len(t.shape) not in ranks:
        words = " or ".join(("a scalar", "a vector", "a matrix")[r] for r in ranks)
        raise error("wrong-type", f"{fn} takes {words}, not {show(t.shape)}", pos, hint=hint)


def same(a: Term, b: Term, fn: str, pos: Pos) -> None:
    """Raises unless both shapes are equal."""
    if a.shape != b.shape:
        raise error("shape-mismatch", f"{fn} takes two equal shapes; here it is {show(a.shape)} with {show(b.shape)}",
                    pos, hint="equal sizes need equal names" if len(a.shape) == len(b.shape) else None)


def total(op: str, x: Term, axis: int | None, pos: Pos) -> Term:
    """sum (axis None, 0: down, 1: along rows), mean, norm."""
    if axis is not None:
        want(x, (2,), f"sum(x, {axis})", pos, hint="sum(x) is over all entries")
        return term("sum", x, shape=(x.shape[1 - axis],), pos=pos, axis=axis)
    if op == "norm":
        return term("norm", x, pos=pos)
    if not x.shape:
        return x
    return term("sum", x, pos=pos, axis=None) if op == "sum" else term("mean", x, pos=pos)


def index(x: Term, i: Term, pos: Pos) -> Term:
    """An entry of a vector or a row of a matrix."""
    want(x, (1, 2), "x[i]", pos)
    if i.shape:
        raise error("wrong-type", f"an index is a scalar, not {show(i.shape)}", i.pos)
    if is_num(i):
        value, size = i["value"], x.shape[0]
        if not isinstance(value, int) or value < 0 or (isinstance(size, int) and value >= size):
            raise error("bad-index", f"{value} is not an index of {show(x.shape)}", pos, hint="indices count from 0")
    return term("index", x, i, shape=x.shape[1:], pos=pos)


