"""The built-in functions: how many arguments they take and the types of these. One line or one function each."""
from __future__ import annotations

from typing import Callable

from ..diagnostics import Pos
from .terms import Term, term
from .typed import elementwise, matmul, same, show, total, unary, want
from ..diagnostics import error

UNARY = ("exp", "log", "sqrt", "abs", "sign", "sigmoid", "logsigmoid", "softplus", "tanh", "relu", "silu", "gelu")
BINARY = ("minimum", "maximum", "huber")
ROWWISE = ("softmax", "l2norm", "layernorm")
SPECIAL = ("where", "sum", "eye", "delay", "window", "after", "grad", "prev", "new")


def _unary(op: str) -> Callable[..., Term]:
    return lambda pos, x: unary(op, x, pos)


def _binary(op: str) -> Callable[..., Term]:
    def make(pos: Pos, x: Term, y: Term) -> Term:
        if op == "huber" and y.shape:
            raise error("wrong-type", f"the threshold of huber is a scalar, not {show(y.shape)}", pos)
        return elementwise(op, x, y, pos)
    return make


def _rowwise(op: str) -> Callable[..., Term]:
    def make(pos: Pos, x: Term) -> Term:
        hint = "softmax of a scalar runs across memories and stands only in a cache's weight" if op == "softmax" else None
        want(x, (1, 2), op, pos, hint)
        return term(op, x, shape=x.shape, pos=pos)
    return make


def _dot(pos: Pos, a: Term, b: Term) -> Term:
    want(a, (1,), "dot", pos, "sum(a * b) sums the products of all entries")
    want(b, (1,), "dot", pos, "sum(a * b) sums the products of all entries")
    same(a, b, "dot", pos)
    return term("dot", a, b, pos=pos)


def _outer(pos: Pos, a: Term, b: Term) -> Term:
    want(a, (1,), "outer", pos)
    want(b, (1,), "outer", pos)
    return term("outer", a, b, shape=(a.shape[0], b.shape[0]), pos=pos)


def _diag(pos: Pos, a: Term) -> Term:
    want(a, (1,), "diag", pos)
    return term("diag", a, shape=(a.shape[0], a.shape[0]), pos=pos)


def _solve(pos: Pos, a: Term, b: Term) -> Term:
    want(a, (2,), "solve", pos)
    want(b, (1, 2), "solve", pos)
    if a.shape[0] != a.shape[1] or a.shape[1] != b.shape[0]:
        raise error("shape-mismatch", f"solve takes a square matrix and as many rows; here it is {show(a.shape)} with "
                    f"{show(b.shape)}", pos)
    return term("solve", a, b, shape=b.shape, pos=pos)


# name -> (number of arguments, function from the place and the arguments)
PLAIN: dict[str, tuple[int, Callable[..., Term]]] = {
    **{op: (1, _unary(op)) for op in UNARY},
    **{op: (2, _binary(op)) for op in BINARY},
    **{op: (1, _rowwise(op)) for op in ROWWISE},
    "mean": (1, lambda pos, x: total("mean", x, None, pos)),
    "norm": (1, lambda pos, x: total("norm", x, None, pos)),
    "dot": (2, _dot),
    "outer": (2, _outer),
    "diag": (1, _diag),
    "solve": (2, _solve),
}

# name -> (fewest, most) arguments of the calls that elaboration handles itself
ARITY: dict[str, tuple[int, int]] = {
    **{name: (n, n) for name, (n, _) in PLAIN.items()},
    "where": (3, 3), "sum": (1, 2), "eye": (1, 1), "delay": (2, 2), "window": (2, 2), "after": (1, 1),
    "grad": (1, 1), "prev": (1, 1), "new": (1, 1),
}
BUILTINS = frozenset(ARITY)
# what other languages have, and how it is written here
ELSEWHERE = {
    "max": "maximum(a, b)", "min": "minimum(a, b)", "clip": "minimum(maximum(x, lo), hi)", "clamp": "minimum(maximum(x, lo), hi)",
    "transpose": "S.T", "matmul": "A @ B", "mm": "A @ B", "bmm": "A @ B", "einsum": "A @ B, dot(a, b) or outer(a, b)", "inner": "dot(a, b)",
    "pow": "x**2", "square": "x**2", "normalize": "l2norm(x)", "inv": "solve(A, b)", "inverse": "solve(A, b)", "roll": "delay(x, 1)",
    "shift": "delay(x, 1)", "elu": "where(x > 0, x, exp(x) - 1)", "rsqrt": "1 / sqrt(x)", "identity": "eye(K)", "swish": "silu(x)",
}
OPERATORS = {"+": "add", "-": "sub", "*": "mul", "/": "div"}


def binary(op: str, a: Term, b: Term, pos: Pos) -> Term:
    """The operators + - * / @."""
    return matmul(a, b, pos) if op == "@" else elementwise(OPERATORS[op], a, b, pos)
