"""`mcgen COMMAND`: finds the command's file, runs it, and turns every expected error into a message and an exit code.

A command's module is imported only when it is called, and itself imports the compiler only when it runs, so that
`mcgen --help` answers at once.
"""
from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback
from typing import Sequence

from .. import __version__
from ..diagnostics import McgenError, nearest

# command -> one line of help; the command's file has the same name
COMMANDS: dict[str, str] = {
    "check": "read specs, say what is wrong with them and where",
    "explain": "say how an op will be computed, and why",
    "build": "compile specs and write the generated packages",
    "verify": "compare a compiled op with the reference: values, gradients, edges",
    "train": "check, build and verify a spec, then train a small language model with it",
    "bench": "measure ops against their peers: time, memory, scaling, first call",
    "tune": "search launch parameters for a device",
    "new": "write a commented spec to start from",
    "list": "list the rules, caches and ops that mcgen knows",
    "dump": "print the program after each stage of the compiler",
    "fuzz": "draw random legal specs and compare every back end with the reference",
    "bisect": "find the first pass of the compiler that changes a value",
}

EPILOG = """exit codes: 0 done, 1 the spec or the call is wrong, 2 verification failed, 3 the environment lacks something, 130 interrupted

An op is named by its rule, or by rule+cache (`mcgen list` shows both), or by the path of a spec file.
  mcgen new my_rule && mcgen train specs/rules/my_rule.yaml
"""

OK, WRONG, FAILED, LACKS, INTERRUPTED = 0, 1, 2, 3, 130


class _Parser(argparse.ArgumentParser):
    """argparse with mcgen's exit code for a bad call."""

    def error(self, message: str) -> None:  # type: ignore[override]
        self.print_usage(sys.stderr)
        self.exit(WRONG, f"error[usage]: {message}\n  hint: {self.prog} --help\n")


def _overview() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS))
    listing = "\n".join(f"  {name:<{width}}  {text}" for name, text in COMMANDS.items())
    parser = _Parser(prog="mcgen", formatter_class=argparse.RawDescriptionHelpFormatter, usage="mcgen COMMAND [--help] ...",
                     description=f"Compile YAML specs of recurrent memory rules into torch ops.\n\ncommands:\n{listing}", epilog=EPILOG)
    parser.add_argument("--version", action="version", version=f"mcgen {__version__}")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. Never shows a traceback for what a user can cause (MCGEN_DEBUG=1 shows it)."""
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        return _dispatch(argv)
    except SystemExit as stop:                    # argparse: --help, --version and bad calls
        return stop.code if isinstance(stop.code, int) else OK
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:                       # `mcgen list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except McgenError as problem:
        return _report(str(problem), problem.exit_code)
    except ModuleNotFoundError as problem:
        return _report(f"error[environment]: {_missing(problem)}", LACKS)
    except OSError as problem:
        where = f"{problem.filename}: " if problem.filename else ""
        return _report(f"error[file]: {where}{problem.strerror or problem}", LACKS)


def _dispatch(argv: list[str]) -> int:
    if not argv or argv[0].startswith("-"):
        _overview().parse_args(argv)
        _overview().print_help()
        return OK if not argv else WRONG
    name, rest = argv[0], argv[1:]
    if name == "help":
        return _dispatch([*rest[:1], "--help"])
    if name not in COMMANDS:
        close = nearest(name, COMMANDS)
        return _report(f"error[usage]: no command is called {name!r}" + (f" (did you mean {close!r}?)" if close else "")
                       + "\n  hint: mcgen --help", WRONG)
    command = importlib.import_module(f"mcgen.cli.{name}")
    if hasattr(command, "forward"):
        return int(command.forward(rest) or OK)
    parser = _Parser(prog=f"mcgen {name}", description=command.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.arguments(parser)
    return int(command.run(parser.parse_args(rest)) or OK)


def _report(text: str, code: int) -> int:
    sys.stdout.flush()
    if os.environ.get("MCGEN_DEBUG", "0") not in ("", "0") and sys.exc_info()[0] is not None:
        traceback.print_exc()
    print(text, file=sys.stderr)
    return code


def _missing(problem: ModuleNotFoundError) -> str:
    name = problem.name or str(problem)
    if name.startswith("mcgen"):
        return f"this build of mcgen has no {name}"
    return f"the package {name!r} is not installed\n  hint: reinstall mcgen with its dependencies"
