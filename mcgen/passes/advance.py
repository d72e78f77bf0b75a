"""What a loop back over tokens computes from a token's states, and not from what it carries, joins the loop that makes these states:
they are at hand there, old and new.

    S, at = scan tokens(S; x): g(S, x);   scan back(d; at, x, z): .., y = f(at, z)     ->     scan tokens(S; x, z): g(S, x), y = f(S, z)
"""
from __future__ import annotations

from dataclasses import dataclass, replace

from ..ir.builder import Builder
from ..ir.nodes import Param, Program, Result, Value, order
from .prune_loops import prune_loops
from .rewrite import Rebuilder, rebuild_program
from .token_loops import over_tokens, scans_rows


def advance(program: Program, b: Builder) -> Program:
    """Requires: a chunk-level program. Ensures: the same results."""
    def hook(rebuilder: Rebuilder, value: Value, args: list[Value]) -> Value | None:
        if not scans_rows(value):
            return None
        return b.make("scan", args, value.axes, value.dtype, **{**dict(value.attrs), "body": _advanced(value["body"], b)})

    walks = any(over_tokens(v) for rows in program.order() if scans_rows(rows) for v in rows["body"].order())
    return prune_loops(rebuild_program(program, b, hook), b) if walks else program


def _advanced(program: Program, b: Builder) -> Program:
    for back in [v for v in program.order() if over_tokens(v) and v["reverse"]]:
        move = _Move.of(back)
        if move is not None:
            program = rebuild_program(program, b, move.hook)
    return program


@dataclass(frozen=True)
class _Move:
    """back: the loop that loses the results `leaving`; loop: the one that gains them; states: parameter of back -> carry of loop."""

    back: Value
    loop: Value
    leaving: tuple[int, ...]
    states: dict[str, Param]

    @classmethod
    def of(cls, back: Value) -> _Move | None:
        body, n = back["body"], back["carries"]
        given = dict(zip((p.name for p in body.params[n:]), back.args[n:]))
        made = {name: a for name, a in given.items() if a.op == "out" and a["kind"] == "start" and over_tokens(a.args[0])}
        for loop in {id(a.args[0]): a.args[0] for a in made.values()}.values():
            states = {name: loop["body"].params[a["index"]] for name, a in made.items() if a.args[0] is loop}
            free = {name for name, a in given.items() if loop not in order([a])}
            leaves = [{v["name"] for v in order([r.parts[0][0]]) if v.op == "param"} for r in body.results[n:]]
            leaving = tuple(i for i, names in enumerate(leaves) if names & states.keys() and names <= states.keys() | free)
            if leaving and not loop["reverse"] and loop.args[-1] is back.args[-1]:
                return cls(back, loop, leaving, states)
        return None

    def hook(self, rebuilder: Rebuilder, value: Value, args: list[Value]) -> Value | None:
        if value is self.loop:
            return self.grown(rebuilder, args)
        if value.op == "out" and value.args[0] is self.back and value["kind"] == "y" and value["index"] in self.leaving:
            loop = rebuilder.done[id(self.loop)]
            return rebuilder.b.out(loop, "y", len(self.loop["body"].results) - self.loop["carries"] + self.leaving.index(value["index"]))
        return None

    def grown(self, rebuilder: Rebuilder, args: list[Value]) -> Value:
        """The loop with the results that it gains, and with what they need beside its states."""
        b, body, n, m = rebuilder.b, self.loop["body"], self.loop["carries"], self.loop["xs"]
        own, first = self.back["body"], self.back["carries"]
        values = [own.results[first + i].parts[0][0] for i in self.leaving]
        needed = {v["name"] for v in order(values) if v.op == "param"} - self.states.keys()
        bound = {name: b.param(p) for name, p in self.states.items()}
        known = {(id(a), n <= i < n + m): p for i, (p, a) in enumerate(zip(body.params, args)) if i >= n}
        more: dict[bool, list[tuple[Param, Value]]] = {True: [], False: []}          # of every token; the same for all
        for i, (p, arg) in enumerate(zip(own.params, self.back.args)):
            if p.name in needed:
                a, each = rebuilder.rebuild([arg])[0], i < first + self.back["xs"]
                if (id(a), each) not in known:
                    known[id(a), each] = Param(f"more.{i}", "value", p.axes, dtype=p.dtype)
                    more[each].append((known[id(a), each], a))
                bound[p.name] = b.param(known[id(a), each])
        found = Rebuilder(b, hook=lambda r, v, _: bound[v["name"]] if v.op == "param" else None).rebuild(values)
        gained = [Result(f"more.{i}", "value", own.results[first + i].axes, ((v, 0),)) for i, v in zip(self.leaving, found)]
        xs, consts = more[True], more[False]
        params = (*body.params[:n + m], *(p for p, _ in xs), *body.params[n + m:], *(p for p, _ in consts))
        given = (*args[:n + m], *(a for _, a in xs), *args[n + m:-1], *(a for _, a in consts), args[-1])
        made = replace(body, params=params, results=(*body.results, *gained))
        return b.make("scan", given, (), "f", **{**dict(self.loop.attrs), "body": made, "xs": m + len(xs)})
