"""Scans over rows of one kernel whose parameters stand for different values get different names for them: a name is one value there.

    scan { x -> f(x) }(a), scan { x -> g(x) }(b)     ->     scan { x -> f(x) }(a), scan { x.other -> g(x.other) }(b)
"""
from __future__ import annotations

from dataclasses import replace

from ..ir.builder import Builder
from ..ir.nodes import Program, Value, scan_axis
from .rewrite import Rebuilder, rebuild_program


def names_apart(program: Program, b: Builder) -> Program:
    """Ensures: the same values; of two scans over rows that have a parameter of one name it is the same value. (Those over tokens have
    names of their own in a kernel.)"""
    given: dict[str, int] = {}                               # name -> the argument, for what is carried the scan

    def apart(rebuilder: Rebuilder, value: Value, args: list[Value]) -> Value | None:
        if value.op != "scan" or scan_axis(value) != "r":
            return None
        body, n = value["body"], value["carries"]
        params = []
        for p, arg in zip(body.params, [value] * n + args[n:]):
            name = p.name
            while given.setdefault(name, id(arg)) != id(arg):
                name += ".other"
            params.append(replace(p, name=name))
        inner = Rebuilder(b, {id(b.param(p)): b.param(new) for p, new in zip(body.params, params) if new != p})
        results = tuple(replace(r, parts=tuple((inner.rebuild([v])[0], s) for v, s in r.parts)) for r in body.results)
        body = replace(body, params=tuple(params), results=results)
        return b.make("scan", args, (), "f", **{**dict(value.attrs), "body": body})

    return rebuild_program(program, b, apart)
