"""Matrices that are symmetric and nowhere negative, x . A x >= 0 for every x: a system of one is solved with half the work and no pivots."""
from __future__ import annotations

from .algebra import Algebra
from .model import Model
from .terms import Term, term

_POSITIVE = {"exp", "sigmoid", "softplus", "relu", "abs", "norm", "sqrt", "softmax", "mixsoftmax", "eye"}
_KEEPING = {"spread", "sum", "mean", "diag", "transpose", "delay", "window"}          # of nonnegative entries make such ones
_SUMS = {"add", "delay", "window", "transpose"}                                     # of semidefinite matrices make such ones


class Definite:
    """Proofs for a model, knowing its inputs' domains; its states by induction over tokens: those of which all updates keep what they start with."""

    def __init__(self, model: Model):
        self.model, self.algebra = model, Algebra(model.inputs)
        self.states = {n for n, s in model.states.items() if len(s.shape) == 2 and s.shape[0] == s.shape[1] and self._starts(n)}
        if model.cache is not None and model.cache.mix == "states" and not self.nonnegative(model.cache.weight):
            self.states = set()
        while self.states != (kept := {n for n in self.states if all(map(self.semidefinite, self._steps(n)))}):
            self.states = kept

    def semidefinite(self, t: Term) -> bool:
        """Whether a square matrix is proved symmetric with x . A x >= 0 for every x."""
        args = t.args
        match t.op:
            case "state":
                return t["name"] in self.states
            case "eye":
                return True
            case "diag" | "spread":
                return self.nonnegative(args[0])
            case "outer":
                one, other = map(_scaled, args)
                return args[0] is args[1] or (one[0] is other[0] and all(map(self.nonnegative, one[1] + other[1])))
            case "matmul":
                return self._product(t)
            case "mul" | "div":                              # of two such matrices entry by entry too (Schur)
                return all(self.semidefinite(a) if a.shape else self.nonnegative(a) for a in args) and (t.op == "mul" or not args[1].shape)
            case "where":
                return all(map(self.semidefinite, args[2:])) and not any(a.shape for a in args[:2])
        return t.op in _SUMS and all(a.shape == t.shape and self.semidefinite(a) for a in args)

    def nonnegative(self, t: Term) -> bool:
        """Whether every entry of a scalar, vector or matrix is proved >= 0."""
        if not t.shape and self.algebra.nonnegative(t):
            return True
        match t.op:
            case "num":
                return t["value"] >= 0
            case "const":
                return self.nonnegative(self.model.constants[t["name"]])
            case "input":
                domain = self.model.inputs[t["name"]].domain
                return domain.kind == "interval" and domain.lo >= 0
            case "mul" | "dot" if t.args[0] is t.args[1]:
                return True
            case "online":
                return t["name"] in ("age", "count", "level")
            case "maximum":
                return any(map(self.nonnegative, t.args))
            case "pow" if t.args[1].op == "num" and t.args[1]["value"] % 2 == 0:
                return True
            case "where":
                return all(map(self.nonnegative, t.args[2:]))
            case "add" | "mul" | "div" | "minimum" | "outer" | "matmul" | "dot" | "pow":
                return all(map(self.nonnegative, t.args[:1] if t.op == "pow" else t.args))
        return t.op in _POSITIVE or (t.op in _KEEPING and self.nonnegative(t.args[0]))

    def _product(self, t: Term) -> bool:
        """X.T @ X, X @ X.T, and X @ A @ X.T of such an A."""
        left, right = t.args
        if _turned(left) is right:
            return True
        pairs = [(left.args, right)] if left.op == "matmul" else []
        if right.op == "matmul":
            pairs.append(((right.args[1], right.args[0]), left))
        return any(self.semidefinite(middle) and _turned(outermost) is other for (outermost, middle), other in pairs)

    def _starts(self, name: str) -> bool:
        state = self.model.states[name]
        return state.init == "zeros" or (name in self.model.inits and self.semidefinite(self.model.inits[name]))

    def _steps(self, name: str) -> list[Term]:
        return [m[name] for m in (self.model.update, self.model.end) if name in m]


def _turned(t: Term) -> Term:
    return t.args[0] if t.op == "transpose" else term("transpose", t, shape=t.shape[::-1])


def _scaled(t: Term) -> tuple[Term, list[Term]]:
    """A vector without the scalars that it is multiplied with or divided by, and those."""
    scalars: list[Term] = []
    while t.op == "mul" and not all(a.shape for a in t.args) or t.op == "div" and not t.args[1].shape:
        t, one = t.args if t.args[0].shape else t.args[::-1]
        scalars.append(one)
    return t, scalars
