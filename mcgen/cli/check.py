"""Read specs and say what is wrong with them: file, line, column, a code, and the nearest valid name.

Without a SPEC the whole library is checked. Nothing is built.
"""
from __future__ import annotations

import argparse

from .common import add_specs, each, load, signature, whole_library


def arguments(parser: argparse.ArgumentParser) -> None:
    add_specs(parser, optional=True)
    parser.add_argument("-q", "--quiet", action="store_true", help="print problems only")


def run(args: argparse.Namespace) -> int:
    sources = args.specs or whole_library()

    def work(source: str) -> None:
        loaded = load(source)
        if not args.quiet:
            print(f"ok  {source}: {signature(loaded.model)}")
            for note in loaded.model.notes:
                print(note)

    code = each(sources, work)
    if not args.specs and not args.quiet and not code:
        print(f"{len(sources)} specs are right")
    return code
