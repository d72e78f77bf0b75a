"""Print the program of an op after each stage of the compiler, or after the one named."""
from __future__ import annotations

import argparse

from .common import add_specs, load


def arguments(parser: argparse.ArgumentParser) -> None:
    add_specs(parser, many=False)
    parser.add_argument("--after", metavar="PASS", help="only the program after this pass; `list` names them")


def run(args: argparse.Namespace) -> int:
    from ..diagnostics import UsageError, did_you_mean

    loaded = load(args.spec)
    from ..passes.pipeline import stages

    programs = dict(stages(loaded.model))
    if args.after == "list":
        print("\n".join(programs))
        return 0
    if args.after and args.after not in programs:
        raise UsageError(f"no pass is called {args.after!r}{did_you_mean(args.after, programs)}", hint="--after list names them")
    for name, program in programs.items():
        if args.after in (None, name):
            print(f"# after {name}\n{program}\n")
    return 0
