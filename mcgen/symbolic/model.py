"""A spec with types: every expression a term, every dimension known. The compiler's input."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Mapping

from ..diagnostics import Diagnostic
from ..spec.nodes import Input, Segments, Spec, State
from .terms import Term


@dataclass(frozen=True)
class CacheModel:
    """The cache with types. `summary` is (kind, term) with kind 'mean' or 'sum'."""

    segments: Segments
    weight: Term
    mix: str
    summary: tuple[str, Term] | None = None
    score: Term | None = None
    top: int | None = None


@dataclass(frozen=True)
class Model:
    """A typed op.

    inputs: rule first, then cache, in the spec's order. update: state -> its value after the token, every state has
    one (a state without an update line maps to its old value); `new(Z)` is already replaced by Z's term.
    dims: names that inputs and states bind, in order of first appearance. derived: further dims as terms of others.
    constants: name -> term of numbers, sizes and other constants.
    `let` names and functions are inlined; lets: let name -> its term.
    """

    name: str
    spec: Spec
    inputs: Mapping[str, Input]
    states: Mapping[str, State]
    inits: Mapping[str, Term]              # only for states whose init is an expression
    update: Mapping[str, Term]
    read: Term
    output: Term | None
    dims: tuple[str, ...]
    derived: Mapping[str, Term] = field(default_factory=dict)
    constants: Mapping[str, Term] = field(default_factory=dict)
    objective: Term | None = None          # states as state(name, 'old')
    gradient_chunk: int | None = None
    end: Mapping[str, Term] = field(default_factory=dict)   # states as state(name, 'new')
    cache: CacheModel | None = None
    lets: Mapping[str, Term] = field(default_factory=dict)
    notes: tuple[Diagnostic, ...] = ()      # legal, but worth knowing: `check` prints them
