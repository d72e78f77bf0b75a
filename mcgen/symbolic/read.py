"""The read as a function of a few linear reads (atoms) of the states, and what is proved about it.

An atom is the state contracted with a per-token vector: kind 'rows' (S^T x), 'cols' (S x), 'vector' (dot(z, x)), or
the vector or scalar state itself, kind 'whole'. In the rewritten read an atom is the term atom(index).
"""
from __future__ import annotations

from dataclasses import dataclass

from ..diagnostics import NotLowered, Pos
from .linear import form, has_state, times
from .terms import Term, term


@dataclass(frozen=True)
class Atom:
    """state, when ('old' | 'new'), kind, query (vector term or None), shape."""

    state: str
    when: str
    kind: str
    query: Term | None
    shape: tuple


@dataclass(frozen=True)
class Read:
    """`body`: the read over atom(index) leaves. `linear`: proved linear in the atoms, with no constant part."""

    atoms: tuple[Atom, ...]
    body: Term
    linear: bool


def analyse_read(t: Term) -> Read:
    atoms: list[Atom] = []
    body = _Rewriter(atoms, t.pos).rewrite(t)
    return Read(tuple(atoms), body, degree(body) == 1)


class _Rewriter:
    def __init__(self, atoms: list[Atom], pos: Pos):
        self.atoms, self.pos = atoms, pos
        self.done: dict[int, Term] = {}

    def atom(self, state: str, when: str, kind: str, query: Term | None, shape: tuple) -> Term:
        made = Atom(state, when, kind, query, shape)
        if made not in self.atoms:
            self.atoms.append(made)
        return term("atom", shape=shape, pos=self.pos, index=self.atoms.index(made))

    def rewrite(self, t: Term) -> Term:
        if not has_state(t):
            return t
        found = self.done.get(id(t))
        if found is None:
            found = self.done[id(t)] = self._rewrite(t)
        return found

    def _rewrite(self, t: Term) -> Term:
        if t.op == "matmul" and len(t.args[0].shape) == 2 and len(t.args[1].shape) == 1:
            matrix, vector = t.args
            if has_state(vector):
                raise NotLowered("a read that reads a state with what it read from a state", t.pos)
            return self.contract(matrix, vector, t)
        if t.op == "dot" and has_state(t.args[0]) != has_state(t.args[1]):
            z, x = t.args if has_state(t.args[0]) else t.args[::-1]
            if _is_plain(z):
                return self.dot(z, x, t)
        if t.op == "state" and len(t.shape) < 2:
            return self.atom(t["name"], t["when"], "whole", None, t.shape)
        if len(t.shape) == 2:
            raise NotLowered("a read that uses a whole matrix state other than by a product with a vector", t.pos)
        if any(len(a.shape) == 2 for a in t.args) and any(has_state(a) for a in t.args if len(a.shape) == 2):
            raise NotLowered(f"'{t.op}' of a matrix state in a read", t.pos)
        return term(t.op, *map(self.rewrite, t.args), shape=t.shape, pos=t.pos, **dict(t.attrs))

    def contract(self, matrix: Term, x: Term, whole: Term) -> Term:
        """(linear form of matrix states) @ x."""
        linear = form(matrix)
        total: Term | None = None
        for (name, when, transposed), scale in linear.states:
            part = times(scale, self.atom(name, when, "rows" if transposed else "cols", x, whole.shape))
            total = part if total is None else term("add", total, part, shape=whole.shape, pos=whole.pos)
        for w in linear.writes:
            part = times(times(w.coef, term("dot", w.value, x, pos=whole.pos)), w.key)
            total = part if total is None else term("add", total, part, shape=whole.shape, pos=whole.pos)
        return total

    def dot(self, z: Term, x: Term, whole: Term) -> Term:
        linear = form(z)
        total: Term | None = None
        for (name, when, _), scale in linear.states:
            part = times(scale, self.atom(name, when, "vector", x, ()))
            total = part if total is None else term("add", total, part, pos=whole.pos)
        for w in linear.writes:
            part = times(w.coef, term("dot", w.key, x, pos=whole.pos))
            total = part if total is None else term("add", total, part, pos=whole.pos)
        return total


def _is_plain(z: Term) -> bool:
    """Whether a vector term is a linear form of vector states."""
    try:
        return bool(form(z).states)
    except NotLowered:
        return False


def degree(t: Term) -> int | None:
    """0: no atom; 1: linear in the atoms without a constant part; None: anything else."""
    if t.op == "atom":
        return 1
    parts = [degree(a) for a in t.args]
    if all(p == 0 for p in parts):
        return 0
    match t.op:
        case "add" | "sub":
            return 1 if parts == [1, 1] else None
        case "neg" | "sum" | "mean" | "transpose" | "diag":
            return parts[0]
        case "mul" | "dot" | "outer" | "matmul":
            return 1 if sorted(map(str, parts)) == ["0", "1"] else None
        case "div":
            return 1 if parts == [1, 0] else None
        case "index":
            return parts[0] if parts[1] == 0 else None
    return None
