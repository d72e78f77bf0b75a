"""Abstract interpretation of terms that are linear in the states: what the update and the read do to a state.

A form is  sum over states of scale * state (or its transpose)  +  sum of writes, where a write is
    coef * outer(key, value)   for a matrix,     coef * key   for a vector,     coef   for a scalar.
Sums and products by stateless scalars of forms are forms. What is no form is refused with the reason.
"""
from __future__ import annotations

from dataclasses import dataclass

from ..diagnostics import NotLowered
from .terms import Shape, Term, term, walk


def num(value: float) -> Term:
    return term("num", value=value)


def times(s: Term, x: Term) -> Term:
    """scalar * term, with numbers folded."""
    if s.op == "num" and s["value"] == 1:
        return x
    if x.op == "num" and x["value"] == 1:
        return s
    if s.op == "num" and x.op == "num":
        return num(s["value"] * x["value"])
    return term("mul", s, x, shape=x.shape, pos=x.pos if x.pos.line else s.pos)


def has_state(t: Term) -> bool:
    return any(x.op == "state" for x in walk(t))


@dataclass(frozen=True)
class Write:
    """coef: scalar term. key, value: vector terms or None (see the module)."""

    coef: Term
    key: Term | None = None
    value: Term | None = None


@dataclass(frozen=True)
class Form:
    """states: (name, when, transposed) -> scalar scale. shape: of the whole."""

    states: tuple[tuple[tuple[str, str, bool], Term], ...]
    writes: tuple[Write, ...]
    shape: Shape

    def scaled(self, s: Term) -> "Form":
        return Form(tuple((k, times(s, c)) for k, c in self.states),
                    tuple(Write(times(s, w.coef), w.key, w.value) for w in self.writes), self.shape)

    def plus(self, other: "Form") -> "Form":
        merged = dict(self.states)
        for key, scale in other.states:
            merged[key] = term("add", merged[key], scale) if key in merged else scale
        return Form(tuple(merged.items()), self.writes + other.writes, self.shape)

    def transposed(self) -> "Form":
        return Form(tuple(((n, w, not t), c) for (n, w, t), c in self.states),
                    tuple(Write(w.coef, w.value, w.key) for w in self.writes), self.shape[::-1])

    def delayed(self, n: int) -> "Form":
        """The writes of n tokens ago. Requires: no state in it."""
        if n == 0:
            return self
        late = lambda t: None if t is None else delay(t, n)
        return Form((), tuple(Write(delay(w.coef, n), late(w.key), late(w.value)) for w in self.writes), self.shape)


def delay(t: Term, n: int) -> Term:
    return term("delay", t, shape=t.shape, pos=t.pos, n=n)


def split(t: Term) -> tuple[Term, Term]:
    """A vector as (scalar coefficient, vector)."""
    if t.op == "neg":
        coef, rest = split(t.args[0])
        return times(num(-1.0), coef), rest
    if t.op == "mul" and t.shape:
        x, y = t.args
        scalar, other = (x, y) if x.shape == () else (y, x)
        if scalar.shape == () and other.shape:
            coef, rest = split(other)
            return times(scalar, coef), rest
    if t.op == "div" and t.args[1].shape == () and t.shape:
        coef, rest = split(t.args[0])
        return term("div", coef, t.args[1]), rest
    return num(1.0), t


def form(t: Term) -> Form:
    """The form of a term. Raises NotLowered with the smallest part that is none."""
    if not has_state(t):
        return Form((), _writes(t), t.shape)
    match t.op:
        case "state":
            return Form((((t["name"], t["when"], False), num(1.0)),), (), t.shape)
        case "add":
            return form(t.args[0]).plus(form(t.args[1]))
        case "sub":
            return form(t.args[0]).plus(form(t.args[1]).scaled(num(-1.0)))
        case "neg":
            return form(t.args[0]).scaled(num(-1.0))
        case "transpose":
            return form(t.args[0]).transposed()
        case "mul":
            x, y = t.args
            if x.shape == () and not has_state(x):
                return form(y).scaled(x)
            if y.shape == () and not has_state(y):
                return form(x).scaled(y)
            if has_state(x) and has_state(y):
                raise NotLowered("a product of two values that both depend on a state (a rule that is not affine)", t.pos)
            raise NotLowered("elementwise decay of a state (it needs the scan over tokens)", t.pos)
        case "div" if t.args[1].shape == () and not has_state(t.args[1]):
            return form(t.args[0]).scaled(term("div", num(1.0), t.args[1]))
        case "window":
            count = t["n"]
            if has_state(t.args[0]):
                raise NotLowered("a window over terms with a state (rank-one terms over several tokens)", t.pos)
            raise AssertionError(count)
        case "matmul" if t.args[0].op == "diag" or t.args[1].op == "diag":
            raise NotLowered("diagonal decay of a state", t.pos)
        case "matmul" | "outer" | "dot":
            raise NotLowered("a rank-one term (the update reads the state)", t.pos)
        case "grad":
            raise NotLowered("the gradient of an objective", t.pos)
    raise NotLowered(f"'{t.op}' of a state in an update (it needs the scan over tokens)", t.pos)


def _writes(t: Term) -> tuple[Write, ...]:
    """A stateless term of a state's shape as writes."""
    match t.op:
        case "num" if t["value"] == 0:
            return ()
        case "add":
            if t.args[0].shape == t.args[1].shape:
                return _writes(t.args[0]) + _writes(t.args[1])
        case "sub":
            if t.args[0].shape == t.args[1].shape:
                return _writes(t.args[0]) + tuple(Write(times(num(-1.0), w.coef), w.key, w.value) for w in _writes(t.args[1]))
        case "window":
            return tuple(w for n in range(t["n"]) for w in Form((), _writes(t.args[0]), t.shape).delayed(n).writes)
        case "delay":
            return Form((), _writes(t.args[0]), t.shape).delayed(t["n"]).writes
    if t.shape == ():
        return (Write(t),)
    if len(t.shape) == 1:
        coef, vector = split(t)
        return (Write(coef, vector),)
    match t.op:
        case "neg":
            return tuple(Write(times(num(-1.0), w.coef), w.key, w.value) for w in _writes(t.args[0]))
        case "mul" if t.args[0].shape == () or t.args[1].shape == ():
            s, x = t.args if t.args[0].shape == () else t.args[::-1]
            return tuple(Write(times(s, w.coef), w.key, w.value) for w in _writes(x))
        case "div" if t.args[1].shape == ():
            return tuple(Write(term("div", w.coef, t.args[1]), w.key, w.value) for w in _writes(t.args[0]))
        case "transpose":
            return tuple(Write(w.coef, w.value, w.key) for w in _writes(t.args[0]))
        case "outer":
            (a, key), (b, value) = split(t.args[0]), split(t.args[1])
            return (Write(times(a, b), key, value),)
        case "matmul" if t.args[0].op == "diag":
            row = t.args[0].args[0]
            return tuple(Write(w.coef, term("mul", row, w.key, shape=w.key.shape, pos=t.pos), w.value) for w in _writes(t.args[1]))
        case "matmul" if t.args[1].op == "diag":
            col = t.args[1].args[0]
            return tuple(Write(w.coef, w.key, term("mul", w.value, col, shape=w.value.shape, pos=t.pos)) for w in _writes(t.args[0]))
    raise NotLowered(f"a write to a matrix state that is not a sum of outer products ('{t.op}')", t.pos)
