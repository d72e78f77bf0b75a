"""Expressions: structure, places, and what is refused."""
from __future__ import annotations

import pytest

from mcgen.diagnostics import SpecError
from mcgen.spec.expressions import parse_expression
from mcgen.spec.nodes import Binary, Call, Compare, Expr, Index, Name, Num, Unary
from mcgen.spec.tree import Map, Text, parse_yaml


def parse(text: str) -> Expr:
    node = parse_yaml("x: " + text, "f.yaml")
    assert isinstance(node, Map)
    value = node.get("x")
    assert isinstance(value, Text)
    return parse_expression(value)


S, q, z = Name("S"), Name("q"), Name("z")


@pytest.mark.parametrize("text, expected", [
    ("S.T @ q / z", Binary("/", Binary("@", Unary("T", S), q), z)),
    ("-q**2", Unary("-", Binary("**", q, Num(2)))),
    ("K**-0.5", Binary("**", Name("K"), Unary("-", Num(0.5)))),
    ("S[0]", Index(S, Num(0))),
    ("grad(S, at=q)", Call("grad", (S,), (("at", q),))),
    ("where(q <= 1, z, S)", Call("where", (Compare("<=", q, Num(1)), z, S))),
    ("f()", Call("f", ())),
    ("1e-6", Num(1e-6)),
    ("(q)", q),
])
def test_structure(text: str, expected: Expr) -> None:
    assert parse(text) == expected


def names(e: Expr) -> list[Name]:
    parts = [getattr(e, f, None) for f in ("left", "right", "arg", "index")] + list(getattr(e, "args", ()))
    return ([e] if isinstance(e, Name) else []) + [n for p in parts if isinstance(p, Expr) for n in names(p)]


@pytest.mark.parametrize("text", [
    "alpha * beta  +  gamma",
    '"alpha * beta + f(gamma)"',
    "'alpha * beta + gamma'",
    "alpha *\n   beta +\n     gamma",
    ">\n  alpha * beta\n  + gamma\n",
    "|\n  alpha *\n    beta +\n  gamma\n",
    '"alpha *\n  beta + \\\n  gamma"',
    "  # a comment\n  alpha * beta + gamma   # another",
    "(alpha\n\n\n  * beta) + gamma",
])
def test_places(text: str) -> None:
    lines = ("x: " + text).split("\n")
    found = names(parse(text))
    assert [n.id for n in found] == ["alpha", "beta", "gamma"]
    for n in found:
        assert n.pos.text == lines[n.pos.line - 1]
        assert n.pos.text[n.pos.column - 1:][: n.pos.width] == n.id


@pytest.mark.parametrize("text", [
    "__import__('os').system('true')", "(lambda: 1)()", "[x for x in y]", "x.__class__", "f'{x}'", "x if y else z",
    "print(*x)", "f(**x)", "x := 1", "a and b", "not a", "a < b < c", "{1: 2}", "...", "None", "True", "b'x'", "x[1:2]",
    "yield x", "await x", "x; y", "a = b", "0x", "1__0", "9" * 5000, "1e400", "-" * 3000 + "x", "x" + ".T" * 1900,
    "(" * 70 + "x" + ")" * 70 + "(", "a if", "where(x, y, z)", "x @ @ y", "é + 1", "x\u2028y", "\\", "``", "grad(S, to=x)",
    "grad(S, at=x, at=y)", "f(at=x)", "x.T.S", "1 2", "S[", "S[]", "f(,)", "lambda x: x", "~x", "x | y", "x << 1", "x is y",
])
def test_refused(text: str) -> None:
    quoted = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    with pytest.raises(SpecError) as e:
        parse(quoted)
    assert e.value.diagnostics[0].pos.line >= 1
