"""The updates of all states as one affine map: groups of states that read each other, their decays, and what is written.

With S_i a state of a group, all values at one token, "before" its update:

    S_i' = sum over j of D_ij S_j + sum over writes of key_i value^T,       value = plain + sum over j of S_j^T read_j

D_ij is a number, or diagonal along one or both axes. A write whose value reads the states is a rank-one term; what is
written under the same key joins it, so that erasing and writing are one value. Contracted is always one axis of the
group's states, `contracted`; the other holds the values.
"""
from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Iterator, Mapping

from ..diagnostics import NotLowered
from .linear import Piece, form, num, plus, times
from .terms import Term, term

CROSSED = "a state's update that reads another state of another shape"
TWO_SIDED = "a state that is read along both axes by its own update"


@dataclass(frozen=True)
class Factor:
    """scalar * diag(rows) S diag(cols); None is all ones. A vector state has rows alone."""

    scalar: Term
    rows: Term | None = None
    cols: Term | None = None

    @property
    def diagonal(self) -> bool:
        return self.rows is not None or self.cols is not None

    def axis(self, i: int) -> Term | None:
        return (self.rows, self.cols)[i]


@dataclass(frozen=True)
class Write:
    """keys: state -> (coefficient, key along the contracted axis; None for a scalar state). plain: the value's stateless
    part (a vector along the other axis, a scalar where there is none; None: zero). reads: state -> what the state before
    the token is contracted with."""

    keys: tuple[tuple[str, tuple[Term, Term | None]], ...]
    plain: Term | None
    reads: tuple[tuple[str, Term], ...] = ()


@dataclass(frozen=True)
class Group:
    """states: later ones may take earlier ones over (D_ij with j before i). contracted: 0 or 1."""

    states: tuple[str, ...]
    contracted: int
    factors: Mapping[tuple[str, str], Factor]
    writes: tuple[Write, ...]

    @property
    def coupled(self) -> bool:
        return any(i != j for i, j in self.factors)

    @property
    def unknown(self) -> tuple[Write, ...]:
        """The writes whose values read the states."""
        return tuple(w for w in self.writes if w.reads)


def collect_affine(model) -> tuple[Group, ...]:
    """The groups of a model, in the order of their first states. Raises NotLowered with the place of what is not affine."""
    forms = {name: form(update) for name, update in model.update.items()}
    joined = {name: {name} for name in forms}
    for name, pieces in forms.items():
        for other in {p.state[0] for p in pieces if p.state} - {name}:
            both = joined[name] | joined[other]
            joined.update(dict.fromkeys(both, both))
    groups = dict.fromkeys(tuple(n for n in forms if n in joined[name]) for name in forms)
    return tuple(_group(model, names, forms) for names in groups)


def _group(model, names: tuple[str, ...], forms: Mapping[str, tuple[Piece, ...]]) -> Group:
    places = {n: model.update[n].pos for n in names}
    if len({model.states[n].shape for n in names}) > 1:
        raise NotLowered(CROSSED, places[names[0]])
    rank = len(model.states[names[0]].shape)
    factors: dict[tuple[str, str], Factor] = {}
    items: dict[str, list[tuple[Term, Term | None, str | None, Term | None]]] = {n: [] for n in names}
    sides: set[int] = set()
    for name in names:
        for p in forms[name]:
            if p.state is None:
                continue
            if not p.given and all(a.source == i for i, a in enumerate(p.axes)):
                one = _folded(Factor(p.coef, *(a.vector for a in p.axes)))
                old = factors.get((name, p.state[0]))
                factors[name, p.state[0]] = one if old is None else _sum(old, one, places[name])
            else:
                sides.add(_side(p, rank, places[name]))
    if len(sides) > 1:
        raise NotLowered(TWO_SIDED, places[names[0]])
    side = sides.pop() if sides else 0
    for name in names:
        for p in forms[name]:
            if p.state is not None and p.given:
                items[name].append((p.coef, p.axes[side].vector, p.state[0], p.given[0][1]))
            elif p.state is None:
                key = p.axes[side].vector if rank else None
                items[name].append((p.coef, key, None, p.axes[1 - side].vector if rank == 2 else None))
    for name in names:
        if (name, name) not in factors and (len(names) > 1 or any(source for _, _, source, _ in items[name])):
            factors[name, name] = Factor(num(0.0))
        if (name, name) not in factors:
            raise NotLowered("an update that forgets the whole state", places[name])
    order = _ordered(names, factors, places)
    if any(i != j for i, j in factors) and any(f.diagonal for f in factors.values()):
        raise NotLowered("a state that takes another one over, with a decay for each channel", places[names[0]])
    group = Group(order, side, factors, tuple(_writes(items)))
    if group.unknown and any(f.axis(1 - side) is not None for f in factors.values()):
        raise NotLowered("a rank-one term across channels that decay on their own", places[names[0]])
    return group


def _side(p: Piece, rank: int, pos) -> int:
    """The contracted axis of a rank-one term."""
    if len(p.given) != 1 or len(p.axes) != rank:
        raise NotLowered("a term that is neither a decay nor of rank one", pos)
    side = p.given[0][0]
    for i, axis in enumerate(p.axes):
        kept = i != side
        if kept and axis.source == i and axis.vector is not None:
            raise NotLowered("a value read of the state and scaled by channel, so that every channel has a triangular system of its own", pos)
        if (axis.source != i or axis.vector is not None) if kept else axis.source is not None:
            raise NotLowered("a term that is neither a decay nor of rank one", pos)
    return side


def _folded(f: Factor) -> Factor:
    """A diagonal factor with its scalar inside."""
    one = f.scalar.op == "num" and f.scalar["value"] == 1
    if one or not f.diagonal:
        return f
    if f.rows is not None:
        return Factor(num(1.0), times(f.scalar, f.rows), f.cols)
    return Factor(num(1.0), None, times(f.scalar, f.cols))


def _sum(a: Factor, b: Factor, pos) -> Factor:
    if not a.diagonal and not b.diagonal:
        return Factor(plus(a.scalar, b.scalar))
    if a.cols is None and b.cols is None:
        return Factor(num(1.0), plus(*(f.scalar if f.rows is None else f.rows for f in (a, b))))
    if a.rows is None and b.rows is None:
        return Factor(num(1.0), None, plus(*(f.scalar if f.cols is None else f.cols for f in (a, b))))
    raise NotLowered("a sum of decays along different axes", pos)


def _ordered(names, factors, places) -> tuple[str, ...]:
    """The states so that each takes over earlier ones only."""
    order: list[str] = []
    while len(order) < len(names):
        free = [n for n in names if n not in order and all(j in order or j == n for i, j in factors if i == n)]
        if not free:
            raise NotLowered("states that take each other over in a circle", places[names[0]])
        order.append(free[0])
    return tuple(order)


# -- what is written ---------------------------------------------------------------------------------------------------

def _writes(items) -> Iterator[Write]:
    """One write for each value: what is written under one key is one value, and what several keys hold in proportion too."""
    found: dict[frozenset, list] = {}
    for name, written in items.items():
        keys: dict[int, list] = {}
        for item in written:
            keys.setdefault(id(item[1]), []).append(item)
        for same in filter(None, map(_merged, keys.values())):
            signature, common = _signature(same)
            found.setdefault(signature, []).append((name, common, same[0][1], same))
    for targets in found.values():
        _, common, _, same = targets[0]
        if any(g != common for _, g, _, _ in targets):
            same = [(_monomial(c).over(common).term(), *rest) for c, *rest in same]
            targets = [(name, g.term(), key, None) for name, g, key, _ in targets]
        else:
            targets = [(name, num(1.0), key, None) for name, _, key, _ in targets]
        keys: dict[str, tuple[Term, Term | None]] = {}
        for name, g, key, _ in targets:
            keys[name] = (g, key) if name not in keys else (num(1.0), plus(times(*keys[name]), times(g, key)))
        plain: Term | None = None
        reads: dict[str, Term] = {}
        for coef, _, source, vector in same:
            part = coef if vector is None else times(coef, vector)
            if source is not None:
                reads[source] = plus(reads[source], part) if source in reads else part
            else:
                plain = part if plain is None else plus(plain, part)
        yield Write(tuple(keys.items()), plain, tuple(reads.items()))


@dataclass(frozen=True)
class _Monomial:
    """A number times powers of terms."""

    number: float
    powers: frozenset[tuple[Term, int]]

    def over(self, other: "_Monomial") -> "_Monomial":
        powers = Counter(dict(self.powers))
        powers.subtract(dict(other.powers))
        return _Monomial(self.number / other.number, frozenset((t, n) for t, n in powers.items() if n))

    def term(self) -> Term:
        result = num(1.0)
        for t, n in sorted(self.powers, key=lambda p: repr(p[0])):
            for _ in range(abs(n)):
                result = times(t, result) if n > 0 else term("div", result, t)
        return times(num(self.number), result)


def _monomial(t: Term) -> _Monomial:
    match t.op:
        case "num":
            return _Monomial(float(t["value"]), frozenset())
        case "neg":
            inner = _monomial(t.args[0])
            return _Monomial(-inner.number, inner.powers)
        case "mul" | "div":
            a, b = map(_monomial, t.args)
            if t.op == "div" and not b.number:
                return _Monomial(1.0, frozenset({(t, 1)}))
            powers = Counter(dict(a.powers))
            (powers.update if t.op == "mul" else powers.subtract)(dict(b.powers))
            number = a.number * b.number if t.op == "mul" else a.number / b.number
            return _Monomial(number, frozenset((x, n) for x, n in powers.items() if n))
    return _Monomial(1.0, frozenset({(t, 1)}))


def _merged(items) -> list:
    """Multiples of one thing as one; what they cancel is gone."""
    alike: dict[tuple, list] = {}
    for item in items:
        alike.setdefault((_monomial(item[0]).powers, *item[2:]), []).append(item)
    found = []
    for (powers, *_), same in alike.items():
        number = sum(_monomial(coef).number for coef, *_ in same)
        if len(same) == 1:
            found += same
        elif number:
            found.append((_Monomial(number, powers).term(), *same[0][1:]))
    return found


def _signature(items) -> tuple[frozenset, _Monomial]:
    """What is written, up to a common factor, and that factor."""
    monomials = [_monomial(coef) for coef, *_ in items]
    shared = dict(monomials[0].powers)
    for m in monomials[1:]:
        other = dict(m.powers)
        shared = {t: (min if n > 0 else max)(n, other[t]) for t, n in shared.items() if other.get(t, 0) * n > 0}
    common = _Monomial(monomials[0].number or 1.0, frozenset(shared.items()))
    parts = frozenset((m.over(common), source, vector) for m, (_, _, source, vector) in zip(monomials, items))
    return parts, common

