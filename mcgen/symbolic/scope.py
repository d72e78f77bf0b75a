"""One namespace: every name of a spec, what kind of thing it is, and where it was declared."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping

from ..diagnostics import NOWHERE, Diagnostic, Pos
from ..spec.nodes import Cache, Input, Rule, Spec
from .calls import BUILTINS
from .terms import Shape

CALL_KEYWORDS = frozenset({"memory", "return_memory", "return_weights", "cu_seqlens"})
ONLINE = frozenset({"y", "score", "summary", "age", "count", "level"})
RESERVED = frozenset({"B", "T", "H"}) | ONLINE | CALL_KEYWORDS | BUILTINS
WORDS = {"input": "an input", "head": "an input", "dim": "a dimension", "constant": "a constant", "let": "a let name",
         "state": "a state", "function": "a function", "keyword": "the keyword of a state's start"}


@dataclass(frozen=True)
class Entry:
    """A declared name. kind: input, head (an input per head), dim, constant, let, state, function."""

    name: str
    kind: str
    pos: Pos
    cache: bool = False
    order: int = 0


class Scope:
    """All names of a spec. `problems` are its clashes and reserved names."""

    def __init__(self, spec: Spec):
        self.entries: dict[str, Entry] = {}
        self.problems: list[Diagnostic] = []
        self.bound: dict[str, bool] = {}          # dim -> whether a call always binds it
        rule, cache = spec.rule, spec.cache
        for name in rule.dims:
            self._add(name, "dim", rule.places.get(("dims", name), rule.dims[name].pos))
            self.bound[name] = True
        self._inputs(rule.inputs, False)
        for state in rule.state.values():
            self._add(state.name, "state", state.pos)
            self._dims(state.shape, state.pos, False, state.init == "learned")
        self._table(rule, "constants", "constant", False)
        self._table(rule, "let", "let", False)
        for i, function in enumerate(rule.functions.values()):
            self._add(function.name, "function", function.pos, order=i)
        if cache is not None:
            self._inputs(cache.inputs, True)
            self._table(cache, "constants", "constant", True)
            self._table(cache, "let", "let", True)
        for state in rule.state.values():
            if state.init == "learned" and f"{state.name}_init" in self.entries:
                clash = self.entries[f"{state.name}_init"]
                self.problems.append(Diagnostic(
                    "name-clash", f"{clash.name!r} is {WORDS[clash.kind]} and the argument that gives the learned "
                    f"start of state {state.name!r}", clash.pos, notes=(f"the state is declared at {state.pos}",)))

    def _table(self, block: Rule | Cache, key: str, kind: str, cache: bool) -> None:
        for i, (name, expr) in enumerate(getattr(block, key).items()):
            self._add(name, kind, block.places.get((key, name), expr.pos), cache, i)

    def _inputs(self, inputs: Mapping[str, Input], cache: bool) -> None:
        for i in inputs.values():
            self._add(i.name, "input" if i.per == "token" else "head", i.pos, cache)
        for i in inputs.values():
            self._dims(i.shape, i.pos, cache, i.default is None)

    def _dims(self, shape: Shape, pos: Pos, cache: bool, binds: bool) -> None:
        for dim in shape:
            if isinstance(dim, str):
                old = self.entries.get(dim)
                if old is None or old.kind != "dim":
                    self._add(dim, "dim", pos, cache)
                self.bound[dim] = self.bound.get(dim, False) or binds

    def _add(self, name: str, kind: str, pos: Pos, cache: bool = False, order: int = 0) -> None:
        old = self.entries.get(name)
        if name in RESERVED:
            what = "a function" if name in BUILTINS else "a reserved name"
            self.problems.append(Diagnostic("reserved-name", f"{name!r} is {what} of the language and can't be "
                                            f"{WORDS[kind]}", pos, "choose another name"))
        elif old is not None:
            if old.kind in ("input", "head") and kind in ("input", "head"):
                message = f"both the rule and the cache have an input {name!r}"
            else:
                message = f"{name!r} is both {WORDS[old.kind]} and {WORDS[kind]}"
            first = f"first declared at {old.pos}" if old.pos is not NOWHERE else "declared twice"
            self.problems.append(Diagnostic("name-clash", message, pos, "rename one of them", (first,)))
        else:
            self.entries[name] = Entry(name, kind, pos, cache, order)
