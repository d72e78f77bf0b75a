"""The commands: a study from nothing to a record, and its report."""
from __future__ import annotations

import argparse
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping, Sequence

import torch
from rich.console import Console

import mcgen
from mcgen.bench.machine import busy
from mcgen.cli.common import console as make_console
from mcgen.cli.interrupts import Interrupts
from mcgen.codegen.package import cache_dir, package
from mcgen.diagnostics import EnvironmentLacks, UsageError, did_you_mean
from mcgen.runtime import load_package

from . import display, journal, record, spaces, work
from .cli import sizes
from .finish import judge, settled
from .isolate import run
from .space import Config, Space, config_of, schedule_of
from .states import Outcome
from .study import SMALL, Trial, search, trials_of
from .subject import DEFAULT_SIZES, Subject

TRIAL = {"rounds": 9, "seconds": 0.8}             # of each direction
FINAL = {"rounds": 31, "seconds": 6.0}
GATES_TIMEOUT = 600.0
VERDICT = "verdict"                               # an attribute of the study
FINAL_TIMEOUT = 300.0


@dataclass(frozen=True)
class Job:
    """An op at a size, its space, and where its study is kept."""

    subject: Subject
    space: Space
    spec: Path
    journal: Path


def job(args: argparse.Namespace) -> Job:
    """Raises McgenError for an op, a size or a device that isn't."""
    device = args.device
    if device != "cpu" and device != "cuda" and not device.startswith("cuda:"):
        raise UsageError(f"no device {device!r}: expected cpu or cuda", "device")
    if device != "cpu" and not torch.cuda.is_available():
        raise EnvironmentLacks(f"torch sees no GPU for --device {device}", "device", "mcgen tune OP --target cuda:sm_90 --dry-run needs none")
    op, subject = subject_of(args, device)
    space = spaces.space_for(op, subject)
    key = subject.key([(k.name, k.choices) for k in space.knobs], dict(space.default))
    return Job(subject, space, op.folder / "spec.yaml", cache_dir() / "tune" / f"{op.name}-{subject.device_name}-{key}.journal")


def subject_of(args: argparse.Namespace, device: str) -> tuple[Any, Subject]:
    """The op, and it at the sizes of the call. Raises UsageError for a size that it doesn't have."""
    target = getattr(args, "target", None) or "cpu"
    op = load_package(package(mcgen.load_spec(named(args.op)), gpus=target != "cpu"))
    given = sizes(args.size)
    dims = [d for d in op.manifest.dims if d not in dict(op.manifest.derived)]
    strange = next((n for n in given if n not in (*DEFAULT_SIZES, *dims)), None)
    if strange is not None:
        raise UsageError(f"{op.name} has no size {strange!r}{did_you_mean(strange, (*DEFAULT_SIZES, *dims))}: expected B, T, H, {', '.join(dims)}")
    whole = {**DEFAULT_SIZES, **{d: 64 for d in dims}, **given}
    if args.dtype != "float32" and device == target == "cpu":
        raise UsageError(f"--dtype {args.dtype} is for GPUs: kernels on the CPU take float32, whatever the inputs are", "dtype")
    return op, Subject(str(op.folder), op.name, whole, device, args.threads or torch.get_num_threads(), args.dtype)


def named(op: str) -> str | Path:
    """An op as the user names it; a shipped one also by its own name."""
    from mcgen.codegen.package import shipped_package

    folder = shipped_package(op) if op.isidentifier() else None
    return folder / "spec.yaml" if folder is not None else op


def tune(args: argparse.Namespace) -> int:
    if args.dry_run or args.target:
        from .feasibility import dry_run

        return dry_run(args, make_console())
    if args.segments:
        from .segments import compare

        return compare(args, make_console())
    it, console = job(args), make_console()
    if args.fresh:
        it.journal.unlink(missing_ok=True)
    study = journal.open_study(it.journal)
    if (busy_now := busy()) and it.subject.device == "cpu":
        console.print(f"note: {busy_now}; ratios of times taken in turns still are", markup=False)
    count = f"{sum(1 for _ in it.space.configs())} feasible" if it.space.size <= SMALL else f"{it.space.size}"
    console.print(f"{it.subject.words}: {count} configurations", markup=False)
    with Interrupts() as interrupts, display.Display(console, it.space, args.trials) as shown:
        def say(trials: Sequence[Trial]) -> None:
            interrupts.check()
            shown.update(trials)

        first = [it.space.default, *nearest(it)]
        trials = search(study, it.space, lambda config: measured(it, config, args.timeout), trials=args.trials, seconds=args.budget,
                        seed=args.seed, first=first, say=say)
        shown.stage("the best once more, beside the default")
        last, gates = functools.partial(last_race, it), functools.partial(gated, it, shown)
        verdict = judge(it.space, trials, last, gates)
        if spaces.recorded(it.subject) is None:
            verdict = settled(it.space, trials, verdict, last, gates)
        interrupts.check()
    study.set_user_attr(VERDICT, {"why": verdict.why, "times": dict(verdict.times), "failed": dict(verdict.failed)})
    return conclude(it, verdict, trials, args, console)


def conclude(it: Job, verdict: Any, trials: Any, args: argparse.Namespace, console: Console) -> int:
    """Shows what was found; keeps it where it may be kept."""
    console.print(f"{len(trials)} trials: {display.summary(trials)}", markup=False)
    table = display.final_table(verdict)
    if table is not None:
        console.print(table)
    for name, what in verdict.failed.items():
        console.print(f"{name} was refused by the gates: {what}", markup=False)
    if verdict.config is None:
        kept = spaces.recorded(it.subject)
        console.print(f"The default stays: {verdict.why}." if kept is None else f"The record from before stays: {verdict.why}. Deleting it from "
                      f"{record.home(it.subject)} brings the default back.", markup=False)
        return 0
    console.print(("The default stays: " if verdict.no_gain else "") + f"{verdict.why}; {display.gates_in_words(verdict.gates)}.", markup=False)
    path = record.save(it.subject, record.row(it.subject, verdict, len(trials)), record.home(it.subject, args.out))
    console.print(f"kept in {path}: {display.words(verdict.config, it.space)}", markup=False)
    return 0


def told(it: Job) -> dict[str, Any]:
    return {"subject": it.subject.as_dict(), "default": schedule_of(it.space.default).as_dict(), "spec": str(it.spec)}


def measured(it: Job, config: Config, timeout: float) -> Outcome:
    return run(work.trial, {**told(it), **TRIAL, "schedule": schedule_of(config).as_dict()}, timeout)


def last_race(it: Job, configs: Mapping[str, Config]) -> Outcome:
    return run(work.final, {**told(it), **FINAL, "schedules": {n: schedule_of(c).as_dict() for n, c in configs.items()}}, FINAL_TIMEOUT)


def gated(it: Job, shown: display.Display, config: Config) -> Outcome:
    shown.stage("the gates")
    return run(work.gates, {**told(it), "schedule": schedule_of(config).as_dict(), "level": "full", "sizes": True}, GATES_TIMEOUT)


def nearest(it: Job) -> list[Config]:
    """What this device's record says already, or the nearest device's, where this space has it."""
    schedule = spaces.recorded(it.subject)
    return [] if schedule is None else [config_of(schedule, it.space)]


def report(args: argparse.Namespace) -> int:
    it, console = job(args), make_console()
    if not it.journal.exists():
        raise UsageError(f"there is no study of {it.subject.words}", "journal", f"mcgen tune {args.op}, with the same sizes and device")
    from .report import write

    study = journal.open_study(it.journal)
    folder = args.out or Path("runs") / "tune" / it.subject.name
    paths = write(it.subject, it.space, trials_of(study, it.space), folder, study.user_attrs.get(VERDICT))
    console.print("in " + ", ".join(str(p) for p in paths), markup=False)
    return 0


