"""Prints a program as text: the grammar of grammar.md. Deterministic, so that it can be compared and kept as a golden."""
from __future__ import annotations

from .nodes import Program, Result, Value


def print_program(program: Program, indent: str = "") -> str:
    """The program as text; values are numbered in order of first need."""
    lines = [f"{indent}prog {program.name}(" + ", ".join(_param(p) for p in program.params) + ") {"]
    names: dict[int, str] = {}
    count = 0
    for value in program.order():
        if value.op in ("const",):
            names[id(value)] = number(value["value"])
            continue
        names[id(value)] = f"%{count}"
        count += 1
        lines.extend(_statement(value, names, indent + "  "))
    for result in program.results:
        lines.append(indent + "  " + _result(result, names))
    lines.append(indent + "}")
    return "\n".join(lines)


def _param(p) -> str:
    return f"{p.name}: {p.kind}[{', '.join(p.axes)}]"


def number(x: float) -> str:
    """A number, short and exact."""
    return f"{x:g}" if x == float(f"{x:g}") else repr(x)


def _result(result: Result, names: dict[int, str]) -> str:
    parts = " + ".join(names[id(v)] + (f" shift {s}" if s else "") for v, s in result.parts) or "0"
    return f"return {result.name}: {result.kind}[{', '.join(result.axes)}] = {parts}"


def _statement(value: Value, names: dict[int, str], indent: str) -> list[str]:
    args = ", ".join(names[id(a)] for a in value.args)
    attrs = dict(value.attrs)
    body = attrs.pop("body", None)
    op = attrs.pop("fn", None) or value.op
    if op == "rename":
        attrs = {"moves": ", ".join(f"{a} -> {b}" for a, b in attrs["moves"])}
    shown = " ".join(f"{k}={','.join(v) if isinstance(v, tuple) else v}" for k, v in attrs.items() if v is not None and v is not False)
    head = f"{indent}{names[id(value)]}: {value.dtype}[{', '.join(value.axes)}] = {op}({args})" + (f" {shown}" if shown else "")
    if value.pos.line:
        head += f"  # {value.pos.file}:{value.pos.line}"
    return [head] + (print_program(body, indent + "  ").splitlines() if body is not None else [])
