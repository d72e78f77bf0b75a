"""Typed terms: what an expression means, with every name resolved, functions inlined and equal parts shared.

A term is interned: two terms of the same operation, arguments and attributes are one object, so a spec's functions
may be inlined without the size of the graph exploding, and `is` compares meaning up to structure.

Leaves (attrs in parentheses)
    num(value)              a number
    size(dim)               the size of a named dimension, as a scalar
    const(name)             a constant of the spec, as a scalar; its value is known once dims are
    input(name)             an input at this token (or of this head)
    state(name, when)       when = 'old': before this token's update; 'new': after it
    online(name)            in a cache: score, age, level, count; in `output`: y; `summary` is online('summary')

Operations (shapes are checked where terms are made: `mcgen.symbolic.elaborate`)
    add sub mul div         two equal shapes, or a scalar with anything
    pow(x, e)               e is a term of numbers, constants and dims
    neg exp log sqrt abs sign sigmoid logsigmoid softplus tanh relu silu gelu        elementwise
    minimum maximum huber   as add
    where(op)               args a, b, x, y: x where `a op b` else y; op in lt le gt ge eq ne
    matmul transpose outer diag eye(dim) solve dot
    sum(axis) mean norm     axis None, 0 or 1 for sum
    softmax l2norm layernorm            along the last axis
    index                   args x, i
    delay(n) window(n)      over tokens
    after                   in a cache
    grad(state)             args: () or (at,): the gradient of the objective
    mixsoftmax              in a cache's weight: softmax of a scalar across memories

Made by the compiler alone
    spread                  a scalar as a vector or matrix whose entries are all that scalar
    erf                     elementwise, in the derivative of gelu
"""
from __future__ import annotations

from typing import Any, Iterator

from ..spec.nodes import NOWHERE, Pos

Shape = tuple[str | int, ...]


class Term:
    """One interned node. `pos` is where the spec elaborated last first writes it; it takes no part in identity."""

    __slots__ = ("op", "args", "attrs", "shape", "pos", "key", "epoch", "__weakref__")
    op: str
    args: tuple[Term, ...]
    attrs: tuple[tuple[str, Any], ...]
    shape: Shape
    pos: Pos
    epoch: int
    key: Any

    def __getitem__(self, name: str) -> Any:
        for key, value in self.attrs:
            if key == name:
                return value
        raise KeyError(name)

    def __repr__(self) -> str:
        attrs = "".join(f" {k}={v}" for k, v in self.attrs)
        args = ", ".join(map(repr, self.args))
        return f"{self.op}{attrs}({args})" if args else f"{self.op}{attrs}"


_TABLE: dict[Any, Term] = {}
_EPOCH = 0


def new_epoch() -> None:
    """A new spec begins: terms that an earlier spec has made take the places where this one writes them."""
    global _EPOCH
    _EPOCH += 1


def term(op: str, /, *args: Term, shape: Shape = (), pos: Pos = NOWHERE, **attrs: Any) -> Term:
    """The one term of this operation, arguments, attributes and shape."""
    items = tuple(sorted(attrs.items()))
    key = (op, tuple(id(a) for a in args), items, tuple(shape), tuple(type(v) for _, v in items))
    found = _TABLE.get(key)
    if found is None:
        found = Term()
        found.op, found.args, found.attrs, found.shape, found.pos, found.key = op, args, items, tuple(shape), pos, key
        found.epoch = _EPOCH
        _TABLE[key] = found
    elif found.epoch != _EPOCH and pos is not NOWHERE:
        found.pos, found.epoch = pos, _EPOCH
    return found


def walk(*roots: Term) -> Iterator[Term]:
    """Every term below the roots once, arguments before users."""
    seen: set[int] = set()
    stack: list[tuple[Term, bool]] = [(r, False) for r in reversed(roots)]
    while stack:
        node, done = stack.pop()
        if done:
            yield node
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack.extend((a, False) for a in reversed(node.args) if id(a) not in seen)
