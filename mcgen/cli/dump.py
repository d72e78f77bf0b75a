"""Print the programs of an op after each stage of the compiler, from the typed rule to the kernels, or after the one named."""
from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Iterator, Sequence

from .common import add_specs, load

if TYPE_CHECKING:
    from ..symbolic.model import Model

PROGRAMS = ("forward", "backward", "weights")


def arguments(parser: argparse.ArgumentParser) -> None:
    add_specs(parser, many=False)
    parser.add_argument("--after", metavar="PASS", help="only the programs after this stage; `list` names them")
    parser.add_argument("--program", choices=PROGRAMS, action="append", help="only this one; may be repeated")


def run(args: argparse.Namespace) -> int:
    from ..diagnostics import UsageError, did_you_mean

    found = []
    for name, programs in _texts(load(args.spec).model, args.program or PROGRAMS):
        found.append(name)
        if args.after in (None, name):
            print("".join(f"# after {name}\n{text}\n\n" for text in programs), end="")
        if args.after == name:
            return 0
    if args.after == "list":
        print("\n".join(found))
    elif args.after:
        raise UsageError(f"no stage is called {args.after!r}{did_you_mean(args.after, found)}", hint="--after list names them")
    return 0


def _texts(model: Model, wanted: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """(stage, its programs as text): the rule as it was typed, the programs after every pass, the kernels."""
    from ..ir.kernel_printer import print_kernel
    from ..ir.printer import print_program
    from ..passes.fuse import fuse
    from ..passes.pipeline import stages
    from ..symbolic.printer import print_model

    yield "token", [print_model(model)]
    for name, state in stages(model):
        programs = {title: getattr(state, title) for title in wanted}
        yield name, [print_program(p) for p in programs.values() if p is not None and p.results]
    kernels = {"forward": state.results, "backward": None}
    yield "fuse", [print_kernel(fuse(programs[title], state.source.builder, kernels[title])) for title in wanted if title in kernels]
