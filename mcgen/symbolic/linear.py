"""Abstract interpretation of terms that are linear in the states: sums of pieces, each one way from a state to a value.

A piece takes a state's axes, contracts some with vectors, scales the ones that it keeps by vectors, and puts what it
has along the axes of its value, beside axes that are vectors of their own:

    coef * S                 both axes kept                            diag(a) @ S      axis 0 kept, times a
    coef * S.T @ y           axis 1 kept, axis 0 contracted with y     outer(x, S.T @ y)     x, then axis 1
    coef * outer(k, v)       no state: a write                         dot(z, y) * x    axis 0 contracted, then x

Sums of pieces, and their products by stateless values, are such sums. What is none is refused with the smallest reason.
"""
from __future__ import annotations

from dataclasses import dataclass

from ..diagnostics import NotLowered
from .terms import Shape, Term, term, walk


def num(value: float, shape: Shape = ()) -> Term:
    """A number; with a shape, the vector that has it in every place."""
    return term("num", shape=shape, value=value)


def times(s: Term, x: Term) -> Term:
    """scalar * term, with numbers folded and in front."""
    if _numbered(s):
        return times(s.args[0], times(s.args[1], x))
    if _numbered(x):
        n, rest = x.args
        return times(num(s["value"] * n["value"]), rest) if s.op == "num" else times(n, times(s, rest))
    if s.op == "num" and s["value"] == 1:
        return x
    if x.op == "num" and x["value"] == 1 and not x.shape:
        return s
    if s.op == "num" and x.op == "num" and not x.shape:
        return num(s["value"] * x["value"])
    if x.op == "num" and not x.shape:
        s, x = x, s
    return term("mul", s, x, shape=x.shape, pos=x.pos if x.pos.line else s.pos)


def _numbered(t: Term) -> bool:
    return t.op == "mul" and t.args[0].op == "num" and t.args[0].shape == ()


def plus(x: Term, y: Term) -> Term:
    """The sum of two terms of equal shapes, or of a scalar with a vector."""
    return term("add", x, y, shape=x.shape or y.shape, pos=x.pos if x.pos.line else y.pos)


def along(x: Term | None, y: Term | None) -> Term | None:
    """The elementwise product of two vectors along one axis; None is all ones."""
    if x is None or y is None:
        return y if x is None else x
    if x.op == "num" and x["value"] == 1:
        return y
    if y.op == "num" and y["value"] == 1:
        return x
    return term("mul", x, y, shape=x.shape, pos=x.pos if x.pos.line else y.pos)


def has_state(t: Term) -> bool:
    return any(x.op == "state" for x in walk(t))


@dataclass(frozen=True)
class Axis:
    """One axis of a piece. source: the state's axis that it is (None: of its own). vector: what is written along it, or
    what a state's axis is multiplied by (None: 1)."""

    source: int | None = None
    vector: Term | None = None


@dataclass(frozen=True)
class Piece:
    """coef: a scalar. state: (name, 'old' | 'new'), or None for a write. given: the state's contracted axes, with what."""

    coef: Term
    axes: tuple[Axis, ...]
    state: tuple[str, str] | None = None
    given: tuple[tuple[int, Term], ...] = ()

    def scaled(self, s: Term) -> "Piece":
        return Piece(times(s, self.coef), self.axes, self.state, self.given)

    def delayed(self, n: int) -> "Piece":
        """With the inputs of n tokens ago and the state of this one; nothing where there is no such token."""
        if n == 0:
            return self
        late = lambda t: None if t is None else delay(t, n)
        return Piece(delay(self.coef, n), tuple(Axis(a.source, late(a.vector)) for a in self.axes), self.state,
                     tuple((i, delay(x, n)) for i, x in self.given))


Form = tuple[Piece, ...]


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
    """The pieces of a term. Raises NotLowered with the smallest part that has none."""
    return _Forms().form(t)


class _Forms:
    """Forms of a term's parts, each found once: functions of a spec share them."""

    def __init__(self) -> None:
        self.known: dict[int, Form] = {}

    def form(self, t: Term) -> Form:
        found = self.known.get(id(t))
        if found is None:
            found = self.known[id(t)] = self._form(t) if has_state(t) else self._stateless(t)
        return found

    def _form(self, t: Term) -> Form:
        match t.op:
            case "state":
                return (Piece(num(1.0), tuple(map(Axis, range(len(t.shape)))), (t["name"], t["when"])),)
            case "add" if t.args[0].shape == t.args[1].shape:
                return self.form(t.args[0]) + self.form(t.args[1])
            case "sub" if t.args[0].shape == t.args[1].shape:
                return self.form(t.args[0]) + tuple(p.scaled(num(-1.0)) for p in self.form(t.args[1]))
            case "neg":
                return tuple(p.scaled(num(-1.0)) for p in self.form(t.args[0]))
            case "transpose":
                return tuple(Piece(p.coef, p.axes[::-1], p.state, p.given) for p in self.form(t.args[0]))
            case "mul" | "dot" | "outer" | "matmul":
                if all(map(has_state, t.args)):
                    raise NotLowered("a product of two values that both depend on a state (a rule that is not affine)", t.pos)
                return getattr(self, "_" + t.op)(t, *t.args)
            case "div" if not has_state(t.args[1]):
                return self._mul(t, t.args[0], term("div", num(1.0), t.args[1], shape=t.args[1].shape, pos=t.pos))
            case "sum" | "mean":
                axis = dict(t.attrs).get("axis")
                whole = self.form(t.args[0])
                for i in reversed(range(len(t.args[0].shape))) if axis is None else (axis,):
                    whole = tuple(_contract(p, i, None, t.args[0].shape[i]) for p in whole)
                if t.op == "sum":
                    return whole
                count = num(1.0)
                for d in t.args[0].shape:
                    count = times(num(d) if isinstance(d, int) else term("size", dim=d), count)
                return tuple(p.scaled(term("div", num(1.0), count)) for p in whole)
            case "index" if not has_state(t.args[1]):
                dim = t.args[0].shape[0]
                place = term("index", term("eye", shape=(dim, dim), dim=dim), t.args[1], shape=(dim,), pos=t.pos)
                return tuple(_contract(p, 0, place, dim) for p in self.form(t.args[0]))
            case "window":
                return tuple(p.delayed(n) for n in range(t["n"]) for p in self.form(t.args[0]))
            case "grad":
                raise NotLowered("the gradient of an objective", t.pos)
        raise NotLowered(f"'{t.op}' of a state in an update (it needs the scan over tokens)", t.pos)

    # -- products of a form with a stateless value ---------------------------------------------------------------
    def _mul(self, t: Term, x: Term, y: Term) -> Form:
        state, other = (x, y) if has_state(x) else (y, x)
        forms = self.form(state)
        if not other.shape:
            return tuple(p.scaled(other) for p in forms)
        if not state.shape:
            return tuple(Piece(times(p.coef, w.coef), w.axes, p.state, p.given) for p in forms for w in self.form(other))
        if len(other.shape) == 1:
            return tuple(_along(p, 0, other) for p in forms)
        try:
            outers = self.form(other)
        except NotLowered:
            raise NotLowered("elementwise decay of a state (it needs the scan over tokens)", t.pos) from None
        return tuple(_along(_along(p, 0, w.axes[0].vector), 1, w.axes[1].vector).scaled(w.coef) for p in forms for w in outers)

    def _dot(self, t: Term, x: Term, y: Term) -> Form:
        state, other = (x, y) if has_state(x) else (y, x)
        return tuple(_contract(p, 0, other, other.shape[0]) for p in self.form(state))

    def _outer(self, t: Term, x: Term, y: Term) -> Form:
        left, right = self.form(x), self.form(y)
        return tuple(Piece(times(p.coef, w.coef), p.axes + w.axes, p.state or w.state, p.given or w.given)
                     for p in left for w in right)

    def _matmul(self, t: Term, x: Term, y: Term) -> Form:
        if has_state(x):
            if len(y.shape) == 1:
                return tuple(_contract(p, 1, y, y.shape[0]) for p in self.form(x))
            return tuple(_multiplied(p, 1, m) for p in self.form(x) for m in self._multiplier(y))
        return tuple(_multiplied(p, 0, (c, b, a)) for p in self.form(y) for c, a, b in self._multiplier(x))

    def _multiplier(self, t: Term) -> list[tuple[Term, Term | None, Term | None]]:
        """A stateless matrix that a state is multiplied with, as a sum of (coef, a, b): coef * outer(a, b), or coef *
        diag(a) where b is None, with None for ones."""
        match t.op:
            case "eye":
                return [(num(1.0), None, None)]
            case "diag":
                return [(num(1.0), t.args[0], None)]
            case "add":
                return self._multiplier(t.args[0]) + self._multiplier(t.args[1])
            case "sub":
                return self._multiplier(t.args[0]) + [(times(num(-1.0), c), a, b) for c, a, b in self._multiplier(t.args[1])]
            case "neg":
                return [(times(num(-1.0), c), a, b) for c, a, b in self._multiplier(t.args[0])]
            case "mul" if () in (t.args[0].shape, t.args[1].shape):
                s, x = t.args if t.args[0].shape == () else t.args[::-1]
                return [(times(s, c), a, b) for c, a, b in self._multiplier(x)]
            case "div" if t.args[1].shape == ():
                return [(term("div", c, t.args[1]), a, b) for c, a, b in self._multiplier(t.args[0])]
            case "transpose":
                return [(c, a, b) if b is None else (c, b, a) for c, a, b in self._multiplier(t.args[0])]
            case "matmul":
                return [_product(m, n) for m in self._multiplier(t.args[0]) for n in self._multiplier(t.args[1])]
        return [(p.coef, p.axes[0].vector, p.axes[1].vector) for p in self.form(t)]

    # -- writes --------------------------------------------------------------------------------------------------
    def _stateless(self, t: Term) -> Form:
        """A stateless term as writes: a scalar, a vector, a sum of outer products."""
        if t.op == "num" and t["value"] == 0:
            return ()
        if t.shape == ():
            return (Piece(t, ()),)
        if len(t.shape) == 1:
            coef, vector = split(t)
            return (Piece(coef, (Axis(None, vector),)),)
        match t.op:
            case "add" if t.args[0].shape == t.args[1].shape:
                return self.form(t.args[0]) + self.form(t.args[1])
            case "sub" if t.args[0].shape == t.args[1].shape:
                return self.form(t.args[0]) + tuple(p.scaled(num(-1.0)) for p in self.form(t.args[1]))
            case "neg":
                return tuple(p.scaled(num(-1.0)) for p in self.form(t.args[0]))
            case "mul" if t.args[0].shape == () or t.args[1].shape == ():
                s, x = t.args if t.args[0].shape == () else t.args[::-1]
                return tuple(p.scaled(s) for p in self.form(x))
            case "mul":
                return tuple(Piece(times(p.coef, w.coef), tuple(Axis(None, along(a.vector, c.vector)) for a, c in zip(p.axes, w.axes)))
                             for p in self.form(t.args[0]) for w in self.form(t.args[1]))
            case "div" if t.args[1].shape == ():
                return tuple(Piece(term("div", p.coef, t.args[1]), p.axes) for p in self.form(t.args[0]))
            case "transpose":
                return tuple(Piece(p.coef, p.axes[::-1]) for p in self.form(t.args[0]))
            case "outer":
                return self._outer(t, *t.args)
            case "window":
                return tuple(p.delayed(n) for n in range(t["n"]) for p in self.form(t.args[0]))
            case "delay":
                return tuple(p.delayed(t["n"]) for p in self.form(t.args[0]))
            case "matmul":
                left, right = t.args
                if left.op == "diag":
                    return tuple(_along(p, 0, left.args[0]) for p in self.form(right))
                if right.op == "diag":
                    return tuple(_along(p, 1, right.args[0]) for p in self.form(left))
                return tuple(_multiplied(p, 0, (c, b, a)) for p in self.form(right) for c, a, b in self._multiplier(left))
        raise NotLowered(f"a write to a matrix state that is not a sum of outer products ('{t.op}')", t.pos)


def _along(p: Piece, i: int, vector: Term | None) -> Piece:
    """The piece times a vector along its axis i."""
    axes = list(p.axes)
    axes[i] = Axis(axes[i].source, along(axes[i].vector, vector))
    return Piece(p.coef, tuple(axes), p.state, p.given)


def _contract(p: Piece, i: int, vector: Term | None, dim: str | int) -> Piece:
    """The piece's axis i contracted with a vector (None: summed)."""
    axis, rest = p.axes[i], p.axes[:i] + p.axes[i + 1:]
    if axis.source is None:
        assert axis.vector is not None
        factor = term("sum", axis.vector, axis=None) if vector is None else term("dot", axis.vector, vector, pos=vector.pos)
        return Piece(times(p.coef, factor), rest, p.state, p.given)
    found = along(axis.vector, vector)
    return Piece(p.coef, rest, p.state, (*p.given, (axis.source, num(1.0, (dim,)) if found is None else found)))


def _multiplied(p: Piece, i: int, by: tuple[Term, Term | None, Term | None]) -> Piece:
    """The piece's axis i multiplied with a matrix: `by` is (coef, a, b) for outer(a, b), contracted over a; with b None
    for a diagonal (then the vector stands in whichever place is given)."""
    coef, a, b = by
    if a is None or b is None:
        return _along(p, i, a if a is not None else b).scaled(coef)
    rest = _contract(p, i, a, a.shape[0])
    return Piece(times(coef, rest.coef), (*rest.axes[:i], Axis(None, b), *rest.axes[i:]), rest.state, rest.given)


def _product(m, n) -> tuple[Term, Term | None, Term | None]:
    """The product of two (coef, a, b) of a multiplier."""
    (c, a, b), (d, e, f) = m, n
    coef = times(c, d)
    if b is None and f is None:
        return coef, along(a, e), None
    if b is None:
        return coef, along(a, e), f
    if f is None:
        return coef, a, along(b, e)
    return times(coef, term("dot", b, e)), a, f
