"""One wrong spec per diagnostic, and what is said about it, pinned."""
from __future__ import annotations

import re
from pathlib import Path

import pytest

from mcgen.diagnostics import SpecError
from mcgen.spec import load_text
from mcgen.symbolic.elaborate import elaborate

HERE = Path(__file__).parent / "bad"
ROOT = Path(__file__).parents[2] / "mcgen"
FILES = sorted(HERE.glob("*.yaml"))
ELSEWHERE = {"use-cycle"}          # needs a library of its own: tests/spec/test_library.py


def said_about(path: Path) -> str:
    """All findings about a spec as one text, and the codes in it."""
    try:
        model = elaborate(load_text(path.read_text(encoding="utf-8"), f"bad/{path.name}"))
    except SpecError as e:
        return str(e)
    return "\n".join(note.render() for note in model.notes)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_what_is_said(path: Path, golden) -> None:
    said = said_about(path)
    code = re.search(r"\[([a-z-]+)\]", said)
    assert code and path.stem.removeprefix("note-").startswith(code[1])
    golden(path.with_suffix(".txt"), said)


def test_every_code_has_a_spec() -> None:
    made = re.compile(r'(?:error|Diagnostic|wrong)\(\s*"([a-z-]+)"|"(not-allowed|bad-number|unexpected-keyword|comparison)"')
    codes = set()
    for folder in ("spec", "symbolic"):
        for file in (ROOT / folder).glob("*.py"):
            codes |= {a or b for a, b in made.findall(file.read_text(encoding="utf-8"))}
    pinned = set()
    for file in HERE.glob("*.txt"):
        pinned |= set(re.findall(r"(?:error|note)\[([a-z-]+)\]", file.read_text(encoding="utf-8")))
    assert codes - pinned - ELSEWHERE == set()
