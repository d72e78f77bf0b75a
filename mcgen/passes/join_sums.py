"""Sums over columns of which only one sum is used, each times what is known of a token and row, are added up as one.

    p = q = 0; along V { tokens { along K { p[c, K] += x; q[c, K] += y } } }; store a[c, K] * p + q
    ->   q = 0; along V { tokens { along K { q[c, K] += a * x + y } } }; store q

Lanes of a vector are added to each other where a sum goes over columns: that takes longer than the product with a.
"""
from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Mapping

from ..ir import kernel as kr
from .join import reads_of, writes_of
from .leave_tokens import ZERO, used

MINUS = kr.Expr("num", attr=-1.0)


def join_sums(kernel: kr.Kernel) -> kr.Kernel:
    """In place. Ensures: the same values up to rounding, and no tile that is not used."""
    while found := next(filter(None, (_joined(kernel, at) for at, s in enumerate(kernel.rows) if isinstance(s, kr.Along))), None):
        kernel.rows, gone = found
        kernel.tiles = [t for t in kernel.tiles if t.name not in gone]
    return kernel


def _joined(kernel: kr.Kernel, at: int) -> tuple[list, set[str]] | None:
    """The rows with two or more sums of the loop over columns at this place joined, and the tiles that are gone."""
    loop = kernel.rows[at]
    for tokens in loop.body:
        sums = {s.dst.storage: s for s in tokens.body[0].body if isinstance(s, kr.Map) and s.accumulate and s.dst.kind == "tile"
                and s.dst.axes == ("c", tokens.body[0].axis) and not s.dst.precise and used([loop])[s.dst.storage] == 1}
        for s in kernel.rows[at + 1:] if len(sums) > 1 else ():
            if isinstance(s, (kr.Map, kr.Store)) and (found := _used_by(kernel, at, tokens, sums, s)):
                return found
    return None


def _used_by(kernel: kr.Kernel, at: int, tokens: kr.Loop, sums: Mapping[str, kr.Map], user) -> tuple[list, set[str]] | None:
    """The same for the sums that this statement alone uses."""
    before, loop, behind = kernel.rows[:at], kernel.rows[at], kernel.rows[at + 1:]
    every = used([*kernel.before, *kernel.rows, *kernel.after])
    inner = _only_for(user, behind, sums, every)
    read = Counter(r.storage for s in (user, *inner.values()) for r in reads_of(s))
    alone = {p: s for p, s in sums.items() if read[p] and every[p] == read[p] + 2 and kr.Map(s.dst, ZERO) in before}        # set to 0, added to
    form = _linear(user.value, alone, inner)
    rows = tokens.body[0]
    later = {r.storage for s in (loop, *behind) for r in writes_of(s)}
    if form is None or len(form.factors) < 2 or not all(_early(f, later, rows.axis) for term in form.factors.values() for fs in term for f in fs):
        return None
    mine = {p: alone[p] for p in form.factors}
    last = max(rows.body.index(s) for s in mine.values())
    for s in mine.values():                              # all move to the last one's place
        wanted = {r.storage for r in reads_of(s)}
        if any(wanted & {r.storage for r in writes_of(t)} for t in rows.body[rows.body.index(s) + 1:last] if t not in mine.values()):
            return None
    kept = rows.body[last].dst
    total = kr.Map(kept, _total([_times(factor, mine[p].value) for p, factor in form.factors.items()]), True)
    body = tuple(total if i == last else s for i, s in enumerate(rows.body) if i == last or s not in mine.values())
    new = replace(loop, body=tuple(replace(t, body=(replace(rows, body=body),)) if t is tokens else t for t in loop.body))
    sum_ = kr.Expr("ref", attr=kept)
    gone = {*inner, *mine} - {kept.storage}
    value = replace(user, value=_total([sum_, *form.rest]))
    return [s for s in before if s not in [kr.Map(mine[p].dst, ZERO) for p in mine if p in gone]] + [new] + \
        [value if s is user else s for s in behind if not any(s is t for t in inner.values())], gone


def _only_for(user, behind: list, sums: Mapping[str, kr.Map], every: Counter) -> dict[str, kr.Map]:
    """Tiles made of the sums of which this statement alone is made, through each other, and the statements that make them, as they
    could just before it."""
    made: dict[str, kr.Map] = {}
    for i, s in enumerate(behind):
        if s is user:
            break
        reads = {r.storage for r in reads_of(s)}
        if isinstance(s, kr.Map) and not s.accumulate and s.dst.kind == "tile" and reads & (sums.keys() | made.keys()) and \
                not any(r.storage in reads for t in behind[i + 1:_place(behind, user)] for r in writes_of(t)):
            made[s.dst.storage] = s
    found: dict[str, kr.Map] = {}
    while True:
        read = Counter(r.storage for s in (user, *found.values()) for r in reads_of(s))
        more = {name: s for name, s in made.items() if name not in found and read[name] and every[name] == read[name] + 1}
        if not more:
            return found
        found |= more


def _place(statements: list, s) -> int:
    return next(i for i, t in enumerate(statements) if t is s)


@dataclass
class _Linear:
    """factors: sum -> products of what is known, each with a number, that add up to what it is multiplied with; rest: what is added."""

    factors: dict[str, dict[tuple[kr.Expr, ...], float]] = field(default_factory=dict)
    rest: list[kr.Expr] = field(default_factory=list)

    def plus(self, other: _Linear) -> _Linear:
        made = {p: dict(term) for p, term in self.factors.items()}
        for p, term in other.factors.items():
            for fs, number in term.items():
                made.setdefault(p, {})[fs] = made.get(p, {}).get(fs, 0.0) + number
        return _Linear(made, self.rest + other.rest)

    def times(self, factor: kr.Expr) -> _Linear:
        if factor.op == "mul":
            return self.times(factor.args[0]).times(factor.args[1])
        number, more = (float(factor.attr), ()) if factor.op == "num" else (1.0, (factor,))
        made = {p: {tuple(sorted((*fs, *more), key=repr)): number * x for fs, x in term.items()} for p, term in self.factors.items()}
        return _Linear(made, [kr.Expr("mul", (factor, e)) for e in self.rest])


def _linear(e: kr.Expr, sums: Mapping[str, kr.Map], inner: Mapping[str, kr.Map]) -> _Linear | None:
    """An expression as a sum of sums times what has none of them; None where it is not one."""
    if e.op == "ref" and e.attr.storage in sums:
        return _Linear({e.attr.storage: {(): 1.0}}) if e.attr == sums[e.attr.storage].dst else None
    if e.op == "ref" and e.attr.storage in inner:
        return _linear(inner[e.attr.storage].value, sums, inner) if e.attr == inner[e.attr.storage].dst else None
    if not any(r.storage in sums or r.storage in inner for r in kr.refs_in(e)):
        return _Linear(rest=[e])
    parts = [_linear(a, sums, inner) for a in e.args]
    if e.op not in ("neg", "add", "sub", "mul") or None in parts:
        return None
    x, y = parts[0], parts[-1]
    match e.op:
        case "neg":
            return x.times(MINUS)
        case "add":
            return x.plus(y)
        case "sub":
            return x.plus(y.times(MINUS))
    if x.factors and y.factors:
        return None
    many, one = (x, y) if x.factors else (y, x)
    return many.times(_total(one.rest))


def _early(factor: kr.Expr, later: set[str], axis: str) -> bool:
    """Whether it is a number of a token and row that is there before the loop."""
    return factor.op == "ref" and factor.attr.storage not in later and set(factor.attr.axes) <= {"c", axis} and not factor.attr.precise


def _times(term: Mapping[tuple[kr.Expr, ...], float], value: kr.Expr) -> kr.Expr:
    """The value times a sum of products of numbers: of a row, before it is one of columns."""
    products = []
    for fs, number in term.items():
        factors = [*([kr.Expr("num", attr=number)] if number != 1.0 or not fs else []), *fs]
        made = factors[0]
        for f in factors[1:]:
            made = kr.Expr("mul", (made, f))
        products.append(made)
    factor = _total(products)
    return value if factor == kr.Expr("num", attr=1.0) else kr.Expr("mul", (factor, value))


def _total(terms: list[kr.Expr]) -> kr.Expr:
    made = terms[0]
    for term in terms[1:]:
        made = kr.Expr("add", (made, term))
    return made
