"""grad(S) of the objective as plain terms: reverse mode over the typed terms, by one table.

A cotangent has its value's shape. `where`, minimum, maximum, abs, sign and norm follow the language's conventions:
half to each side of a tie, 0 at 0, and a branch that is not taken adds nothing, whatever its own derivative is there.
"""
from __future__ import annotations

import math
from dataclasses import replace
from typing import Callable, Iterator

from ..diagnostics import NotLowered
from .branches import live, masked
from .model import Model
from .terms import Shape, Term, term, walk
from .tidy import apply, bilinear, is_zero, less, minus, ones, over, plus, power, rebuilt, size, spread, times, total, turn, where
from .typed import num

EPS = 1e-6                       # of l2norm and layernorm, from the spec language
WIDEST = 64                      # tokens of a window that may be written out one by one
Pairs = Iterator[tuple[Term, Term]]


def expand_gradients(model: Model) -> Model:
    """The model with every `grad` in `update` written out.

    Ensures: no `grad` is left unless `gradient: {chunk: ..}` asks for another one than the token's.
    """
    if model.objective is None or model.gradient_chunk is not None:
        return model
    return replace(model, update=_Expand(model).all(model.update))


class _Expand:
    def __init__(self, model: Model):
        self.model = model
        self.per_token = {n for n, i in model.inputs.items() if i.per == "token"}
        self.gradients: dict[str, Term] = {}
        self.done: dict[int, Term] = {}

    def all(self, terms: dict[str, Term]) -> dict[str, Term]:
        return {name: self.expand(t) for name, t in terms.items()}

    def expand(self, t: Term) -> Term:
        for node in walk(t):
            args = tuple(self.done[id(a)] for a in node.args)
            if node.op == "grad":
                self.done[id(node)] = self.grad(node, args)
            else:
                same = all(a is b for a, b in zip(args, node.args))
                self.done[id(node)] = node if same else rebuilt(node, args)
        return self.done[id(t)]

    def grad(self, t: Term, at: tuple[Term, ...]) -> Term:
        name = t["state"]
        here = term("state", shape=t.shape, name=name, when="old")
        if name not in self.gradients:
            assert self.model.objective is not None
            found = gradient(self.model.objective, here, self.per_token)
            self.gradients[name] = spread(found, t.shape)
        return substitute(self.gradients[name], here, at[0]) if at else self.gradients[name]


def substitute(t: Term, old: Term, new: Term) -> Term:
    """t with `new` for the leaf `old`."""
    done = {id(old): new}
    for node in walk(t):
        if id(node) not in done:
            args = tuple(done[id(a)] for a in node.args)
            done[id(node)] = node if all(a is b for a, b in zip(args, node.args)) else rebuilt(node, args)
    return done[id(t)]


def gradient(objective: Term, wrt: Term, per_token: set[str]) -> Term:
    """The derivative of a scalar by a leaf, zero as a number."""
    return _Reverse(wrt, per_token).vjp(objective, num(1))


class _Reverse:
    def __init__(self, wrt: Term, per_token: set[str]):
        self.wrt, self.per_token = wrt, per_token

    def vjp(self, root: Term, cotangent: Term) -> Term:
        """The cotangent of the leaf for one of `root`, zero as a number."""
        depends, nodes = {id(self.wrt)}, list(walk(root))
        for node in nodes:
            if any(id(a) in depends for a in node.args):
                depends.add(id(node))
        counts = live(nodes, root, ELEMENTWISE)
        cotangents: dict[int, Term] = {id(root): cotangent}
        for node in reversed(nodes):
            g = cotangents.get(id(node))
            if g is None or node is self.wrt or id(node) not in depends or is_zero(g):
                continue
            g = spread(g, node.shape)
            for arg, part in (self.window(node, g) if node.op == "window" else _rule(node, g)):
                if id(arg) not in depends or is_zero(part):
                    continue
                if node.op in ELEMENTWISE and part.shape == g.shape and () not in counts[id(node)]:
                    part = masked(counts[id(node)], part)
                part = fit(part, arg.shape)
                old = cotangents.get(id(arg))
                cotangents[id(arg)] = part if old is None else plus(old, part)
        return cotangents.get(id(self.wrt), num(0))

    def window(self, y: Term, g: Term) -> Pairs:
        """A window's states are this token's, and so is the cotangent: the derivative is the window of the derivatives
        where the cotangent is the same for all tokens, else their sum written out."""
        item, n = y.args[0], y["n"]
        if not any(t.op == "input" and t["name"] in self.per_token for t in walk(g)):
            inner = self.vjp(item, g)
            yield self.wrt, num(0) if is_zero(inner) else term("window", inner, shape=inner.shape, pos=y.pos, n=n)
            return
        if n > WIDEST:
            raise NotLowered(f"the gradient of a nonlinear function of a window of more than {WIDEST} tokens", y.pos)
        for late in range(n):
            part = self.vjp(self.delayed(item, late), g)
            there = term("delay", num(1), n=late)
            yield self.wrt, part if not late else where("gt", there, num(0), part, num(0))

    def delayed(self, t: Term, n: int) -> Term:
        """The term with the inputs of n tokens ago and this token's states."""
        if n == 0:
            return t
        done: dict[int, Term] = {}

        def of(node: Term) -> Term:
            if id(node) not in done:
                if node.op == "delay":
                    done[id(node)] = term("delay", node.args[0], shape=node.shape, pos=node.pos, n=node["n"] + n)
                elif node.op == "input" and node["name"] in self.per_token:
                    done[id(node)] = term("delay", node, shape=node.shape, pos=node.pos, n=n)
                else:
                    done[id(node)] = term(node.op, *map(of, node.args), shape=node.shape, pos=node.pos, **dict(node.attrs))
            return done[id(node)]

        return of(t)


def fit(g: Term, shape: Shape) -> Term:
    """A cotangent of a broadcast value as one of its argument."""
    return g if g.shape == shape else total(g) if not shape else spread(g, shape)


# elementwise functions of one argument: (x, y = f(x)) -> f'(x), or None for 0
SLOPES: dict[str, Callable[[Term, Term], Term | None]] = {
    "neg": lambda x, y: num(-1),
    "exp": lambda x, y: y,
    "log": lambda x, y: over(num(1), x),
    "sqrt": lambda x, y: over(num(0.5), y),
    "abs": lambda x, y: apply("sign", x),
    "sign": lambda x, y: None,
    "sigmoid": lambda x, y: times(y, less(num(1), y)),
    "logsigmoid": lambda x, y: apply("sigmoid", minus(x)),
    "softplus": lambda x, y: apply("sigmoid", x),
    "tanh": lambda x, y: less(num(1), times(y, y)),
    "relu": lambda x, y: where("gt", x, num(0), num(1), num(0)),
    "silu": lambda x, y: _silu(x, apply("sigmoid", x)),
    "gelu": lambda x, y: _gelu(x),
}


def _silu(x: Term, s: Term) -> Term:
    return times(s, plus(num(1), times(x, less(num(1), s))))


def _gelu(x: Term) -> Term:
    below = times(num(0.5), plus(num(1), apply("erf", times(num(0.5 ** 0.5), x))))
    density = times(num((2 * math.pi) ** -0.5), apply("exp", times(num(-0.5), x, x)))
    return plus(below, times(x, density))


def _rule(y: Term, g: Term) -> Pairs:
    """(argument, its cotangent before `fit`) for the arguments of y."""
    if y.op in SLOPES:
        slope = SLOPES[y.op](y.args[0], y)
        if slope is not None:
            yield y.args[0], times(g, slope)
        return
    yield from RULES[y.op](y, g, *y.args)


def _sub(y: Term, g: Term, a: Term, b: Term) -> Pairs:
    yield a, g
    yield b, minus(g)


def _mul(y: Term, g: Term, a: Term, b: Term) -> Pairs:
    yield a, times(g, b)
    yield b, times(g, a)


def _div(y: Term, g: Term, a: Term, b: Term) -> Pairs:
    yield a, over(g, b)
    yield b, minus(over(times(g, y), b))


def _pow(y: Term, g: Term, x: Term, e: Term) -> Pairs:
    if not is_zero(e):
        yield x, times(g, e, power(x, less(e, num(1)) if e.op != "num" else num(e["value"] - 1)))


def _extreme(y: Term, g: Term, a: Term, b: Term) -> Pairs:
    half, better = times(num(0.5), g), "lt" if y.op == "minimum" else "gt"
    yield a, where("eq", a, b, half, where(better, a, b, g, num(0)))
    yield b, where("eq", a, b, half, where(better, a, b, num(0), g))


def _huber(y: Term, g: Term, x: Term, d: Term) -> Pairs:
    size_ = apply("abs", x)
    yield x, times(g, where("le", size_, d, x, times(d, apply("sign", x))))
    yield d, times(g, where("le", size_, d, num(0), less(size_, d)))


def _where(y: Term, g: Term, a: Term, b: Term, yes: Term, no: Term) -> Pairs:
    yield yes, where(y["op"], a, b, g, num(0))
    yield no, where(y["op"], a, b, num(0), g)


def _matmul(y: Term, g: Term, a: Term, b: Term) -> Pairs:
    """A diagonal factor gets its cotangent at once, without a square matrix on the way."""
    vector = len(b.shape) == 1
    if a.op == "diag":
        yield a.args[0], times(g, b) if vector else total(times(g, b), 1)
    else:
        yield a, bilinear("outer", g, b, a.shape) if vector else bilinear("matmul", g, turn(b), a.shape)
    if b.op == "diag":
        yield b.args[0], total(times(a, g), 0)
    else:
        yield b, bilinear("matmul", turn(a), g, b.shape)


def _outer(y: Term, g: Term, a: Term, b: Term) -> Pairs:
    yield a, bilinear("matmul", g, b, a.shape)
    yield b, bilinear("matmul", turn(g), a, b.shape)


def _diag(y: Term, g: Term, a: Term) -> Pairs:
    yield a, total(times(g, _eye(a.shape[0])), 1)


def _eye(dim: str | int) -> Term:
    return term("eye", shape=(dim, dim), dim=dim)


def _solve(y: Term, g: Term, a: Term, b: Term) -> Pairs:
    back = term("solve", turn(a), g, shape=b.shape, pos=y.pos)
    yield b, back
    yield a, minus(bilinear("outer", back, y, a.shape) if len(b.shape) == 1 else bilinear("matmul", back, turn(y), a.shape))


def _sum(y: Term, g: Term, x: Term) -> Pairs:
    axis = y["axis"]
    if axis is None:
        yield x, spread(g, x.shape)
    else:
        line = ones((x.shape[axis],))
        yield x, bilinear("outer", *((line, g) if axis == 0 else (g, line)), x.shape)


def _mean(y: Term, g: Term, x: Term) -> Pairs:
    yield x, spread(over(g, times(*map(size, x.shape))), x.shape)


def _norm(y: Term, g: Term, x: Term) -> Pairs:
    yield x, times(where("gt", y, num(0), over(g, where("gt", y, num(0), y, num(1))), num(0)), x)


# -- along the last axis: a number per row of a matrix, one for a vector -----------------------------------------------

def _rows(x: Term) -> Term:
    return total(x) if len(x.shape) == 1 else total(x, 1)


def _wide(r: Term, shape: Shape) -> Term:
    """A number per row, for every entry of the row."""
    return r if len(shape) == 1 else bilinear("outer", r, ones(shape[1:]), shape)


def _softmax(y: Term, g: Term, x: Term) -> Pairs:
    yield x, times(y, less(g, _wide(_rows(times(g, y)), x.shape)))


def _l2norm(y: Term, g: Term, x: Term) -> Pairs:
    length = apply("sqrt", plus(_rows(power(x, num(2))), num(EPS)))
    along = _wide(_rows(times(g, y)), x.shape)
    yield x, over(less(g, times(y, along)), _wide(length, x.shape))


def _layernorm(y: Term, g: Term, x: Term) -> Pairs:
    def mean(t: Term) -> Term:
        return _wide(over(_rows(t), size(x.shape[-1])), x.shape)
    centred = less(x, mean(x))
    scale = apply("sqrt", plus(over(_rows(power(centred, num(2))), size(x.shape[-1])), num(EPS)))
    across = less(g, times(y, mean(times(g, y))))
    yield x, over(less(across, mean(across)), _wide(scale, x.shape))      # the mean last: y's own is 0 only to a roundoff of x


def _index(y: Term, g: Term, x: Term, i: Term) -> Pairs:
    chosen = term("index", _eye(x.shape[0]), i, shape=x.shape[:1], pos=y.pos)
    yield x, times(g, chosen) if len(x.shape) == 1 else bilinear("outer", chosen, g, x.shape)


RULES: dict[str, Callable[..., Pairs]] = {
    "add": lambda y, g, a, b: ((x, g) for x in (a, b)),
    "sub": _sub, "mul": _mul, "div": _div, "pow": _pow, "minimum": _extreme, "maximum": _extreme, "huber": _huber,
    "where": _where, "matmul": _matmul, "outer": _outer, "diag": _diag, "solve": _solve, "sum": _sum, "mean": _mean,
    "norm": _norm, "softmax": _softmax, "l2norm": _l2norm, "layernorm": _layernorm, "index": _index,
    "transpose": lambda y, g, x: ((x, turn(g)) for _ in (0,)),
    "dot": _mul,
    "spread": lambda y, g, x: ((x, total(g)) for _ in (0,)),
}
ELEMENTWISE = {*SLOPES, "mul", "div", "pow", "huber", "minimum", "maximum"}
