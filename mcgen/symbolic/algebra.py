"""Scalar algebra and proofs with SymPy. Terms go in, answers come out: no SymPy object leaves this module."""
from __future__ import annotations

from functools import lru_cache
from typing import Mapping

import sympy as sp

from ..spec.nodes import Domain, Input
from .terms import Term

_UNARY = {"exp": sp.exp, "log": sp.log, "sqrt": sp.sqrt, "abs": sp.Abs, "tanh": sp.tanh, "sign": sp.sign}


class Algebra:
    """Questions about scalar terms, knowing the inputs' domains. What SymPy does not know stays an opaque symbol."""

    def __init__(self, inputs: Mapping[str, Input]):
        self.inputs = inputs
        self._cache: dict[int, sp.Expr] = {}
        self._atoms: dict[int, sp.Expr] = {}

    def nonnegative(self, term: Term) -> bool:
        """Whether the term is proved >= 0 for all inputs inside their domains."""
        expr = self._sympy(term)
        if expr.is_nonnegative:
            return True
        return bool(sp.factor(sp.together(expr)).is_nonnegative)

    def equal(self, x: Term, y: Term) -> bool:
        """Whether two scalar terms are proved equal."""
        if x is y:
            return True
        gap = self._sympy(x) - self._sympy(y)
        return not _differs(gap) and sp.simplify(gap) == 0

    def _sympy(self, term: Term) -> sp.Expr:
        found = self._cache.get(id(term))
        if found is None:
            found = self._cache[id(term)] = self._convert(term)
        return found

    def _convert(self, term: Term) -> sp.Expr:
        args = [self._sympy(a) for a in term.args] if term.shape == () and all(a.shape == () for a in term.args) else None
        match term.op:
            case "num":
                return sp.nsimplify(term["value"]) if term["value"] not in (float("inf"), float("-inf")) else sp.Float(term["value"])
            case "size":
                return sp.Symbol("size_" + str(term["dim"]), positive=True, integer=True)
            case "input" if term.shape == ():
                return self._input(term["name"])
        if args is None:
            return self._opaque(term, {})
        match term.op:
            case "add":
                return args[0] + args[1]
            case "sub":
                return args[0] - args[1]
            case "mul":
                return args[0] * args[1]
            case "div":
                return args[0] / args[1]
            case "neg":
                return -args[0]
            case "pow":
                return args[0] ** args[1]
            case "sigmoid":
                return 1 / (1 + sp.exp(-args[0]))
            case "softplus":
                return sp.log(1 + sp.exp(args[0]))
            case "minimum" | "maximum":
                return (sp.Min if term.op == "minimum" else sp.Max)(*args)
            case "relu":
                return sp.Max(args[0], 0)
            case op if op in _UNARY:
                return _UNARY[op](*args)
        return self._opaque(term, {"real": True})

    def _opaque(self, term: Term, assumptions: dict) -> sp.Expr:
        if id(term) not in self._atoms:
            positive = {"nonnegative": True} if term.op in ("norm",) else assumptions or {"real": True}
            self._atoms[id(term)] = sp.Symbol(f"_t{len(self._atoms)}", **positive)
        return self._atoms[id(term)]

    def _input(self, name: str) -> sp.Expr:
        """An input inside its domain, as an expression of a nonnegative symbol: [lo, hi] is lo + (hi - lo) s / (1 + s),
        so that SymPy's assumptions see the bounds."""
        domain = self.inputs[name].domain if name in self.inputs else Domain()
        return _bounded(name, domain)


def _differs(gap: sp.Expr) -> bool:
    """Whether an expression is not zero at a point: most are not, and a proof may take SymPy minutes."""
    point = {s: sp.Rational(3 * i + 2, 7) for i, s in enumerate(sorted(gap.free_symbols, key=str))}
    value = gap.evalf(20, subs=point)
    return bool(value.is_number and value.is_finite and abs(value) > 1e-9)


@lru_cache(maxsize=None)
def _bounded(name: str, domain: Domain) -> sp.Expr:
    if domain.kind != "interval":
        return sp.Symbol(name, real=True)
    s = sp.Symbol(name, nonnegative=True)
    lo, hi = (sp.nsimplify(x) if abs(x) != float("inf") else None for x in (domain.lo, domain.hi))
    if lo is not None and hi is not None:
        return lo + (hi - lo) * s / (1 + s)
    if lo is not None:
        return lo + s
    if hi is not None:
        return hi - s
    return sp.Symbol(name, real=True)
