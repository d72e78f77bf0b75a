"""Search launch parameters of an op for this device: chunk, register tiles, and what else its kernels can be made with.

`mcgen tune OP` measures schedules against the default, each in a process of its own, and keeps the best as a record that the op then
uses: if it passes every gate of `mcgen verify` and gains more than the noise. A schedule never changes what an op computes.
Ctrl-C stops; the same command goes on. Several at once share one study.

`mcgen tune OP --target cuda:sm_90 --dry-run` shows without a GPU which schedules a target can hold.
`mcgen tune OP --segments` measures the segment lengths that the spec lists under `search`: they change the model, so you choose.
`mcgen tune report OP` draws what a study found.
"""
from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Sequence

from mcgen.diagnostics import UsageError

TRIALS, BUDGET, TIMEOUT = 30, 300.0, 60.0


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; raises McgenError, which mcgen's own command line turns into a message and an exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    drawing = argv[:1] == ["report"]
    args = (report_parser() if drawing else parser()).parse_args(argv[1:] if drawing else argv)
    from . import command

    return int((command.report if drawing else command.tune)(args))


class _Parser(argparse.ArgumentParser):
    """With mcgen's form and exit code for a bad call."""

    def error(self, message: str) -> Any:
        self.print_usage(sys.stderr)
        self.exit(1, f"error[usage]: {message}\n  hint: {self.prog} --help\n")


def parser() -> argparse.ArgumentParser:
    made = _Parser(prog="mcgen tune", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    _subject(made)
    made.add_argument("--trials", type=positive, default=TRIALS, metavar="N", help=f"trials of the study, earlier runs' included (default {TRIALS})")
    made.add_argument("--budget", type=seconds, default=BUDGET, metavar="SECONDS", help=f"seconds for the search (default {BUDGET:.0f}); the last "
                      "measurement and the gates come after it")
    made.add_argument("--timeout", type=seconds, default=TIMEOUT, metavar="SECONDS", help=f"for one trial (default {TIMEOUT:.0f})")
    made.add_argument("--seed", type=int, default=0, help="of the proposals")
    made.add_argument("--fresh", action="store_true", help="begin anew instead of going on with an earlier study")
    made.add_argument("--target", metavar="TARGET", help="with --dry-run: a device that is not here, like cuda:sm_90")
    made.add_argument("--dry-run", action="store_true", help="show the feasible schedules and what their kernels need; run nothing")
    made.add_argument("--segments", action="store_true", help="time against cache size for the spec's segment lengths, as a table and a plot")
    return made


def report_parser() -> argparse.ArgumentParser:
    made = _Parser(prog="mcgen tune report", description="Draw what a study found: trials, their states, the best so far, the winner beside "
                   "the default. Writes report.png and report.html, one file without anything from elsewhere.")
    _subject(made)
    return made


def _subject(made: argparse.ArgumentParser) -> None:
    made.add_argument("op", metavar="OP", help="a rule, rule+cache or op of the library, a shipped op, or the path of a spec file")
    made.add_argument("--device", default="cpu", metavar="DEVICE", help="cpu (default) or cuda")
    made.add_argument("--size", nargs="+", default=[], metavar="NAME=N", help="B, T, H and dims of the spec (default B=1 T=4096 H=8, dims 64)")
    made.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), default="float32", help="of the inputs, on a GPU: with 16 bits the "
                      "precision of products is searched too (default float32)")
    made.add_argument("--threads", type=positive, metavar="N", help="CPU threads (default: torch's choice)")
    made.add_argument("--out", type=Path, metavar="DIR", help="where the record, or the report, goes (default: where the op looks for it)")


def positive(text: str) -> int:
    value = int(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{value} is not above zero")
    return value


def seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds")
    return value


def sizes(pairs: Sequence[str]) -> dict[str, int]:
    """`T=4096 K=64` as a dict."""
    found = {}
    for pair in (p for text in pairs for p in text.split(",") if p):
        name, _, value = pair.partition("=")
        if not value.isdigit() or not name.isidentifier() or int(value) < 1:
            raise UsageError(f"{pair!r} is not NAME=N, like T=4096")
        found[name] = int(value)
    return found
