"""Arithmetic of terms with the clean-up that derivatives need: numbers folded and pulled to the front with the scalars
beside them, signs moved outwards, zeros dropped. `0.5 * (2 * x)` is x, `outer(-v, k)` is -outer(v, k).

Every function takes typed terms of fitting shapes and returns one. A vector or matrix whose entries are one scalar is
spread(scalar); zero of a shape is spread(0).
"""
from __future__ import annotations

from typing import Iterable, NamedTuple

from .terms import Shape, Term, term, walk
from .typed import is_num, num


class Product(NamedTuple):
    """number * scalars * body; a scalar has no body."""

    number: float
    scalars: tuple[Term, ...]
    body: Term | None


def parts(x: Term) -> Product:
    """A term as a product."""
    match x.op:
        case "num":
            return Product(x["value"], (), None)
        case "neg":
            inner = parts(x.args[0])
            return inner._replace(number=-inner.number)
        case "spread":
            inner = parts(x.args[0])
            return Product(inner.number, inner.scalars, ones(x.shape))
        case "mul":
            (n, s, a), (m, t, b) = map(parts, x.args)
            both = a if b is None else b if a is None else _both(a, b)
            return Product(n * m, s + t, both)
    return Product(1, (), x) if x.shape else Product(1, (x,), None)


def _both(a: Term, b: Term) -> Term:
    """The elementwise product of two bodies."""
    if _is_ones(a):
        return b
    return a if _is_ones(b) else term("mul", a, b, shape=a.shape, pos=a.pos)


def ones(shape: Shape) -> Term:
    return term("spread", num(1), shape=shape)


def _is_ones(x: Term) -> bool:
    return x.op == "spread" and is_num(x.args[0], 1)


def product(number: float, scalars: Iterable[Term], body: Term | None) -> Term:
    """The product as a term, the number first."""
    if number < 0:
        inner = product(-number, scalars, body)
        return term("neg", inner, shape=inner.shape, pos=inner.pos)
    scalars = tuple(scalars)
    if number == 0:
        return spread(num(0), () if body is None else body.shape)
    if body is not None and _is_ones(body):
        return spread(product(number, scalars, None), body.shape)
    factors = [*([num(number)] if number != 1 else []), *scalars, *([body] if body is not None else [])]
    if not factors:
        return num(1)
    out = factors[0]
    for factor in factors[1:]:
        out = term("mul", out, factor, shape=factor.shape or out.shape, pos=factor.pos if factor.pos.line else out.pos)
    return out


def spread(x: Term, shape: Shape) -> Term:
    """A scalar as a value of a shape."""
    return x if x.shape == shape else term("spread", x, shape=shape, pos=x.pos)


def is_zero(x: Term) -> bool:
    return is_num(x, 0) or x.op == "spread" and is_num(x.args[0], 0)


def times(*xs: Term) -> Term:
    number, scalars, body = 1.0, (), None
    for x in xs:
        n, s, b = parts(x)
        number, scalars = number * n, scalars + s
        body = b if body is None else body if b is None else _both(body, b)
    return product(_whole(number), scalars, body)


def minus(x: Term) -> Term:
    return times(num(-1), x)


def over(x: Term, y: Term) -> Term:
    """x / y."""
    n, scalars, body = parts(x)
    m, below, rest = parts(y)
    if not below and rest is None and m:
        return product(_whole(n / m), scalars, body)
    if is_zero(x):
        return spread(num(0), y.shape or x.shape)
    if body is None or y.shape and _is_ones(body):
        top = product(1, scalars, None)
        return product(n, (), term("div", top, y, shape=y.shape, pos=y.pos)) if y.shape else \
            product(n, (term("div", top, y, pos=y.pos),), None)
    return product(n, scalars, term("div", body, y, shape=body.shape, pos=body.pos))


def plus(x: Term, y: Term) -> Term:
    """x + y. Both of one shape, or one a scalar."""
    shape = x.shape or y.shape
    if is_zero(x) or is_zero(y):
        return spread(y if is_zero(x) else x, shape)
    if x is y:
        return times(num(2), x)
    if y.op == "neg":
        return term("sub", x, y.args[0], shape=shape, pos=x.pos)
    if x.op == "neg":
        return term("sub", y, x.args[0], shape=shape, pos=y.pos)
    return term("add", x, y, shape=shape, pos=x.pos)


def less(x: Term, y: Term) -> Term:
    """x - y."""
    return plus(x, y.args[0]) if y.op == "neg" else minus(y) if is_zero(x) and y.shape else \
        x if is_zero(y) and x.shape else term("sub", x, y, shape=x.shape or y.shape, pos=x.pos)


def power(x: Term, e: Term) -> Term:
    """x**e for a constant e."""
    if is_num(e, 0):
        return spread(num(1), x.shape)
    return x if is_num(e, 1) else term("pow", x, e, shape=x.shape, pos=x.pos)


def apply(fn: str, x: Term) -> Term:
    """An elementwise function."""
    return term(fn, x, shape=x.shape, pos=x.pos)


def where(test: str, a: Term, b: Term, x: Term, y: Term) -> Term:
    shape = next((t.shape for t in (a, b, x, y) if t.shape), ())
    return term("where", a, b, x, y, shape=shape, pos=a.pos, op=test)


def turn(x: Term) -> Term:
    """The transpose."""
    n, scalars, body = parts(x)
    match body.op:
        case "transpose":
            body = body.args[0]
        case "outer":
            body = term("outer", *body.args[::-1], shape=x.shape[::-1], pos=body.pos)
        case "diag" | "eye":
            pass
        case "spread":
            body = ones(x.shape[::-1])
        case _:
            body = term("transpose", body, shape=x.shape[::-1], pos=body.pos)
    return product(n, scalars, body)


def bilinear(op: str, x: Term, y: Term, shape: Shape) -> Term:
    """matmul, outer or dot, their scalars pulled to the front."""
    if is_zero(x) or is_zero(y):
        return spread(num(0), shape)
    (n, s, a), (m, t, b) = parts(x), parts(y)
    made = term(op, a, b, shape=shape, pos=a.pos if a.pos.line else b.pos)
    return product(_whole(n * m), s + t, made) if shape else product(_whole(n * m), (*s, *t, made), None)


def total(x: Term, axis: int | None = None) -> Term:
    """sum(x), over all entries or down (0) or along rows (1)."""
    if not x.shape:
        return x
    n, scalars, body = parts(x)
    shape = () if axis is None else (x.shape[1 - axis],)
    if _is_ones(body):
        sizes = [size(d) for i, d in enumerate(x.shape) if axis is None or i == axis]
        return spread(times(num(n), *scalars, *sizes), shape)
    made = term("sum", body, shape=shape, pos=body.pos, axis=axis)
    return product(n, scalars, made) if shape else product(n, (*scalars, made), None)


def size(dim: str | int) -> Term:
    return num(dim) if isinstance(dim, int) else term("size", dim=dim)


def _whole(x: float) -> float:
    return int(x) if isinstance(x, float) and x.is_integer() and abs(x) < 2 ** 53 else x


def rebuilt(t: Term, args: tuple[Term, ...]) -> Term:
    """The same operation on other arguments of the same shapes, cleaned up."""
    match t.op:
        case "add":
            return plus(*args)
        case "sub":
            return less(*args)
        case "neg":
            return minus(args[0])
        case "mul":
            return times(*args)
        case "div":
            return over(*args)
        case "transpose":
            return turn(args[0])
        case "matmul" | "outer" | "dot":
            return bilinear(t.op, *args, t.shape)
        case "sum":
            return total(args[0], t["axis"])
    return term(t.op, *args, shape=t.shape, pos=t.pos, **dict(t.attrs))


def tidied(t: Term) -> Term:
    """The whole term cleaned up."""
    done: dict[int, Term] = {}
    for node in walk(t):
        done[id(node)] = rebuilt(node, tuple(done[id(a)] for a in node.args)) if node.args else node
    return done[id(t)]
