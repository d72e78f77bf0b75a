"""Levels apart: the runs of all levels are independent of each other, so that a kernel's program can have one of them.

Tiles hold a matrix or the vectors of a row's tokens, not one for every level. What is that large and has levels is
computed by kernels whose programs have one level each; for all others it lies in memory, level by level:

* What a scan over the runs of all levels hands out summed over the levels it hands out level by level instead.
* A collection of such a sum, in which every segment has one level only, takes that level's value.
* Any other sum over levels becomes a loop over them.
"""
from __future__ import annotations

from dataclasses import replace
from typing import Sequence

from ..ir.builder import Builder
from ..ir.nodes import Param, Program, Result, Value, is_dim, order, scan_axis, sort_axes
from .hoist import hoisted
from .rewrite import Rebuilder, rebuild_program, remake


class Entangled(Exception):
    """A program whose levels are not independent of each other."""


def levelled(v: Value | Param) -> bool:
    """Whether v is too large for a tile with all levels."""
    return "l" in v.axes and sum(a in ("c", "d", "mid") or is_dim(a) for a in v.axes) > 1


def of_levels(v: Value) -> bool:
    """Whether v is a scan over rows of what is too large with all levels."""
    return v.op == "scan" and scan_axis(v) == "r" and _has_levels(v)


def _dims(v: Value) -> int:
    return sum(map(is_dim, v.axes))


def _has_levels(scan: Value) -> bool:
    """Whether a scan carries what is too large with all levels, or makes it of one token."""
    body: Program = scan["body"]
    if not any("l" in p.axes for p in body.params):
        return False
    if any(levelled(p) for p in body.params[:scan["carries"]]):
        return True
    return any(levelled(v) if scan_axis(scan) == "c" else v.op == "scan" and _has_levels(v) for v in body.order())


def leaves_levels(v: Value) -> bool:
    """Whether v itself is small, but made of what has levels and is not: a program for every level makes it."""
    if v.op == "out" and scan_axis(v.args[0]) == "c":
        return not levelled(v) and _has_levels(v.args[0])
    over_rows = "r" in (v.get("over") or ())                       # made of what its rows have, which leaves the levels itself
    return not levelled(v) and v.op not in ("out", "scan", "slots", "collect") and not over_rows and any(map(levelled, v.args))


def over_levels(v: Value) -> bool:
    return v.op in ("sum", "dot") and "l" in v["over"]


def levels_apart(program: Program, b: Builder) -> Program:
    """Requires: a chunk-level program after loop_slots, without `solve`. Ensures: an equal one in which nothing large is summed
    over levels but by loops over them."""
    outside: dict[int, dict[tuple[str, int], Value]] = {}         # old scan -> by kind and index what its results are now

    def scans(rebuilder: Rebuilder, value: Value, args: list[Value]) -> Value | None:
        if value.op == "scan" and _has_levels(value):
            scan = b.make("scan", args, (), "f", **{**dict(value.attrs), "body": rebuild_program(value["body"], b, scans)})
            made, outside[id(value)] = _Apart(b, hoisted(b, scan, args, over_levels) or scan).scan()
            return made
        return outside.get(id(value.args[0]), {}).get((value["kind"], value["index"])) if value.op == "out" else None

    def sums(rebuilder: Rebuilder, value: Value, args: list[Value]) -> Value | None:
        if value.op == "collect" and (found := _one_level(value.args[0])) is not None:
            x, ends, digit = rebuilder.rebuild(found)
            return b.collect(x, args[1], value.axes[0], b.map("ne", ends, b.map("and", ends, digit)))
        if value.op in ("sum", "dot") and "l" in value["over"] and any(map(levelled, args)):
            return _in_turn(b, value, args)
        return None

    return rebuild_program(rebuild_program(program, b, scans), b, sums)


class _Apart:
    """One scan over the runs of all levels. free: whether a value of the body knows nothing of the carries."""

    def __init__(self, b: Builder, scan: Value):
        self.b, self.old, self.args = b, scan, list(scan.args)
        self.body: Program = scan["body"]
        self.n: int = scan["carries"]
        names = {p.name for p in self.body.params[:self.n]}
        self.free: dict[int, bool] = {}
        self.summed: dict[int, bool] = {}             # whether there is a sum over levels in it
        for v in self.body.order():
            self.free[id(v)] = not (v.op == "param" and v["name"] in names) and all(self.free[id(a)] for a in v.args)
            self.summed[id(v)] = over_levels(v) or any(self.summed[id(a)] for a in v.args)
        self.walked: set[int] = set()
        self.given: dict[int, Value] = {}             # what the scan hands out
        self.sums: list[tuple[Value, Value]] = []     # sums over levels, each with what is summed over nothing else

    def scan(self) -> tuple[Value, dict[tuple[str, int], Value]]:
        """The scan without sums over levels, and by kind and index what its results are then."""
        b, body, n = self.b, self.body, self.n
        roots = body.roots()
        totals = [i for i in range(n) if self.summed[id(roots[i])]]
        params, carried, args = list(body.params), list(body.results[:n]), list(self.args)
        for i in totals:
            params[i], carried[i] = self.total(params[i], carried[i])
            args[i] = self.first_level(args[i])
        for v in roots[n:]:
            self.walk(v)
        given = list(self.given.values())
        wide, asked = (max([_dims(v) for v in values], default=0) for values in (given, roots[n:]))
        if scan_axis(self.old) == "c" and wide > max(1, asked):
            raise Entangled(f"{body.name}: a matrix for every token and level")
        results = tuple(Result(f"{v.name or v.op}.{i}", "value", v.axes, ((v, 0),)) for i, v in enumerate(given))
        made = replace(body, params=tuple(params), results=(*carried, *results))
        loop = b.make("scan", args, (), "f", **{**dict(self.old.attrs), "body": made})
        found = {(kind, i): b.sum(b.out(loop, kind, i), ["l"]) if i in totals else b.out(loop, kind, i) for kind in ("final", "start") for i in range(n)}
        known = {id(v): b.out(loop, "y", i) for i, v in enumerate(given)}
        bound = {p.name: a for p, a in zip(body.params[n:], self.args[n:])}
        rebuilt = Rebuilder(b, known, lambda rebuilder, v, args: bound.get(v["name"]) if v.op == "param" else None)
        for v, inner in self.sums:
            rebuilt.done[id(v)] = b.sum(rebuilt.rebuild([inner])[0], ["l"])
        return loop, found | {("y", i): v for i, v in enumerate(rebuilt.rebuild(roots[n:]))}

    def total(self, p: Param, r: Result) -> tuple[Param, Result]:
        """A carry that only adds up sums over levels, as one for every level."""
        b, old = self.b, self.b.param(p)
        whole = Param(p.name, p.kind, sort_axes(("l", *p.axes)), dtype=p.dtype)
        added = b.param(whole)
        terms = _terms(r.parts[0][0])
        if terms.count(old) != 1 or sum(old in order([v]) for v in self.body.roots()) != 1:
            raise Entangled(f"{self.body.name}: levels that need each other")
        for v in terms:
            if v is not old:
                inner = self.of_level(v) if self.summed[id(v)] else self.first_level(v)
                if inner is None or old in order([inner]):
                    raise Entangled(f"{self.body.name}: levels that need each other")
                added = b.map("add", added, inner)
        return whole, Result(r.name, r.kind, whole.axes, ((added, 0),))

    def first_level(self, v: Value) -> Value:
        """v at level 0, 0 at all others: what is added once."""
        return self.b.where(self.b.map("eq", self.b.iota("l"), self.b.zero()), v)

    def walk(self, v: Value) -> None:
        """Fills `given` with what v takes from the scan, and `sums`."""
        if self.free.get(id(v), False) or id(v) in self.walked:
            return
        self.walked.add(id(v))
        inner = self.of_level(v) if v.op in ("sum", "dot") else None
        if inner is not None:
            self.sums.append((v, inner))
            self.walk(inner)
        elif self.summed.get(id(v), False) or (v.op == "map" and v["fn"] == "where" and self.free.get(id(v.args[0]), False)):
            for a in v.args:
                self.walk(a)
        else:
            self.given[id(v)] = v

    def of_level(self, v: Value) -> Value | None:
        """What v is the sum over levels of, also where it is linear in such a sum; else None."""
        if over_levels(v):
            return _reduced(self.b, v, v.args, [a for a in v["over"] if a != "l"])
        summed = [self.summed.get(id(a), False) for a in v.args]
        fn = v["fn"] if v.op == "map" else v.op
        if fn == "where":
            linear = not summed[0] and all(s or a is self.b.zero() for a, s in zip(v.args[1:], summed[1:]))
        else:
            linear = all(summed) if fn in ("add", "sub") else fn in ("sum", "dot", "mul", "neg", "rename") and sum(summed) == 1
        if "l" in v.axes or not linear:
            return None
        args = [self.of_level(a) if s else a for a, s in zip(v.args, summed)]
        if None in args:
            return None
        return _reduced(self.b, v, args, list(v["over"])) if v.op in ("sum", "dot") else remake(self.b, v, args)


def _terms(v: Value) -> list[Value]:
    """What v adds up."""
    return [t for a in v.args for t in _terms(a)] if v.op == "map" and v["fn"] == "add" else [v]


def _reduced(b: Builder, v: Value, args: Sequence[Value], over: list[str]) -> Value:
    """The sum or product of the arguments, over these axes."""
    return b.sum(args[0], over) if v.op == "sum" else b.dot(*args, over)


def _one_level(x: Value) -> tuple[Value, Value, Value] | None:
    """Of a sum over levels that is the level's of the memory that ends (see `levels.ended`): what is summed, whether the segment's
    end carries into each level, whether the segment's digit is 1 there. Else None."""
    if not (x.op == "sum" and x["over"] == ("l",)):
        return None
    chosen: list[tuple[str, bool]] = []
    masks: list[Value] = []
    v = x.args[0]
    while v.op == "map" and v["fn"] == "where" and v.args[0].op == "map":
        mask, taken, other = v.args
        zero = [a.op == "const" and a["value"] == 0.0 for a in (taken, other)]
        if zero[0] == zero[1]:
            break
        chosen.append((mask["fn"], zero[1]))
        masks.append(mask)
        v = other if zero[0] else taken
    if not levelled(v) or sorted(chosen) != [("carries", True), ("digit", False)] or masks[0].args != masks[1].args:
        return None
    ends, digit = masks if chosen[0][1] else reversed(masks)
    return (v, ends, digit) if ends.args[1].axes == ("l",) else None


def _in_turn(b: Builder, value: Value, args: list[Value]) -> Value:
    """A sum over levels as one of what is small, or as a loop."""
    rest = [a for a in value["over"] if a != "l"]
    if rest:
        inner = _reduced(b, value, args, rest)
        if not levelled(inner):
            return b.make("sum", (inner,), value.axes, over=("l",))          # two sums, not one of both
        args = [inner]
    args = sorted(args, key=lambda x: "l" not in x.axes)
    params = tuple(Param(f"of_level.{i}", "value", tuple(a for a in x.axes if a != "l"), dtype=x.dtype) for i, x in enumerate(args))
    product = b.mul(*map(b.param, params))
    body = Program("levels", params, (Result("out0", "sum", product.axes, ((product, 0),)),))
    loop = b.make("slots", args, (), "f", body=body, xs=sum("l" in x.axes for x in args), axis="l")
    return b.make("out", (loop,), product.axes, kind="sum", index=0)
