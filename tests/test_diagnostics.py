"""Rendering, suggestions, exit codes; and that diagnostics import nothing of mcgen."""
from __future__ import annotations

import ast
import pickle
from pathlib import Path

import mcgen.diagnostics as d


def test_rendering() -> None:
    line = "    S: exp(g) * S + bta * outer(k, v)"
    pos = d.Pos("specs/my.yaml", 14, line.index("bta") + 1, 3, line)
    message = "'bta' is not an input, state or constant" + d.did_you_mean("bta", ["beta", "b"])
    assert d.Diagnostic("unknown-name", message, pos).render() == (
        "specs/my.yaml:14:21: error[unknown-name]: 'bta' is not an input, state or constant (did you mean 'beta'?)\n"
        "    S: exp(g) * S + bta * outer(k, v)\n"
        "                    ^^^")


def test_long_lines_and_odd_characters() -> None:
    text = "x" * 500 + "BAD" + "y\x1b[31m" * 500
    lines = d.Diagnostic("c", "m", d.Pos("f", 1, 501, 3, text)).render().split("\n")
    assert len(lines[1]) < 200 and lines[1][lines[2].index("^"):][:3] == "BAD" and "\x1b" not in lines[1]
    assert d.Diagnostic("c", "m").render() == "error[c]: m"
    assert d.quote("a" * 100) == repr("a" * 45 + "...") and d.quote("\x1b") == r"'\x1b'"


def test_suggestions() -> None:
    assert d.nearest("k", ["K", "q"]) == "K" and d.nearest("zzz", ["a"]) is None and d.nearest("x" * 10**6, ["a"]) is None


def test_exceptions() -> None:
    lowered = d.NotLowered("a cubic read", d.Pos("f", 1, 2), hint="wait")
    assert isinstance(lowered, d.SpecError) and lowered.code == "not-lowered" and lowered.exit_code == 1
    assert str(lowered).startswith("f:1:2: error[not-lowered]: not lowered yet: a cubic read")
    usage = d.UsageError("bad shape", "bad-shape", "transpose it")
    assert isinstance(usage, ValueError) and str(usage) == "error[bad-shape]: bad shape\n  hint: transpose it"
    assert d.EnvironmentLacks("no GPU").exit_code == 3 and d.VerificationFailed("off").exit_code == 2
    for e in (lowered, usage, d.error("a", "b"), d.EnvironmentLacks("x")):
        again = pickle.loads(pickle.dumps(e))      # noqa: S301  trials send errors between processes
        assert type(again) is type(e) and str(again) == str(e)


def test_one_way() -> None:
    tree = ast.parse(Path(d.__file__).read_text(encoding="utf-8"))
    imported = [n for n in ast.walk(tree) if isinstance(n, (ast.Import, ast.ImportFrom))]
    assert all(getattr(n, "level", 0) == 0 and "mcgen" not in ast.dump(n) for n in imported)
