"""Print the programs of an op after each stage of the compiler, or after the one named."""
from __future__ import annotations

import argparse

from .common import add_specs, load

PROGRAMS = ("forward", "backward", "weights")


def arguments(parser: argparse.ArgumentParser) -> None:
    add_specs(parser, many=False)
    parser.add_argument("--after", metavar="PASS", help="only the programs after this stage; `list` names them")
    parser.add_argument("--program", choices=PROGRAMS, action="append", help="only this one; may be repeated")


def run(args: argparse.Namespace) -> int:
    from ..diagnostics import UsageError, did_you_mean
    from ..ir.printer import print_program
    from ..passes.pipeline import stages

    found = dict(stages(load(args.spec).model))
    if args.after == "list":
        print("\n".join(found))
        return 0
    if args.after and args.after not in found:
        raise UsageError(f"no stage is called {args.after!r}{did_you_mean(args.after, found)}", hint="--after list names them")
    for name, state in found.items():
        if args.after not in (None, name):
            continue
        for title in args.program or PROGRAMS:
            program = getattr(state, title)
            if program is not None and program.results:
                print(f"# after {name}\n{print_program(program)}\n")
    return 0
