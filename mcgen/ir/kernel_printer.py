"""Prints a kernel as text: the grammar of grammar.md, kernel level. Deterministic, so that it can be kept as a golden."""
from __future__ import annotations

from . import kernel as kr
from .printer import number

_INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!=", "and": "&", "or": "|"}


def print_kernel(kernel: kr.Kernel) -> str:
    """The kernel as text: what it takes and gives, its tiles, then its statements before, in and after the rows."""
    lines = [f"kernel {kernel.name}(" + ", ".join(_declared(p) for p in kernel.params) + ") {"]
    for i, r in enumerate(kernel.results):
        lines.append(f"  {'saves' if i >= kernel.saved else 'gives'} {_declared(r)}")
    lines += [f"  tile {t.name}: {'f64' if t.precise else 'f'}[{', '.join(t.axes)}]" for t in kernel.tiles]
    for head, body in (("before", kernel.before), ("rows reverse" if kernel.reverse else "rows", kernel.rows), ("after", kernel.after)):
        lines += _block(head, body, "  ")
    return "\n".join([*lines, "}"])


def expression(e: kr.Expr) -> str:
    """An expression as text."""
    match e.op:
        case "num":
            return number(e.attr)
        case "size":
            return f"size {e.attr}"
        case "iota":
            return str(e.attr)
        case "row":
            return f"row.{e.attr}"
        case "ref":
            return _ref(e.attr)
    args = [expression(a) for a in e.args]
    return f"({args[0]} {_INFIX[e.op]} {args[1]})" if e.op in _INFIX else f"{e.op}({', '.join(args)})"


def _declared(p) -> str:
    return f"{p.name}: {p.kind}[{', '.join(p.axes)}]" + (f" delay {p.delay}" if p.delay else "")


def _ref(r: kr.Ref) -> str:
    if r.kind == "acc":
        return "acc"
    return f"{r.storage}[{', '.join(r.axes)}]" + (f" at {r.at}" if r.at else "")


def _block(head: str, body, indent: str) -> list[str]:
    lines = [f"{indent}{head} {{"]
    for s in body:
        lines += _statement(s, indent + "  ")
    return [*lines, indent + "}"]


def _statement(s, indent: str) -> list[str]:
    match s:
        case kr.When():
            return _block(f"when {expression(s.condition)}", s.body, indent)
        case kr.Loop():
            return _block(f"loop {s.kind}", s.body, indent)
        case kr.Along():
            return _block(f"along {s.axis}", s.body, indent)
        case kr.Saving():
            return _block("saving", s.body, indent)
        case kr.Product():
            return _block(f"product {', '.join(s.axes)} = dot({expression(s.left)}, {expression(s.right)}) over {', '.join(s.over)}", s.body, indent)
        case kr.Store():
            return [indent + f"store {s.result.name} {'+=' if s.accumulate else '='} {expression(s.value)}" + _words(shift=s.shift)]
        case kr.Load():
            fill = "" if s.fill is None else number(s.fill)
            return [indent + f"{_ref(s.dst)} = load {s.param.name}" + _words(shift=s.shift, fill=fill)]
        case kr.Channels():
            made = ", ".join(_ref(x) if x else "_" for x in (s.dq, s.dk, s.df))
            given = ", ".join(_ref(x) if x else "_" for x in (s.matrix, s.q, s.k, s.factor))
            return [f"{indent}{made} = channels({given})"]
        case kr.Solve():
            return [f"{indent}{_ref(s.x)} = solve({_ref(s.matrix)}, {_ref(s.x)})" + _words(transposed=s.transposed)]
    sign = "+=" if getattr(s, "accumulate", False) else "="
    return [f"{indent}{_ref(s.dst)} {sign} {_right(s)}"]


def _right(s) -> str:
    """What is assigned."""
    match s:
        case kr.Map():
            return expression(s.value)
        case kr.Reduce():
            return f"{s.kind}({expression(s.value)})" + _words(over=", ".join(s.over))
        case kr.Cumsum():
            return f"cumsum({expression(s.value)})" + _words(over=s.axis, reverse=s.reverse, exclusive=s.exclusive)
        case kr.Cumprod():
            return f"cumprod({expression(s.value)})" + _words(reverse=s.reverse)
        case kr.Decayed():
            return f"decayed({expression(s.value)}, {expression(s.factor)})" + _words(reverse=s.reverse)
        case kr.Pair():
            return f"pair({', '.join(map(_ref, (s.q, s.k, s.factor)))})"
        case kr.DenseSolve():
            return f"dense_solve({expression(s.matrix)}, {expression(s.right)})" + _words(row=s.row, column=s.column, definite=s.definite)
        case kr.Topk():
            return f"topk({_ref(s.score)}, {s.k}){' digits' if s.digits else ''}"
        case kr.Dot():
            more = {k: None if (e := getattr(s, k)) is None else expression(e) for k in ("scale", "rows", "then")}
            return f"dot({expression(s.left)}, {expression(s.right)})" + _words(over=", ".join(s.over), lower=s.lower, over_lower=s.over_lower, **more)
    raise ValueError(f"no text for {type(s).__name__}")


def _words(**attributes) -> str:
    """Attributes behind a statement: those that say something."""
    return "".join(f" {k}" if v is True else f" {k} {v}" for k, v in attributes.items() if v)
