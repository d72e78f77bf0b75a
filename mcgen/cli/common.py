"""What several commands share: spec arguments, loading many specs with all their errors, a stage that can be timed."""
from __future__ import annotations

import argparse
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Iterable, Iterator

from ..diagnostics import McgenError

if TYPE_CHECKING:
    from rich.console import Console

    from ..spec.nodes import Spec
    from ..symbolic.model import Model

NAMES = "a rule, rule+cache or op of the library (`mcgen list`), or the path of a spec file"


def add_specs(parser: argparse.ArgumentParser, many: bool = True, optional: bool = False) -> None:
    """The positional SPEC argument(s)."""
    count: str | None = ("*" if optional else "+") if many else None
    parser.add_argument("specs" if many else "spec", nargs=count, metavar="SPEC", help=NAMES)


def add_threads(parser: argparse.ArgumentParser, default: int | None = None) -> None:
    text = "CPU threads" + (f" (default {default})" if default else " (default: torch's choice)")
    parser.add_argument("--threads", type=positive, metavar="N", default=default, help=text)


def positive(text: str) -> int:
    """An argparse type: an integer above zero."""
    value = int(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{value} is not above zero")
    return value


def numbers(pairs: Iterable[str]) -> dict[str, float | str]:
    """`--constant scale=1.0` as a dict."""
    out: dict[str, float | str] = {}
    for pair in pairs:
        name, equal, value = pair.partition("=")
        if not equal:
            raise_usage(f"{pair!r} is not NAME=VALUE")
        try:
            out[name] = float(value)
        except ValueError:
            out[name] = value
    return out


def console() -> "Console":
    """As wide as the terminal; wide enough for tables where output goes to a file."""
    from rich.console import Console

    return Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=160)


def raise_usage(message: str, hint: str | None = None) -> None:
    from ..diagnostics import UsageError

    raise UsageError(message, hint=hint)


@dataclass(frozen=True)
class Loaded:
    """A spec that was read and typed."""

    source: str
    spec: Spec
    model: Model


def load(source: str, **options: Any) -> Loaded:
    """Read and type one spec; raises SpecError."""
    from ..spec import load_spec
    from ..symbolic.elaborate import elaborate

    spec = load_spec(source, **options)
    return Loaded(source, spec, elaborate(spec))


def each(sources: Iterable[str], work: Callable[[str], int | None]) -> int:
    """Do `work` for every source, print every error, and return the worst exit code."""
    worst = 0
    for source in sources:
        try:
            worst = max(worst, work(source) or 0)
        except McgenError as problem:
            sys.stdout.flush()
            print(problem, file=sys.stderr)
            worst = max(worst, problem.exit_code)
    return worst


def whole_library() -> list[str]:
    """Every rule and whole op by name, and every cache with the first rule."""
    from ..spec import library_names

    return [*library_names("rules"), *library_names("ops")]


@contextmanager
def stage(title: str, quiet: bool = False) -> Iterator[None]:
    """Print 'title ... 1.2 s' around the work."""
    if not quiet:
        print(f"{title} ...", end=" ", flush=True)
    began = time.perf_counter()
    try:
        yield
    except BaseException:
        if not quiet:
            print("stopped", flush=True)
        raise
    if not quiet:
        print(f"{time.perf_counter() - began:.1f} s", flush=True)


def signature(model: Model) -> str:
    """'q[K], k[K], v[V], g[] -> y[V]'."""
    inputs = ", ".join(f"{n}{_shape(i.shape)}" + ("" if i.per == "token" else " per head") for n, i in model.inputs.items())
    answer = model.output if model.output is not None else model.read
    return f"{inputs} -> y{_shape(answer.shape)}"


def _shape(shape: Iterable[str | int]) -> str:
    return "[" + ", ".join(map(str, shape)) + "]"
