"""The value of an expression at one token, straight from its syntax tree.

A `Scope` says what the names mean at one place: the token, the values that state names have, what `prev`, `new` and
`grad` refer to, and what a cache adds (`score`, `age`, ...). Functions are called by name, so that `delay` and `window`
may shift their arguments; a memo per scope computes every subexpression once.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Mapping

import torch

from ..spec.nodes import Binary, Call, Compare, Expr, Index, Name, Num, Unary
from . import functions as fn
from .functions import LEAD, Val

if TYPE_CHECKING:
    from .world import World

Frame = Mapping[str, tuple[Expr, "Frame"]]


class _Frame(dict):
    """Parameter -> (argument, the frame that the argument was written in). Hashed by identity."""

    __hash__ = object.__hash__      # type: ignore[assignment]
    __eq__ = object.__eq__          # type: ignore[assignment]


ROOT = _Frame()


class Scope:
    """What names mean at one place.

    states, prev, new, base: state -> [B, H, M, *shape]. `base` are the values that `grad` differentiates at.
    floor: [M] first token that `delay` and `window` may see, None for the start of the sequence.
    extra: name -> Val, for `score`, `summary`, `age`, `level`, `count`, `y`; ('after', id) -> Val.
    taking_part: [B, H, M] bool in a cache's weight, where a scalar `softmax` runs across memories.
    """

    def __init__(self, world: World, token: int, *, states=None, prev=None, new=None, base=None, floor=None,
                 extra=None, taking_part=None, guarded: bool = False):
        self.world, self.token, self.floor, self.guarded = world, token, floor, guarded
        self.states = states or {}
        self.prev = prev if prev is not None else self.states
        self.new = new if new is not None else {}
        self.base = base or {}
        self.extra = extra or {}
        self.taking_part = taking_part
        self._memo: dict = {}
        self._scopes: dict = {}

    # -- scopes seen from this one ---------------------------------------------------------------------------------

    def but(self, **changes) -> Scope:
        parts = dict(token=self.token, states=self.states, prev=self.prev, new=self.new, base=self.base,
                     floor=self.floor, extra=self.extra, taking_part=self.taking_part, guarded=self.guarded)
        parts.update(changes)
        return Scope(self.world, parts.pop("token"), **parts)

    def at_token(self, token: int) -> Scope:
        if token == self.token:
            return self
        if token not in self._scopes:
            self._scopes[token] = self.but(token=token)
        return self._scopes[token]

    def branch(self) -> Scope:
        """The scope of a branch of `where`: zero cotangents stay zero."""
        if self.guarded:
            return self
        if "branch" not in self._scopes:
            self._scopes["branch"] = self.but(guarded=True)
        return self._scopes["branch"]

    # -- expressions -----------------------------------------------------------------------------------------------

    def value(self, expr: Expr, frame: _Frame = ROOT) -> Val:
        """The value [B, H, M, *shape] of an expression."""
        key = (id(expr), frame)
        if key not in self._memo:
            self._memo[key] = self._value(expr, frame)
        return self._memo[key]

    def number(self, expr: Expr, frame: _Frame = ROOT) -> float:
        """The value of an expression of numbers, constants and dims."""
        return self.value(expr, frame).tensor.item()

    def terms(self, expr: Expr) -> list[Val]:
        """What a sum adds up, as it is written."""
        match expr:
            case Binary(op="+" | "-", left=left, right=right):
                return self.terms(left) + self.terms(right)
        return [self.value(expr)]

    def _value(self, expr: Expr, frame: _Frame) -> Val:
        match expr:
            case Num(value=v):
                return scalar(float(v), self.world.dtype)
            case Name(id=name):
                return self._name(name, frame)
            case Unary(op="-", arg=arg):
                x = self.value(arg, frame)
                return Val(-x.tensor, x.rank)
            case Unary(op="T", arg=arg):
                return fn.transpose(self.value(arg, frame))
            case Binary(op="**", left=left, right=right):
                return fn.power(self.value(left, frame), self.number(right, frame), self.guarded)
            case Binary(op="@", left=left, right=right):
                return fn.matmul(self.value(left, frame), self.value(right, frame), self.guarded)
            case Binary(op=op, left=left, right=right):
                return fn.binary(op, self.value(left, frame), self.value(right, frame), self.guarded)
            case Index(arg=arg, index=index):
                i = self.value(index, frame).tensor
                return fn.entry(self.value(arg, frame), int(i.item()) if i.numel() == 1 else i)
            case Call():
                return self._call(expr, frame)
        raise TypeError(f"not an expression: {expr!r}")

    def _name(self, name: str, frame: _Frame) -> Val:
        if name in frame:
            argument, where = frame[name]
            return self.value(argument, where)
        if name in self.extra:
            return self.extra[name]
        if name in self.states:
            return _of(self.states[name])
        world = self.world
        if name in world.lets:
            return self.value(world.lets[name])
        if name in world.numbers:
            return scalar(world.numbers[name], world.dtype)
        if name in world.inputs:
            return world.input(name, self.token)
        raise KeyError(f"'{name}' has no value here")

    # -- calls -----------------------------------------------------------------------------------------------------

    def _call(self, call: Call, frame: _Frame) -> Val:
        name, args = call.fn, call.args
        if name in self.world.functions:
            function = self.world.functions[name]
            inner = _Frame({p: (a, frame) for p, a in zip(function.params, args, strict=True)})
            return self.value(function.body, inner)
        match name:
            case "where":
                test, x, y = args
                assert isinstance(test, Compare)
                branch = self.branch()
                return fn.where(test.op, self.value(test.left, frame), self.value(test.right, frame),
                                branch.value(x, frame), branch.value(y, frame))
            case "sum" if len(args) == 2:
                return fn.total(self.value(args[0], frame), int(self.number(args[1], frame)))
            case "sum":
                return fn.total(self.value(args[0], frame))
            case "eye":
                size = int(self.number(args[0], frame))
                return Val(torch.eye(size, dtype=self.world.dtype).expand(1, 1, 1, size, size), 2)
            case "prev":
                return _of(self.prev[self._state(args[0])])
            case "new":
                return _of(self.new[self._state(args[0])])
            case "grad":
                at = dict(call.kwargs).get("at", args[1] if len(args) > 1 else None)
                return self._grad(self._state(args[0]), at, frame)
            case "delay":
                return self._delay(args[0], int(self.number(args[1], frame)), frame)
            case "window":
                return self._window(args[0], int(self.number(args[1], frame)), frame)
            case "after":
                return self.extra["after", id(call)]
        values = [self.value(a, frame) for a in args]
        if name == "softmax" and values[0].rank == 0 and self.taking_part is not None:
            return self._softmax_across(values[0].tensor)
        if name in fn.UNARY:
            return fn.unary(name, values[0], self.guarded)
        if name in fn.BINARY:
            return fn.binary(name, values[0], values[1], self.guarded)
        if name in fn.GUARDED:
            return fn.GUARDED[name](*values, guarded=self.guarded)
        return self._centred(name, values[0]) if name in fn.CENTRED else fn.PLAIN[name](*values)

    def _centred(self, name: str, x: Val) -> Val:
        """A function that takes a mean away from its argument or, in its derivative, from its cotangent."""
        rounding = self.world.rounding
        if rounding is None:
            return fn.PLAIN[name](x)
        return Val(rounding.rounded(fn.PLAIN[name](Val(rounding.rounded(x.tensor), x.rank)).tensor), x.rank)

    @staticmethod
    def _state(expr: Expr) -> str:
        assert isinstance(expr, Name), "prev, new and grad take the name of a state"
        return expr.id

    def _softmax_across(self, score: torch.Tensor) -> Val:
        score = score.expand(torch.broadcast_shapes(score.shape, self.taking_part.shape))
        weight = torch.softmax(score.masked_fill(~self.taking_part, float("-inf")), dim=2)
        if self.world.rounding is not None:
            self.world.rounding.softmaxes.append((score, weight))
        return Val(weight, 0)

    # -- tokens ----------------------------------------------------------------------------------------------------

    def _seen(self, token: int, value: Val) -> Val:
        """The value where the scope's floor lets that token be seen, else zero."""
        if self.floor is None:
            return value
        mask = fn.lift((self.floor <= token)[None, None, :], 0, value.rank)
        return Val(torch.where(mask, value.tensor, torch.zeros((), dtype=value.tensor.dtype)), value.rank)

    def _delay(self, expr: Expr, steps: int, frame: _Frame) -> Val:
        token = self.token - steps
        if token < 0 or (self.floor is not None and bool((self.floor > token).all())):
            now = self.value(expr, frame)                # only for its shape
            return Val(torch.zeros_like(now.tensor), now.rank)
        return self._seen(token, self.at_token(token).value(expr, frame))

    def _window(self, expr: Expr, width: int, frame: _Frame) -> Val:
        out = self._seen(self.token, self.value(expr, frame))
        for token in range(self.token - 1, max(self.token - width, -1), -1):
            if self.floor is not None and bool((self.floor > token).all()):
                break
            out = fn.binary("+", out, self._seen(token, self.at_token(token).value(expr, frame)))
        return out

    # -- the objective's gradient ----------------------------------------------------------------------------------

    def _grad(self, state: str, at: Expr | None, frame: _Frame) -> Val:
        before = self.but(states=self.base, prev=self.base)
        if at is None:
            if "grads" not in self._scopes:
                self._scopes["grads"] = before.gradients(self.base)
            return _of(self._scopes["grads"][state])
        point = before.value(at, frame).tensor.expand_as(self.base[state])
        return _of(before.gradients({state: point})[state])

    def gradients(self, points: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The gradient of the objective at `points`, lane by lane, itself differentiable."""
        keep = self.world.differentiable
        with torch.enable_grad():
            leaves = {n: p.view_as(p) if keep and p.requires_grad else p.detach().requires_grad_() for n, p in points.items()}
            values = {**self.states, **leaves}
            scope = self.but(states=values, prev=values, new={}, extra={}, taking_part=None)
            loss = scope.value(self.world.objective).tensor
            lead = next(iter(points.values())).shape[:LEAD]
            if not loss.requires_grad:
                return {n: torch.zeros_like(p) for n, p in points.items()}
            grads = torch.autograd.grad(loss.expand(lead).sum(), list(leaves.values()), create_graph=keep,
                                        allow_unused=True, materialize_grads=True)
        return dict(zip(leaves, grads))


def scalar(number: float, dtype: torch.dtype = torch.float64) -> Val:
    return Val(torch.full((1,) * LEAD, number, dtype=dtype), 0)


def _of(tensor: torch.Tensor) -> Val:
    return Val(tensor, tensor.dim() - LEAD)
