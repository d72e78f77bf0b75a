"""Values with an axis of steps inside a token as one value for each step: a GPU's tiles are long, a token's steps are few.

Where a step is chosen by its number, the choice is made here; a sum over steps becomes a sum of values; a system over tokens
and steps becomes systems over tokens, one for each step (`eliminate`).
"""
from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Iterable, Iterator, Mapping

from ..ir.builder import Builder
from ..ir.nodes import Param, Program, Result, Value, dim_of, is_step
from .eliminate import solved, solved_steps
from .rewrite import remake

At = tuple[int, ...]             # a position along each of a value's step axes
_COMPARED = {"eq": float.__eq__, "ne": float.__ne__, "lt": float.__lt__, "le": float.__le__, "gt": float.__gt__, "ge": float.__ge__}


def unstack(program: Program, b: Builder) -> Program:
    """Requires: a chunk-level program without steps in its parameters and results. Ensures: no value has steps, and no
    `solve` is left."""
    made = _Unstacked(b).program(program)
    return replace(made, params=program.params)


def _steps(axes: Iterable[str]) -> list[str]:
    return [a for a in axes if is_step(a)]


def _places(steps: Iterable[str]) -> Iterator[At]:
    return product(*(range(int(dim_of(a))) for a in steps))


class _Unstacked:
    """One program or body."""

    def __init__(self, b: Builder):
        self.b = b
        self.made: dict[int, dict[At, Value]] = {}
        self.first: dict[int, list[int]] = {}            # loop -> new index of each of its old results, ys and stacks counted on their own

    def program(self, program: Program) -> Program:
        b = self.b
        params = {p.name: [(at, Param(self.name(p.name, at), p.kind, _plain(p.axes), p.delay, p.dtype)) for at in _places(_steps(p.axes))]
                  for p in program.params}
        for v in program.order():
            b.pos = v.pos
            if v.op == "param":
                self.made[id(v)] = {at: b.param(p) for at, p in params[v["name"]]} if _steps(v.axes) else {(): v}
            else:
                self.made[id(v)] = self.value(v)
        results = []
        for r in program.results:
            for at in _places(_steps(r.axes)):
                parts = tuple((self.part(v, dict(zip(_steps(r.axes), at))), shift) for v, shift in r.parts)
                results.append(Result(self.name(r.name, at), r.kind, _plain(r.axes), parts, r.delay))
        return replace(program, params=tuple(p for made in params.values() for _, p in made), results=tuple(results))

    @staticmethod
    def name(name: str, at: At) -> str:
        return ".".join([name, *map(str, at)])

    def part(self, v: Value, at: Mapping[str, int]) -> Value:
        """v at these places of the axes that it has."""
        return self.made[id(v)][tuple(at[a] for a in _steps(v.axes))]

    # -- values ------------------------------------------------------------------------------------------------
    def value(self, v: Value) -> dict[At, Value]:
        if v.op in ("scan", "slots"):
            return {(): self.loop(v)}
        if v.op == "solve":
            found = self.solve(v)
        else:
            found = {at: self.one(v, dict(zip(_steps(v.axes), at))) for at in _places(_steps(v.axes))}
        for at, made in found.items():
            self.b.called(made, v.name and "_".join([v.name, *map(str, at)]))
        return found

    def one(self, v: Value, at: dict[str, int]) -> Value:
        b = self.b
        match v.op:
            case "iota" if is_step(v["axis"]):
                return b.const(at[v["axis"]])
            case "map":
                return self.map(v["fn"], [self.part(a, at) for a in v.args])
            case "rename":
                moves = dict(v["moves"])
                inner = {a: at[moves.get(a, a)] for a in _steps(v.args[0].axes)}
                return b.rename(self.part(v.args[0], inner), {x: y for x, y in moves.items() if not is_step(x)})
            case "sum" | "dot":
                rest, over = [a for a in v["over"] if not is_step(a)], _steps(v["over"])
                args = ([self.part(a, {**at, **dict(zip(over, inner))}) for a in v.args] for inner in _places(over))
                return b.add(*(b.sum(x[0], rest) if v.op == "sum" else b.dot(*x, rest) for x in args))
            case "out":
                return self.out(v, at)
        return remake(b, v, [self.part(a, at) for a in v.args])

    def map(self, fn: str, args: list[Value]) -> Value:
        """Elementwise; a choice of a step by its number is made."""
        known = [a["value"] if a.op == "const" else None for a in args]
        if fn in _COMPARED and None not in known:
            return self.b.const(float(_COMPARED[fn](*known)))
        if fn == "where" and known[0] is not None:
            return args[1] if known[0] else args[2]
        return self.b.map(fn, *args)

    def solve(self, v: Value) -> dict[At, Value]:
        (matrix, x), step, b = v.args, v["step"], self.b
        if not step:
            return {at: solved(b, self.part(matrix, {}), self.part(x, dict(zip(_steps(v.axes), at))), v["transposed"]) for at in _places(_steps(v.axes))}
        steps = range(int(dim_of(step)))
        blocks = [[self.part(matrix, {step: i, step + "~": j}) for j in steps] for i in steps]
        found = solved_steps(b, blocks, [self.part(x, {step: i}) for i in steps], v["transposed"])
        return {(i,): value for i, value in enumerate(found)}

    # -- loops -------------------------------------------------------------------------------------------------
    def loop(self, v: Value) -> Value:
        body: Program = v["body"]
        n = v["carries"] if v.op == "scan" else 0
        made = _Unstacked(self.b).program(body)
        args, counts = [], []
        for p, arg in zip(body.params, v.args):
            steps = _steps(p.axes)
            places = [dict(zip(steps, at)) for at in _places(steps)]
            args += [self.part(arg, at) for at in places]
            counts.append(len(places))
        args += [self.part(arg, {}) for arg in v.args[len(body.params):]]
        attrs = dict(v.attrs) | {"body": made, "xs": sum(counts[n:n + v["xs"]])} | ({"carries": sum(counts[:n])} if n else {})
        loop = self.b.make(v.op, args, v.axes, v.dtype, **attrs)
        self.first[id(v)] = [sum(len(list(_places(_steps(r.axes)))) for r in body.results[start:i])
                             for start, i in [*((0, i) for i in range(n)), *((n, i) for i in range(n, len(body.results)))]]
        return loop

    def out(self, v: Value, at: dict[str, int]) -> Value:
        old, loop = v.args[0], self.part(v.args[0], {})
        index = v["index"] + (old["carries"] if v["kind"] == "y" else 0)
        steps = _steps(old["body"].results[index].axes)
        place = list(_places(steps)).index(tuple(at[a] for a in steps))
        return self.b.make("out", (loop,), _plain(v.axes), v.dtype, kind=v["kind"], index=self.first[id(old)][index] + place)


def _plain(axes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(a for a in axes if not is_step(a))
