"""Write a commented spec to start from. It is a working op at once: `mcgen check`, `build` and `train` take its path."""
from __future__ import annotations

import argparse
import keyword
import os
import re
from pathlib import Path

from .common import raise_usage

TEMPLATE = """\
# yaml-language-server: $schema=@SCHEMA@
# A memory rule. `mcgen check @PATH@` reads it, `mcgen train @PATH@` trains a model with it.
name: @NAME@
summary: A memory with a decay and a gated write.

rule:
  # One token, one head. An entry is NAME: SHAPE or NAME: {shape, domain, per, default, doc}.
  # Dimensions are names: equal names are equal sizes.
  inputs:
    q: {shape: [K], domain: unit, doc: what is asked}
    k: {shape: [K], domain: unit, doc: where it is written}
    v: {shape: [V], doc: what is written}
    g: {shape: [], domain: [-inf, 0], doc: log of the share that is kept}
    b: {shape: [], domain: [0, 1], doc: strength of the write}

  # What the memory is. Each starts at zero; `{shape: [K, V], init: learned}` starts from a parameter.
  state:
    S: [K, V]

  # Names for parts without a state.
  let:
    keep: exp(g)

  # How one token changes it. `S` is the value before this token.
  # Quote an expression with commas inside {}: {S: "S + outer(k, v)"}.
  update:
    S: keep * S + b * outer(k, v)

  # What it answers. `S` is the value after this token; prev(S) the one before.
  read: S.T @ q

# Memories of past segments, mixed by a softmax. Without this block the op is a plain recurrence.
# The line can also be given by name: `mcgen train my_rule+grm` for a rule in specs/rules.
cache:
  inputs: {u: [K]}
  segments: {length: 64, start: carry}
  summary: mean(k)
  score: dot(u, summary)
  weight: softmax(score)
  mix: reads
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the op's name, or the path of the file to write")
    parser.add_argument("--force", action="store_true", help="write over an existing file")


def run(args: argparse.Namespace) -> int:
    path = Path(args.name) if args.name.endswith((".yaml", ".yml")) else Path("specs") / "rules" / f"{args.name}.yaml"
    name = path.stem
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) or keyword.iskeyword(name):
        raise_usage(f"{name!r} can't be an op's name", hint="letters, digits and _, beginning with a letter")
    if path.exists() and not args.force:
        raise_usage(f"{path} exists", hint="--force writes over it")
    from ..files import write_text

    write_text(path, template(name, path))
    print(f"{path}\n\nnext:\n  mcgen check {path}\n  mcgen explain {path}\n  mcgen verify {path}\n  mcgen train {path}")
    return 0


def template(name: str, path: Path) -> str:
    """The text of a new spec."""
    from ..spec.library import library_dirs

    schema = Path(os.path.relpath(library_dirs()[-1] / "mcgen.schema.json", path.resolve().parent)).as_posix()
    return TEMPLATE.replace("@NAME@", name).replace("@PATH@", path.as_posix()).replace("@SCHEMA@", schema)
