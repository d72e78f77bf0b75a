"""Derivatives of one sum over pairs of tokens as parts of one operation: a GPU computes them together, from the same products."""
from __future__ import annotations

from ..ir.builder import Builder
from ..ir.nodes import Program, Value, order
from .rewrite import Rebuilder, rebuild_program


def share_factors(program: Program, b: Builder) -> Program:
    """Every `pfactor` becomes a part of `channels`, and so does every `papply` of the same matrix, factors and vectors."""
    known = [v for v in program.order() if v.op == "pfactor"]
    joining: list[Value] = []           # what becomes a part of an operation whose arguments are being rebuilt: they can't read it

    def whole(v: Value) -> Value | None:
        """The derivative by the factors of the sum that a `papply` is derived from."""
        (matrix, x, f), side = v.args, 1 if v["transposed"] else 2
        for u in known:
            if u.args[0] is matrix and u.args[3] is f and u.args[side] is x and u["axis"] == v["axis"] and not {*joining, v} & {*order(u.args)}:
                return u
        return None

    def hook(rebuilder: Rebuilder, value: Value, args: list[Value]) -> Value | None:
        if value.op == "pfactor":
            return b.channels(*args, value["axis"], "f")
        if value.op == "papply" and (found := whole(value)) is not None:
            joining.append(value)
            args = rebuilder.rebuild(found.args)
            joining.pop()
            return b.channels(*args, value["axis"], "k" if value["transposed"] else "q")
        if value.op == "scan":
            body = share_factors(value["body"], b)
            return b.make("scan", args, (), "f", **{**dict(value.attrs), "body": body})
        return None

    return rebuild_program(program, b, hook)
