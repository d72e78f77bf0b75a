"""Where named rules, caches and ops are found, and what their names may look like.

Folders are searched in this order: those in MCGEN_SPECS (separated like PATH), the specs inside an installed
package (`mcgen/_specs`), the specs of a source checkout (`specs/` beside `mcgen/`). The first file found wins.
"""
from __future__ import annotations

import os
import re
from pathlib import Path

from ..diagnostics import NOWHERE, Pos, did_you_mean, error, quote
from .tree import MAX_TEXT

KINDS = ("rules", "caches", "ops")
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


def library_dirs() -> list[Path]:
    """The folders that hold `rules/`, `caches/` and `ops/`, in the order in which they are searched."""
    package = Path(__file__).resolve().parent.parent
    named = [Path(p) for p in os.environ.get("MCGEN_SPECS", "").split(os.pathsep) if p]
    return [d for d in [*named, package / "_specs", package.parent / "specs"] if d.is_dir()]


def library_names(kind: str) -> list[str]:
    """All names of a kind ('rules', 'caches' or 'ops'), sorted."""
    found = set()
    for folder in library_dirs():
        found |= {f.stem for f in (folder / kind).glob("*.yaml") if NAME.fullmatch(f.stem)}
    return sorted(found)


def find(kind: str, name: str, pos: Pos = NOWHERE) -> tuple[Path, str]:
    """The library file of that name and what it is called in messages ('specs/rules/<name>.yaml')."""
    if not NAME.fullmatch(name):
        raise error("bad-name", f"{quote(name)} is not a name of the library", pos,
                    hint="a name has letters, digits and _, and begins with a letter")
    for folder in library_dirs():
        path = folder / kind / f"{name}.yaml"
        if path.is_file():
            return path, f"specs/{kind}/{name}.yaml"
    singular = kind[:-1]
    raise error("not-found", f"no {singular} named {quote(name)} in the library"
                + did_you_mean(name, library_names(kind)), pos, hint="`mcgen list` shows all names")


def read_text(path: Path, shown: str) -> str:
    """The text of a spec file, bounded."""
    try:
        if not path.is_file():
            raise error("not-found", f"{quote(shown)} is not a file")
        with open(path, "rb") as f:
            data = f.read(4 * MAX_TEXT + 1)
        if len(data) > 4 * MAX_TEXT:
            raise error("too-large", f"{shown}: a spec has at most {MAX_TEXT} characters")
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise error("yaml-syntax", f"{shown} is not UTF-8 text") from None
    except (OSError, ValueError) as e:
        reason = getattr(e, "strerror", None) or "not a legal path"
        raise error("not-found", f"can't read {quote(shown)}: {reason}") from None
