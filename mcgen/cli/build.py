"""Compile specs and write their packages: readable code, a manifest, the spec.

Without a SPEC every op under generated/ is built again. --check writes nothing: it builds into a temporary folder and
compares byte by byte, and exits with 2 where a file differs. --target cuda:sm_90 writes nothing either: it compiles the
op's Triton kernels for that GPU, shows registers, stack, shared memory and tensor-core instructions, and exits with 2 where
one does not fit or spills.
"""
from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from .common import add_specs, each, load, stage


def arguments(parser: argparse.ArgumentParser) -> None:
    add_specs(parser, optional=True)
    parser.add_argument("--out", type=Path, metavar="DIR", help="where packages go (default generated/)")
    parser.add_argument("--target", default="cpu", metavar="TARGET", help="cpu (default), or a GPU to compile the Triton kernels for as a check, "
                        "such as cuda:sm_90 or hip:gfx942: prints what they take")
    parser.add_argument("--size", action="append", default=[], metavar="DIM=N", help="with a GPU target: the size of a dimension (default 64)")
    parser.add_argument("--chunk", type=int, metavar="C", help="with a GPU target: tokens of a chunk (default: what a call takes there)")
    parser.add_argument("--precision", help="with a GPU target: of products, ieee, tf32x3, tf32x3-serial, tf32 or bf16")
    parser.add_argument("--check", action="store_true", help="compare with what is there instead of writing")
    parser.add_argument("-q", "--quiet", action="store_true", help="print problems only")


def run(args: argparse.Namespace) -> int:
    if args.target != "cpu":
        from ..runtime.triton.compile import parse_target
        parse_target(args.target)                               # a wrong one is said before anything is built
    home = args.out or Path("generated")
    sources = args.specs or _committed(home)
    if not sources:
        print(f"nothing is built under {home}/ yet: name a spec")
        return 0
    if args.check:
        return each(sources, lambda source: _compare(source, home, args))
    return each(sources, lambda source: _write(source, home, args))


def _committed(home: Path) -> list[str]:
    """Where the packages that are there come from: the library where it has their name, else their own spec.yaml."""
    from ..spec import library_names

    known = {n: n for n in (*library_names("rules"), *library_names("ops"))}
    known |= {f"{r}_{c}": f"{r}+{c}" for r in library_names("rules") for c in library_names("caches")}
    return [known.get(p.parent.name, str(p)) for p in sorted(home.glob("*/spec.yaml"))]


def _build(source: str, home: Path, args: argparse.Namespace) -> Path:
    """Lines that the package names are those of its own spec.yaml."""
    from ..codegen.package import build
    from ..spec import dump_spec, load_text

    spec = load(source).spec
    return Path(build(load_text(dump_spec(spec), "spec.yaml"), home / spec.name))


def _write(source: str, home: Path, args: argparse.Namespace) -> int:
    if args.target != "cpu":
        return _check_target(source, args)
    with stage(f"build {source}", args.quiet):
        _build(source, home, args)
    return 0


def _check_target(source: str, args: argparse.Namespace) -> int:
    """Nothing is written where packages go."""
    from .target import check

    with tempfile.TemporaryDirectory(prefix="mcgen-target-") as temporary:
        with stage(f"build {source}", args.quiet):
            made = _build(source, Path(temporary), args)
        return check(made, args.target, args.chunk, args.size, args.precision)


def _compare(source: str, home: Path, args: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="mcgen-check-") as temporary:
        made = _build(source, Path(temporary), args)
        problems = differences(made, home / made.name)
    for line in problems:
        print(f"{home / made.name}: {line}")
    if not problems and not args.quiet:
        print(f"ok  {made.name}: {home / made.name} is what mcgen writes")
    return 2 if problems else 0


def differences(new: Path, old: Path) -> list[str]:
    """Files that differ, are missing or are too many; tuned configurations and caches are not compared."""
    if not old.is_dir():
        return ["not built yet"]
    here, there = _files(new), _files(old)
    out = [f"{name} is missing" for name in sorted(here - there)]
    out += [f"{name} is not written by mcgen" for name in sorted(there - here)]
    out += [f"{name} differs{_first(new / name, old / name)}" for name in sorted(here & there)
            if (new / name).read_bytes() != (old / name).read_bytes()]
    return out


def _files(folder: Path) -> set[str]:
    names = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    return {n for n in names if "__pycache__" not in n and not n.startswith("tuned/")}


def _first(new: Path, old: Path) -> str:
    """', first at line N'."""
    a, b = new.read_bytes().splitlines(), old.read_bytes().splitlines()
    for number, (x, y) in enumerate(zip(a, b), 1):
        if x != y:
            return f", first at line {number}: {json.dumps(y.decode(errors='replace')[:100])}"
    return f", first at line {min(len(a), len(b)) + 1}"
