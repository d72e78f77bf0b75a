"""What a layer has to know of a spec: inputs, sizes of dimensions, learned states, the shape of an answer."""
from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Iterator

from ..diagnostics import UsageError, did_you_mean
from ..spec.nodes import Binary, Call, Expr, Index, Input, Name, Num, Rule, Spec, State, Unary

Shape = tuple[str | int, ...]


@dataclass(frozen=True)
class Signature:
    """A spec with numbers for its dimensions."""

    spec: Spec
    sizes: Mapping[str, int]
    inputs: Mapping[str, Input]
    learned: Mapping[str, State]
    retained: frozenset[str]        # inputs that scale an old state
    answer: int                     # length of the vector y

    def shape(self, shape: Shape) -> tuple[int, ...]:
        return tuple(s if isinstance(s, int) else self.sizes[s] for s in shape)


def resolve(spec_or_op: Any, **options: Any) -> tuple[Spec, Any]:
    """(spec, op) of a name, a path, a dict, a Spec or a ready op. Options go to `mcgen.load`."""
    from ..spec import load_spec, load_text

    if callable(spec_or_op) and hasattr(spec_or_op, "spec"):
        spec = spec_or_op.spec                       # an op made from a spec has it as text
        return spec if isinstance(spec, Spec) else load_text(spec), spec_or_op
    import mcgen

    spec = spec_or_op if isinstance(spec_or_op, Spec) else load_spec(spec_or_op)
    return spec, mcgen.load(spec_or_op, **options)


def read_signature(spec: Spec, dims: Mapping[str, int] | None, default: int) -> Signature:
    """Sizes of all dimensions: those given, `default` for the others, and the derived ones computed."""
    from ..symbolic.elaborate import elaborate

    model = elaborate(spec)
    free = [d for d in model.dims if d not in spec.rule.dims]
    given = dict(dims or {})
    for name in given:
        if name not in free:
            raise UsageError(f"{name!r} is not a dimension of {spec.name}{did_you_mean(name, free)}",
                             hint=f"its dimensions are {', '.join(free)}")
    sizes = {d: int(given.get(d, default)) for d in free}
    for name, expr in spec.rule.dims.items():
        sizes[name] = round(_number(expr, sizes))
    answer = (model.output if model.output is not None else model.read).shape
    if len(answer) != 1:
        raise UsageError(f"{spec.name} answers with the shape {list(answer)}; a layer needs a vector")
    inputs = {**spec.rule.inputs, **(spec.cache.inputs if spec.cache else {})}
    learned = {n: s for n, s in spec.rule.state.items() if s.init == "learned"}
    width = answer[0] if isinstance(answer[0], int) else sizes[answer[0]]
    return Signature(spec, sizes, inputs, learned, frozenset(_retained(spec.rule)), width)


def _number(expr: Expr, sizes: Mapping[str, int]) -> float:
    """The value of a derived dimension."""
    match expr:
        case Num(value=v):
            return v
        case Name(id=name):
            return sizes[name]
        case Unary(op="-", arg=a):
            return -_number(a, sizes)
        case Binary(op=op, left=a, right=b):
            x, y = _number(a, sizes), _number(b, sizes)
            return {"+": x + y, "-": x - y, "*": x * y, "/": x / y if y else math.nan, "**": x ** y if op == "**" else 0}[op]
    raise UsageError(f"a dimension can't be computed from {expr}")


def _retained(rule: Rule) -> set[str]:
    """Inputs in a factor that multiplies a state in its own update: `g` in `exp(g) * S + ...`."""
    found: set[str] = set()
    for state, update in rule.update.items():
        for term in _terms(update, rule):
            factors = list(_factors(term))
            if any(_is_state(f, state) for f in factors):
                for factor in factors:
                    if not _is_state(factor, state):
                        found |= set(_names(factor, rule))
    return found & set(rule.inputs)


def _terms(expr: Expr, rule: Rule) -> Iterator[Expr]:
    match expr:
        case Binary(op="+" | "-", left=a, right=b):
            yield from _terms(a, rule)
            yield from _terms(b, rule)
        case Call(fn=fn) if fn in rule.functions:
            yield from _terms(rule.functions[fn].body, rule)
        case _:
            yield expr


def _factors(expr: Expr) -> Iterator[Expr]:
    match expr:
        case Binary(op="*" | "@" | "/", left=a, right=b):
            yield from _factors(a)
            yield from _factors(b)
        case _:
            yield expr


def _is_state(expr: Expr, state: str) -> bool:
    match expr:
        case Unary(op="T", arg=a):
            return _is_state(a, state)
        case Name(id=name):
            return name == state
    return False


def _names(expr: Expr, rule: Rule) -> Iterator[str]:
    """Names in a factor, `let` names followed; `1 - x` is left out, as a large x forgets there."""
    match expr:
        case Name(id=name):
            yield from _names(rule.let[name], rule) if name in rule.let else (name,)
        case Unary(arg=a) | Index(arg=a):
            yield from _names(a, rule)
        case Binary(op="-", left=Num()):
            return
        case Binary(left=a, right=b):
            yield from _names(a, rule)
            yield from _names(b, rule)
        case Call(fn=fn, args=args):
            if fn not in ("outer", "grad"):
                for a in args:
                    yield from _names(a, rule)
