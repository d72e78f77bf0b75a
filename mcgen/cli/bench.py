"""Measure ops against their peers: time, peak memory, scaling with tokens and segments, first call, overhead of a call.

Without a SPEC the cases of specs/bench.yaml are measured. All candidates of a case take turns in one run; medians and ratios
count. Tables go to the terminal and, with JSON and a plot, to runs/bench/. With --device cuda the times of ops on the GPU, in 16 bits,
against flash-linear-attention where that is installed, at the sizes of specs/bench.yaml.
"""
from __future__ import annotations

import argparse
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

from .common import add_specs, add_threads, positive
from .common import console as make_console

if TYPE_CHECKING:
    from ..bench.cases import Case, Scaling
    from ..bench.report import Findings

PARTS = ("times", "memory", "scaling", "startup", "overhead")
EXTRA = ("builds", "rates")          # measured only when named


def arguments(parser: argparse.ArgumentParser) -> None:
    add_specs(parser, optional=True)
    parser.add_argument("--only", action="append", choices=(*PARTS, *EXTRA),
                        help="this part alone; may be repeated. builds and rates, of every rule where no SPEC is named, run only when asked for")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where ops run (default cpu); on cuda times are all that is measured")
    parser.add_argument("--rounds", type=positive, default=9, metavar="N", help="turns of each candidate (default 9)")
    parser.add_argument("--quick", action="store_true", help="a quarter of the tokens and three turns: to see that it runs")
    parser.add_argument("--out", type=Path, default=Path("runs") / "bench", metavar="DIR", help="where results go (default runs/bench)")
    add_threads(parser, default=2)


def run(args: argparse.Namespace) -> int:
    import torch

    from ..bench import machine, peers_fla
    from ..bench.report import Findings
    from ..spec import library_names

    torch.set_num_threads(args.threads)
    listed, scaling = _listed(args)
    rounds = args.rounds
    if args.quick:
        rounds, listed, scaling = 3, [_small(c) for c in listed], _small_scaling(scaling)
    found = Findings(machine.device(args.device), machine.versions())
    if args.device == "cuda":
        found.remarks.append(peers_fla.dispatch())
    if warning := machine.busy():
        found.remarks.append(warning)
    console = make_console()
    console.print(f"{found.device}; " + ", ".join(f"{k} {v}" for k, v in found.versions.items()))
    parts = args.only or (PARTS if args.device == "cpu" else ("times",))
    try:
        with console.status("") as status:
            _measure(found, parts, listed, scaling, rounds, lambda text: status.update(text))
            for part in [p for p in EXTRA if p in parts]:
                _each(found, part, args.specs or library_names("rules"), lambda text: status.update(text))
    finally:
        for table in found.tables():
            table.show(console)
        for remark in found.remarks:
            console.print(f"note: {remark}", markup=False)
        if found.tables():
            found.save(args.out)
            console.print(f"in {args.out}/: results.json, results.md" + (", scaling.png" if found.curves else ""))
    return 0 if found.tables() else 1


def _listed(args: argparse.Namespace) -> tuple[list[Case], Scaling | None]:
    import torch

    from ..bench import cases
    from ..diagnostics import EnvironmentLacks, UsageError

    if args.device == "cpu":
        return cases.read(args.specs)
    if set(args.only or ()) - {"times"}:
        raise UsageError("on a GPU only times are measured", "device", "leave out --only, or --device cuda")
    if not torch.cuda.is_available():
        raise EnvironmentLacks("--device cuda needs a GPU", "device")
    return cases.read_gpu(args.specs), None


def _measure(found: Findings, parts: Any, listed: list[Case], scaling: Scaling | None, rounds: int,
             say: Callable[[str], None]) -> None:
    """Fill the findings part by part; what can't be measured becomes a remark."""
    from ..bench import memory, overhead, startup, suite
    from ..bench import scaling as curves

    if "times" in parts:
        for case in listed:
            outcome = suite.attempt(case, rounds=rounds, say=say)
            _take(found, outcome, found.results.extend, case.words)
    if "memory" in parts:
        for case in [c for c in listed if c.peer != "package"]:
            for direction in ("forward", "forward + backward"):
                for subject in ("mcgen", "peer"):
                    say(f"{case.words}: memory, {direction}, {subject}")
                    outcome = _try(memory.measured, case, direction, subject)
                    what = subject if subject == "mcgen" else case.peer
                    row = {"case": case.words, "direction": direction, "subject": what}
                    _take(found, outcome, functools.partial(_row, found, row), case.words)
    if "scaling" in parts and scaling is not None:
        _take(found, _try(curves.measure, scaling, rounds=min(rounds, 5), say=say), found.curves.extend, "scaling")
    if "startup" in parts and listed:
        say("starts")
        _take(found, _try(startup.seconds, listed[0]), found.startup.update, "starts")
    if "overhead" in parts:
        for op, case in {case.op: case for case in listed}.items():
            say(f"{op}: overhead")
            _take(found, _try(overhead.microseconds, case), functools.partial(found.overhead.__setitem__, op), op)


def _each(found: Findings, part: str, ops: list[str], say: Callable[[str], None]) -> None:
    """Build times or rates of all these ops."""
    from ..bench import builds, rates, scans

    for op in ops:
        say(f"{op}: {part}")
        if part == "builds":
            _take(found, _try(builds.seconds, op), functools.partial(found.builds.__setitem__, op), op)
        elif (outcome := _try(rates.measure, op)) is not None:
            _take(found, outcome, functools.partial(found.rates.__setitem__, op), op)
        else:
            _take(found, _try(scans.measure, op), functools.partial(found.scans.__setitem__, op), op)


def _row(found: Findings, row: dict[str, Any], measured: dict[str, Any]) -> None:
    found.memory.append({**row, **measured})


def _try(work: Callable[..., Any], *args: Any, **options: Any) -> Any:
    from ..diagnostics import McgenError

    try:
        return work(*args, **options)
    except McgenError as problem:
        return str(problem)


def _take(found: Findings, outcome: Any, keep: Callable[[Any], None], what: str) -> None:
    if isinstance(outcome, str):
        found.remarks.append(f"{what}: {outcome}")
    else:
        keep(outcome)


def _small(case: Case) -> Case:
    return case.at(T=max(512, case.sizes["T"] // 4))


def _small_scaling(scaling: Scaling | None) -> Scaling | None:
    import dataclasses

    return scaling and dataclasses.replace(scaling, tokens=[t for t in scaling.tokens if t <= 2048][:3],
                                           segments=[s for s in scaling.segments if s <= 256][:3])
