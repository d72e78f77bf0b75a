"""Rebuilding a program with some values replaced: the one way in which passes change programs."""
from __future__ import annotations

from dataclasses import replace
from typing import Callable, Mapping, Sequence

from ..ir.builder import Builder
from ..ir.nodes import Program, Result, Value, order, scan_axis, sort_axes

Hook = Callable[["Rebuilder", Value, list[Value]], "Value | None"]


class Rebuilder:
    """Rebuilds values bottom-up through a builder, so that everything is interned and simplified again.

    `replaced` maps ids of old values to new ones. `hook` may answer for a value, given its rebuilt arguments; None
    keeps the operation.
    """

    def __init__(self, b: Builder, replaced: Mapping[int, Value] | None = None, hook: Hook | None = None):
        self.b, self.hook = b, hook
        self.done: dict[int, Value] = dict(replaced or {})

    def rebuild(self, roots: Sequence[Value]) -> list[Value]:
        pending = [r for r in roots]
        for value in _order_until(pending, self.done):
            if id(value) not in self.done:
                self.done[id(value)] = self._one(value)
        return [self.done[id(r)] for r in roots]

    def rehook(self, value: Value) -> Value:
        """The hook's answer for a value that has just been built from finished arguments."""
        answer = self.hook(self, value, list(value.args)) if self.hook is not None and value.args else None
        return value if answer is None else answer

    def _one(self, value: Value) -> Value:
        args = [self.done[id(a)] for a in value.args]
        self.b.pos = value.pos
        if self.hook is not None:
            answer = self.hook(self, value, args)
            if answer is not None:
                return self.b.called(answer, value.name)
        return self.b.called(remake(self.b, value, args), value.name)


def _order_until(roots: Sequence[Value], done: Mapping[int, Value]) -> list[Value]:
    """`order`, not looking below what is already done."""
    seen: set[int] = set()
    found: list[Value] = []
    stack = [(r, False) for r in reversed(roots)]
    while stack:
        value, finished = stack.pop()
        if finished:
            found.append(value)
        elif id(value) not in seen and id(value) not in done:
            seen.add(id(value))
            stack.append((value, True))
            stack.extend((a, False) for a in reversed(value.args))
    return found


def remake(b: Builder, value: Value, args: Sequence[Value]) -> Value:
    """The same operation on other arguments, whose axes may differ from the old ones."""
    match value.op:
        case "const":
            return b.const(value["value"])
        case "map":
            return b.map(value["fn"], *args)
        case "sum":
            return b.sum(args[0], value["over"])
        case "max":
            return b.max(args[0], value["over"][0])
        case "dot":
            return b.dot(args[0], args[1], value["over"])
        case "cumsum":
            return b.cumsum(args[0], value["axis"], value["reverse"], value["exclusive"])
        case "segsum":
            return b.segsum(args[0], value["exclusive"])
        case "solve":
            return b.solve(args[0], args[1], value["transposed"], value["step"])
        case "inverse":
            return b.inverse(args[0])
        case "cumprod":
            return b.cumprod(args[0], value["reverse"])
        case "decayed":
            return b.decayed(args[0], args[1], value["reverse"])
        case "pair":
            return b.pair(*args, value["axis"])
        case "papply":
            return b.papply(*args, value["axis"], value["transposed"])
        case "pfactor":
            return b.pfactor(*args, value["axis"])
        case "channels":
            return b.channels(*args, value["axis"], value["part"])
        case "rename":
            return b.rename(args[0], dict(value["moves"]))
        case "collect":
            return b.collect(args[0], args[1], value.axes[0], *args[2:])
        case "expose":
            return b.expose(args[0])
        case "keep":
            return b.keep(args[0], "m" if "m" in value.axes else "n")
        case "take":
            return b.take(*args)
        case "give":
            return b.give(*args)
        case "topk":
            return b.topk(args[0], value["k"], value["digits"])
        case "dense_solve":
            return b.dense_solve(args[0], args[1], value["row"], value["column"], value["definite"])
        case "scan" if scan_axis(value) == "c":
            return widen(b, value, args)
        case "out":
            if args[0] is value.args[0]:
                return value
            if args[0].op == "scan":
                return b.out(args[0], value["kind"], value["index"])
            return b.make("out", args, value.axes, value.dtype, **dict(value.attrs))
        case _:
            if not value.args:
                return b.make(value.op, (), value.axes, value.dtype, **dict(value.attrs))
            return b.make(value.op, args, value.axes, value.dtype, **dict(value.attrs))


def widen(b: Builder, loop: Value, args: Sequence[Value]) -> Value:
    """A scan over tokens on arguments that may have the rows as one more axis: its body then works for all rows at once."""
    body, n, m = loop["body"], loop["carries"], loop["xs"]
    rows = args[-1].axes
    axes = {p.name: sort_axes((*rows, *p.axes, *(x for x in a.axes if x != "c" or not n <= i < n + m)))
            for i, (p, a) in enumerate(zip(body.params, args))}
    if all(axes[p.name] == p.axes for p in body.params):
        return b.make("scan", args, (), "f", **dict(loop.attrs))
    while True:
        params = [replace(p, axes=axes[p.name]) for p in body.params]
        values = inline(b, body, {p.name: b.param(p) for p in params})
        grown = {p.name: sort_axes((*p.axes, *v.axes)) for p, v in zip(params[:n], values)}
        if all(axes[name] == found for name, found in grown.items()):
            break
        axes |= grown
    results = tuple(replace(r, axes=params[i].axes if i < n else sort_axes((*rows, *r.axes, *v.axes)), parts=((v, 0),))
                    for i, (r, v) in enumerate(zip(body.results, values)))
    wide = Program(body.name, tuple(params), results, body.level, body.segment)
    return b.make("scan", args, (), "f", **{**dict(loop.attrs), "body": wide})


def rebuild_program(program: Program, b: Builder, hook: Hook | None = None,
                    replaced: Mapping[int, Value] | None = None) -> Program:
    """The program with every value rebuilt; parameters and the layout of results stay."""
    rebuilder = Rebuilder(b, replaced, hook)
    roots = rebuilder.rebuild(program.roots())
    found = iter(roots)
    results = tuple(Result(r.name, r.kind, r.axes, tuple((next(found), s) for _, s in r.parts), r.delay) for r in program.results)
    return Program(program.name, program.params, results, program.level, program.segment)


def inline(b: Builder, body: Program, bound: Mapping[str, Value]) -> list[Value]:
    """The results of a body with values for its parameters: a scan's body for all rows at once, once its carries are known."""
    def hook(rebuilder, value, args):
        return bound.get(value["name"]) if value.op == "param" else None
    return Rebuilder(b, hook=hook).rebuild(body.roots())


__all__ = ["Rebuilder", "inline", "order", "rebuild_program", "remake"]
