"""Dense systems leave the backward scan over tokens: a derivative solves them without what it carries, so that scans of their own do, of all
rows at once. A read that hands out what it solves is one of them.

    scan c reverse { y = f(solve(A(S), x)) }     ->     xs = scan c { solve(A(S), x) }; scan c reverse { y = f(xs) }

with S the state before each token, as an earlier scan over the row gives it. A system is dearer than all else in a token's step, a state
is cheaply computed again. And a loop that solves holds the state and its system, not what the backward scan carries beside them.
"""
from __future__ import annotations

from dataclasses import replace
from typing import Iterator

from ..ir.builder import Builder
from ..ir.nodes import Param, Program, Result, Value, dim_axis, dim_of, is_dim, order, scan_axis
from .hoist import hoisted
from .rewrite import Rebuilder, rebuild_program
from .token_loops import over_tokens


def solve_apart(program: Program, b: Builder) -> Program:
    """Ensures: the same results; no dense system in a scan over tokens that could be solved knowing the states of an earlier one."""
    def hook(rebuilder: Rebuilder, value: Value, args: list[Value]) -> Value | None:
        if value.op != "scan" or not any(map(_solves, _every(value["body"]))):
            return None
        if scan_axis(value) == "c":
            return _Apart(b, value, args).scan()
        made = b.make("scan", args, (), "f", **{**dict(value.attrs), "body": rebuild_program(value["body"], b, hook)})
        return hoisted(b, made, args, _solved) or made

    return _meet(rebuild_program(program, b, hook), b)


def _solves(v: Value) -> bool:
    return v.op == "dense_solve"


def _every(program: Program) -> Iterator[Value]:
    for v in program.order():
        yield v
        if "body" in dict(v.attrs):
            yield from _every(v["body"])


def _solved(v: Value) -> bool:
    """Whether it is what a scan over tokens hands out of a system of every token."""
    return v.op == "out" and v["kind"] == "y" and over_tokens(v.args[0]) and any(map(_solves, order([_handed(v)])))


def _handed(out: Value) -> Value:
    """What a scan's result is in its body."""
    loop = out.args[0]
    return loop["body"].results[loop["carries"] + out["index"]].parts[0][0]


class _Apart:
    """One scan over tokens. given: parameter of its body -> argument."""

    def __init__(self, b: Builder, scan: Value, args: list[Value]):
        self.b, self.back, self.args = b, scan, args
        self.body: Program = scan["body"]
        self.n: int = scan["carries"]
        self.m: int = scan["xs"]
        self.given = {p.name: a for p, a in zip(self.body.params[self.n:], args[self.n:])}
        self.each = {p.name for p in self.body.params[self.n:self.n + self.m]}       # of every token
        self.params = {p.name: p for p in self.body.params}

    def scan(self) -> Value | None:
        """The scan without the systems that need none of its carries but an earlier scan's; None if there are none."""
        b, n, m = self.b, self.n, self.m
        rebuilder = Rebuilder(b)
        more: list[Param] = []
        for v in filter(_solves, self.body.order()):
            solved = rebuilder.rebuild([v])[0]
            out = self.before(solved)
            if out is not None:
                axes = tuple(a for a in out.axes if a != "c")
                more.append(Param(f"solved.{len(more)}.{self.body.params[0].name}", "value", axes))
                self.given[more[-1].name] = out
                self.each.add(more[-1].name)
                self.params[more[-1].name] = more[-1]
                rebuilder.done[id(v)] = b.rename(b.param(more[-1]), dict(zip(axes, solved.axes)))
        if not more:
            return None
        made = rebuild_program(self.body, b, replaced=rebuilder.done)
        made = replace(made, params=(*self.body.params[:n + m], *more, *self.body.params[n + m:]))
        args = [*self.args[:n + m], *(self.given[p.name] for p in more), *self.args[n + m:]]
        return b.make("scan", args, (), "f", **{**dict(self.back.attrs), "body": made, "xs": m + len(more)})

    def before(self, v: Value) -> Value | None:
        """v of every token, of a scan that goes the other way over the states that v is made of; None where it takes carries of its own."""
        b = self.b
        names = [x["name"] for x in order([v]) if x.op == "param"]
        starts = {name: a for name in names if (a := self.given.get(name)) is not None and a.op == "out" and a["kind"] == "start"}
        loops = {id(a.args[0]): a.args[0] for a in starts.values()}
        if len(loops) != 1 or any(name not in self.given for name in names):
            return None
        loop, = loops.values()
        if not over_tokens(loop) or loop["reverse"] == self.back["reverse"] or loop.args[-1] is not self.args[-1]:
            return None
        body, n, m = loop["body"], loop["carries"], loop["xs"]
        known = {(id(a), i < m): p for i, (p, a) in enumerate(zip(body.params[n:], loop.args[n:]))}
        bound: dict[str, Value] = {}
        more: dict[str, Param] = {}
        for name in dict.fromkeys(names):
            p = body.params[starts[name]["index"]] if name in starts else known.get((id(self.given[name]), name in self.each))
            if p is None:
                p = more[name] = replace(self.params[name], name=_free(name, {p.name for p in (*body.params, *more.values())}))
            bound[name] = b.param(p)
        root = _plain(b, Rebuilder(b, hook=lambda r, x, a: bound.get(x["name"]) if x.op == "param" else None).rebuild([v])[0])
        each, every = ([name for name in more if (name in self.each) is have] for have in (True, False))
        params = (*body.params[:n + m], *map(more.get, each), *body.params[n + m:], *map(more.get, every))
        made = replace(body, params=params, results=(*body.results[:n], Result("solved", "value", root.axes, ((root, 0),))))
        args = (*loop.args[:n + m], *map(self.given.get, each), *loop.args[n + m:-1], *map(self.given.get, every), loop.args[-1])
        return b.out(b.make("scan", args, (), "f", **{**dict(loop.attrs), "body": made, "xs": m + len(each)}), "y", 0)


def _free(name: str, taken: set[str]) -> str:
    return name if name not in taken else _free(name + ".solved", taken)


def _plain(b: Builder, v: Value) -> Value:
    """v over the axes of its dims that have no mark, where those are free."""
    moves: dict[str, str] = {}
    for axis in v.axes:
        plain = dim_axis(dim_of(axis)) if is_dim(axis) else axis
        if plain not in v.axes and plain not in moves.values():
            moves[axis] = plain
    return b.rename(v, moves)


def _meet(program: Program, b: Builder) -> Program:
    """A system that two scans over the same tokens and states hand out is handed out by one of them."""
    loops: dict[tuple, list[Value]] = {}
    for v in program.order():
        if over_tokens(v):
            loops.setdefault(_alike(v), []).append(v)

    def hook(rebuilder: Rebuilder, value: Value, args: list[Value]) -> Value | None:
        if not _solved(value):
            return None
        root = id(_handed(value))
        found = [(loop, ys.index(root)) for loop in loops[_alike(value.args[0])] if root in (ys := _ys(loop))]
        loop, at = max(found, key=lambda f: len(_ys(f[0])))            # the first of equals
        return None if loop is value.args[0] else b.out(rebuilder.rebuild([loop])[0], "y", at)

    return rebuild_program(program, b, hook)


def _alike(loop: Value) -> tuple:
    """What scans that differ in what they hand out only have in common."""
    body = loop["body"]
    return (*map(id, loop.args), body.params, *map(id, body.roots()[:loop["carries"]]), loop["xs"], loop["reverse"])


def _ys(loop: Value) -> list[int]:
    return [id(v) for v in loop["body"].roots()[loop["carries"]:]]
