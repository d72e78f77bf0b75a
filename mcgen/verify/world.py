"""What a run of the reference knows besides its states: inputs by token, sizes, constants, and the spec's definitions."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Mapping

import torch

from ..diagnostics import UsageError
from ..spec.nodes import Call, Expr, Input, Name, Spec
from .evaluate import ROOT, Scope, _Frame
from .functions import Val
from .rounding import Rounding


def all_inputs(spec: Spec) -> dict[str, Input]:
    """Rule first, then cache, in the spec's order."""
    return {**spec.rule.inputs, **(spec.cache.inputs if spec.cache else {})}


def all_lets(spec: Spec) -> dict[str, Expr]:
    return {**spec.rule.let, **(spec.cache.let if spec.cache else {})}


@dataclass(eq=False)
class World:
    """One group of rows that are all at the same position.

    tokens: per-token input -> list of [B, H, *shape], the last `len - T` tokens before the run first.
    heads: per-head input -> [1, H, 1, *shape].  first: the absolute number of tokens[...][0], name by name.
    """

    spec: Spec
    numbers: Mapping[str, float]
    tokens: Mapping[str, list[torch.Tensor]] = field(default_factory=dict)
    first: Mapping[str, int] = field(default_factory=dict)
    heads: Mapping[str, torch.Tensor] = field(default_factory=dict)
    differentiable: bool = False
    dtype: torch.dtype = torch.float64
    rounding: Rounding | None = None

    def __post_init__(self):
        self.inputs = all_inputs(self.spec)
        self.lets = all_lets(self.spec)
        self.functions = self.spec.rule.functions
        self.objective = self.spec.rule.objective

    def input(self, name: str, token: int) -> Val:
        if name in self.heads:
            return Val(self.heads[name], len(self.inputs[name].shape))
        return Val(self.tokens[name][token - self.first[name]].unsqueeze(2), len(self.inputs[name].shape))


# -- sizes and constants ------------------------------------------------------------------------------------------------

def bind_shape(sizes: dict[str, int], what: str, shape: tuple[str | int, ...], actual: tuple[int, ...]) -> None:
    """Requires: equal ranks and sizes. Ensures: every named dim of `shape` is in `sizes`."""
    ok = len(shape) == len(actual)
    for dim, size in zip(shape, actual):
        ok = ok and (size == dim if isinstance(dim, int) else sizes.setdefault(dim, size) == size)
    if not ok:
        wanted = [d if isinstance(d, int) else f"{d}={sizes.get(d, '?')}" for d in shape]
        raise UsageError(f"{what} has the shape {list(actual)} where {wanted} is expected")


def all_numbers(spec: Spec, sizes: Mapping[str, int]) -> dict[str, float]:
    """Every dim and constant as a number: the bound dims, the derived ones, the constants, in any order of use."""
    todo = {**spec.rule.dims, **spec.rule.constants, **(spec.cache.constants if spec.cache else {})}
    known: dict[str, float] = dict(sizes)

    class Pending(dict):
        def __contains__(self, name):
            return name in known or name in todo

        def __getitem__(self, name):
            if name not in known:
                known[name] = Scope(world, 0).number(todo[name])
            return known[name]

    world = World(spec, Pending())
    for name in todo:
        try:
            world.numbers[name]
        except KeyError:
            pass                                        # a dim that isn't bound: an error where it is needed
    for name in spec.rule.dims:
        if name in known:
            known[name] = int(round(known[name]))
    return known


def sized(shape: tuple[str | int, ...], numbers: Mapping[str, float]) -> tuple[int, ...]:
    """A shape as integers."""
    missing = [d for d in shape if isinstance(d, str) and d not in numbers]
    if missing:
        raise UsageError(f"no input or state binds the dimension {missing[0]}")
    return tuple(d if isinstance(d, int) else int(numbers[d]) for d in shape)


# -- how far back an expression sees --------------------------------------------------------------------------------------

def lookback(spec: Spec, numbers: Mapping[str, float]) -> dict[str, int]:
    """Per-token input -> the number of earlier tokens that some expression of the spec may ask for."""
    inputs, lets, functions = all_inputs(spec), all_lets(spec), spec.rule.functions
    counter = Scope(World(spec, numbers), 0)
    memo: dict = {}

    def merge(*parts: dict[str, int]) -> dict[str, int]:
        out: dict[str, int] = {}
        for part in parts:
            for name, depth in part.items():
                out[name] = max(depth, out.get(name, 0))
        return out

    def deep(expr: Expr, frame: _Frame) -> dict[str, int]:
        key = (id(expr), frame)
        if key not in memo:
            memo[key] = _deep(expr, frame)
        return memo[key]

    def _deep(expr: Expr, frame: _Frame) -> dict[str, int]:
        if isinstance(expr, Name):
            if expr.id in frame:
                return deep(*frame[expr.id])
            if expr.id in lets:
                return deep(lets[expr.id], ROOT)
            return {expr.id: 0} if expr.id in inputs and inputs[expr.id].per == "token" else {}
        if isinstance(expr, Call):
            if expr.fn in ("delay", "window"):
                steps = int(counter.number(expr.args[1], frame)) - (expr.fn == "window")
                return {n: d + steps for n, d in deep(expr.args[0], frame).items()}
            inside: list[dict[str, int]] = []
            if expr.fn in functions:
                f = functions[expr.fn]
                inside.append(deep(f.body, _Frame({p: (a, frame) for p, a in zip(f.params, expr.args)})))
            if expr.fn == "grad" and spec.rule.objective is not None:
                inside.append(deep(spec.rule.objective, ROOT))
            return merge(*inside, *(deep(a, frame) for a in expr.args), *(deep(a, frame) for _, a in expr.kwargs))
        return merge(*(deep(a, frame) for a in children(expr)))

    return {n: d for n, d in merge(*(deep(e, ROOT) for e in expressions(spec))).items() if d}


def children(expr: Expr) -> tuple[Expr, ...]:
    """The direct parts of an expression."""
    parts = (getattr(expr, f, None) for f in ("arg", "left", "right", "index"))
    found = tuple(p for p in parts if isinstance(p, Expr))
    return found + tuple(expr.args) + tuple(a for _, a in expr.kwargs) if isinstance(expr, Call) else found


def expressions(spec: Spec) -> list[Expr]:
    """Every per-token expression of a spec that isn't a let, a function or the objective."""
    rule, cache = spec.rule, spec.cache
    out = [*rule.update.values(), *rule.end.values(), rule.read]
    out += [rule.output] if rule.output is not None else []
    if cache is not None:
        out += [cache.summary.expr] if cache.summary else []
        out += [cache.score] if cache.score is not None else []
        out.append(cache.weight)
    return out


def read_states(spec: Spec) -> list[str]:
    """The states that `read` uses, through functions too; a gradient in it is the online memory's, not a read state."""
    found: set[str] = set()
    seen: set[tuple[int, frozenset]] = set()

    def look(expr: Expr, hidden: frozenset) -> None:
        if (id(expr), hidden) in seen:
            return
        seen.add((id(expr), hidden))
        if isinstance(expr, Name) and expr.id in spec.rule.state and expr.id not in hidden:
            found.add(expr.id)
        if isinstance(expr, Call):
            for arg in expr.args[1:] if expr.fn == "grad" else expr.args:
                look(arg, hidden)
            for _, arg in expr.kwargs:
                look(arg, hidden)
            if expr.fn in spec.rule.functions:
                f = spec.rule.functions[expr.fn]
                look(f.body, frozenset(f.params))
        else:
            for part in children(expr):
                look(part, hidden)

    look(spec.rule.read, frozenset())
    return [s for s in spec.rule.state if s in found]


def after_calls(spec: Spec) -> list[Call]:
    """Every `after(e)` of a cache, in order of first appearance."""
    if spec.cache is None:
        return []
    lets, found, seen = all_lets(spec), [], set()

    def look(expr: Expr) -> None:
        if id(expr) in seen:
            return
        seen.add(id(expr))
        if isinstance(expr, Call) and expr.fn == "after":
            found.append(expr)
        if isinstance(expr, Name) and expr.id in lets:
            look(lets[expr.id])
        if isinstance(expr, Call) and expr.fn in spec.rule.functions:
            look(spec.rule.functions[expr.fn].body)
        for part in children(expr):
            look(part)

    for root in ([spec.cache.score] if spec.cache.score is not None else []) + [spec.cache.weight]:
        look(root)
    return found
