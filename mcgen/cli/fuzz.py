"""Draw random legal specs, and compare every back end with the reference on each: values, memory, all gradients.

Counts what has a chunk form, what runs as a scan, what is refused by name, and what rounding decides: memories selected by equal scores
(ties), gradients past float32's range (diverges), of 0 of which terms leave a roundoff (cancels), at a kink (jumps). A wrong result or a
traceback is shrunk to a small spec and saved with the command that shows it again: mcgen fuzz FILE. Counts are kept as it goes: Ctrl-C
stops, the same command goes on, also with a larger --n. Exits with 2 where something was wrong. Needs hypothesis.
"""
from __future__ import annotations

import argparse
import os
from pathlib import Path

from .common import add_threads, positive, raise_usage
from .common import console as make_console

STANDARD = "interpreter,torch,tvm:10"
NEEDS = "pip install 'mcgen[test]'"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="saved cases to run again")
    parser.add_argument("--n", type=positive, default=200, metavar="N", help="cases to draw (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the draws (default %(default)s)")
    parser.add_argument("--backends", default=STANDARD, metavar="LIST",
                        help="what to compare; NAME:K runs on every K-th case (default %(default)s); also triton, in its interpreter")
    parser.add_argument("--out", type=Path, default=Path("runs/fuzz"), metavar="DIR", help="where failures and counts are kept (default %(default)s)")
    parser.add_argument("--shrink", type=positive, default=60, metavar="SECONDS", help="time to shrink one failure (default %(default)s)")
    parser.add_argument("--fresh", action="store_true", help="start over instead of going on")
    add_threads(parser, 1)


def run(args: argparse.Namespace) -> int:
    every = backends_of(args.backends)
    if any(name == "triton" for name, _ in every):
        os.environ.setdefault("TRITON_INTERPRET", "1")                  # before its kernels are imported
    try:
        import hypothesis  # noqa: F401
    except ModuleNotFoundError:
        from ..diagnostics import EnvironmentLacks

        raise EnvironmentLacks("mcgen fuzz draws specs with hypothesis, which is not installed", "hypothesis", NEEDS) from None
    import torch

    torch.set_num_threads(args.threads)
    return again(args.files, every) if args.files else draw(args, every)


def backends_of(text: str) -> tuple[tuple[str, int], ...]:
    """'torch,tvm:10' as (('torch', 1), ('tvm', 10))."""
    known = ("interpreter", "torch", "tvm", "triton")
    found = []
    for part in text.split(","):
        name, _, every = part.strip().partition(":")
        if name not in known:
            raise_usage(f"no back end {name!r}: expected some of {', '.join(known)}")
        if every and not (every.isdigit() and int(every)):
            raise_usage(f"{part!r} is not NAME or NAME:K with a number K above zero")
        found.append((name, int(every or 1)))
    return tuple(found)


def again(files: list[Path], every: tuple[tuple[str, int], ...]) -> int:
    from ..fuzz.hunt import Failure, replay

    worst = 0
    for path, found in replay(files, [name for name, _ in every]):
        if isinstance(found, Failure):
            print(f"{path}: {found.kind}: {found.what}")
            worst = 2
        else:
            print(f"{path}: {found.kind}, right on {', '.join(found.ran) or 'nothing'} ({found.checks} comparisons)")
    return worst


def draw(args: argparse.Namespace, every: tuple[tuple[str, int], ...]) -> int:
    from ..fuzz.display import Display
    from ..fuzz.hunt import Plan, hunt
    from ..fuzz.report import table_of
    from .interrupts import Interrupts

    plan, console, interrupted = Plan(args.n, args.seed, every, args.out, float(args.shrink)), make_console(), False
    if args.fresh and plan.path:
        plan.path.unlink(missing_ok=True)
    with Interrupts() as interrupts, Display(console, args.n) as display:
        try:
            hunt(plan, display.show, lambda: interrupts.asked)
        except KeyboardInterrupt:
            interrupted = True
    tally = display.tally
    console.print(table_of(tally))
    for failure in tally.failures:
        console.print(f"{failure.kind}: {failure.what}\n  mcgen fuzz {failure.path}", markup=False)
    console.print(f"counts in {plan.path}" + ("; the same command goes on" if interrupted else ""), markup=False)
    if interrupted:
        raise KeyboardInterrupt
    return 2 if tally.wrong else 0
