"""The read as a function of a few reads (atoms) of the states, and what is proved about it.

An atom is the state contracted with a per-token vector: kind 'rows' (S^T x), 'cols' (S x), 'vector' (dot(z, x)), or
the vector or scalar state itself, kind 'whole'; or, kind 'free', any other expression of states, which needs the whole
states at every token. In the rewritten read an atom is the term atom(index); a query may hold atoms of lower index.
"""
from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Mapping

from ..diagnostics import NotLowered, Pos
from .linear import Form, Piece, form, has_state, times
from .terms import Term, term, walk


@dataclass(frozen=True)
class Atom:
    """state, when ('old' | 'new'), kind, query (vector term or None), shape; of kind 'free': term, no state."""

    state: str
    when: str
    kind: str
    query: Term | None
    shape: tuple
    term: Term | None = None

    @property
    def states(self) -> tuple[str, ...]:
        """All states that it reads."""
        if self.term is None:
            return (self.state,)
        return tuple(dict.fromkeys(t["name"] for t in walk(self.term) if t.op == "state"))

    @property
    def inner(self) -> tuple[int, ...]:
        """The atoms in its query."""
        return () if self.query is None else tuple(t["index"] for t in walk(self.query) if t.op == "atom")


@dataclass(frozen=True)
class Read:
    """`body`: the read over atom(index) leaves. `linear`: proved linear in the atoms, with no constant part, and these
    linear in the states. `whole`: why states are needed whole, by state."""

    atoms: tuple[Atom, ...]
    body: Term
    linear: bool
    whole: Mapping[str, NotLowered]

    @property
    def nested(self) -> bool:
        """Whether what is read depends on more than one product of a state with a vector known before."""
        return any(a.kind == "free" or a.inner for a in self.atoms)


def analyse_read(t: Term) -> Read:
    """The read taken apart. What is no product of a state with a vector becomes a free atom, as small as possible."""
    rewriter = _Rewriter(t.pos)
    body = rewriter.rewrite(t)
    read = Read(tuple(rewriter.atoms), body, degree(body) == 1, rewriter.whole)
    return replace(read, linear=read.linear and not read.nested)


class _Rewriter:
    def __init__(self, pos: Pos):
        self.pos = pos
        self.atoms: list[Atom] = []
        self.whole: dict[str, NotLowered] = {}
        self.done: dict[int, Term] = {}

    def atom(self, state: str, when: str, kind: str, query: Term | None, shape: tuple, free: Term | None = None) -> Term:
        made = Atom(state, when, kind, query, shape, free)
        if made not in self.atoms:
            self.atoms.append(made)
        return term("atom", shape=shape, pos=self.pos, index=self.atoms.index(made))

    def rewrite(self, t: Term) -> Term:
        if not has_state(t):
            return t
        found = self.done.get(id(t))
        if found is None:
            count = len(self.atoms)
            try:
                found = self._rewrite(t)
            except NotLowered as reason:
                if len(t.shape) == 2:
                    raise
                del self.atoms[count:]
                found = self.atom("", "", "free", None, t.shape, t)
                for name in self.atoms[found["index"]].states:
                    self.whole.setdefault(name, reason)
            self.done[id(t)] = found
        return found

    def _rewrite(self, t: Term) -> Term:
        if t.op == "matmul" and len(t.args[0].shape) == 2 and len(t.args[1].shape) == 1:
            matrix, vector = t.args
            if has_state(matrix):
                t = term("matmul", matrix, self.rewrite(vector), shape=t.shape, pos=t.pos)
                return self.linear(t, form(t))
        if t.op == "dot" and has_state(t.args[0]) != has_state(t.args[1]):
            if _is_plain(t.args[0] if has_state(t.args[0]) else t.args[1]):
                return self.linear(t, form(t))
        if t.op == "state" and len(t.shape) < 2:
            return self.atom(t["name"], t["when"], "whole", None, t.shape)
        if len(t.shape) == 2:
            raise NotLowered("a read that uses a whole matrix state other than by a product with a vector", t.pos)
        if any(len(a.shape) == 2 for a in t.args) and any(has_state(a) for a in t.args if len(a.shape) == 2):
            raise NotLowered(f"'{t.op}' of a matrix state in a read", t.pos)
        return term(t.op, *map(self.rewrite, t.args), shape=t.shape, pos=t.pos, **dict(t.attrs))

    def linear(self, t: Term, pieces: Form) -> Term:
        """A value of at most one axis as the sum of its pieces, over atoms."""
        total: Term | None = None
        for p in pieces:
            one = self.piece(p, t)
            total = one if total is None else term("add", total, one, shape=t.shape, pos=t.pos)
        return term("num", shape=t.shape, value=0) if total is None else total

    def piece(self, p: Piece, whole: Term) -> Term:
        vector = p.axes[0].vector if p.axes else None
        if p.state is None:
            return p.coef if vector is None else times(p.coef, vector)
        given = dict(p.given)
        name, when = p.state
        kept = next((a for a in p.axes if a.source is not None), None)
        match sorted(given), kept:
            case [], _:
                found = self.atom(name, when, "whole", None, whole.shape if kept else ())
            case [0], None:
                found = self.atom(name, when, "vector", given[0], ())
            case [i], _:
                found = self.atom(name, when, "cols" if i else "rows", given[i], whole.shape)
            case _:
                first = self.atom(name, when, "rows", given[0], given[1].shape)
                found = term("dot", first, given[1], pos=whole.pos)
        scaled = times(p.coef, found)
        if vector is None:
            return scaled
        return term("mul", scaled, vector, shape=whole.shape, pos=whole.pos)


def _is_plain(z: Term) -> bool:
    """Whether a vector term is a linear form of vector states."""
    try:
        return all(p.state is None or (not p.given and p.axes[0].source is not None) for p in form(z))
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
