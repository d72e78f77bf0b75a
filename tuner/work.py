"""What runs in a trial's process. Plain data in and out."""
from __future__ import annotations

from typing import Any

import torch

import mcgen
from mcgen.runtime.schedule import Schedule
from mcgen.verify.gates import verify

from . import measure
from .subject import Subject

CONTROL = "default again"


def trial(told: dict[str, Any]) -> dict[str, Any]:
    """One candidate: it computes the same as the default, and this is how its time compares."""
    subject = _subject(told)
    ops = {measure.DEFAULT: subject.op(_schedule(told["default"])), "candidate": subject.op(_schedule(told["schedule"]))}
    inputs = subject.inputs(ops["candidate"])
    measure.compare(ops[measure.DEFAULT], ops["candidate"], inputs)
    times = measure.race(ops, inputs, told["rounds"], told["seconds"], give_up=True)
    return {"times": times, "score": measure.score(times, "candidate")}


def final(told: dict[str, Any]) -> dict[str, Any]:
    """Several candidates and the default twice: how far two equal ones are apart is the floor of what counts as a difference."""
    subject = _subject(told)
    default = subject.op(_schedule(told["default"]))
    ops = {measure.DEFAULT: default, CONTROL: default, **{n: subject.op(_schedule(s)) for n, s in told["schedules"].items()}}
    times = measure.race(ops, subject.inputs(default), told["rounds"], told["seconds"])
    return {"times": times}


def gates(told: dict[str, Any]) -> dict[str, Any]:
    """The gates on one candidate; the sizes are those that it was tuned at where `sizes` says so."""
    subject = _subject(told)
    op = subject.op(_schedule(told["schedule"]))
    report = verify(op, mcgen.load_spec(told["spec"]), level=told["level"], device=subject.torch_device, sizes=subject.dims if told["sizes"] else None,
                    dtype=getattr(torch, subject.dtype), arithmetic=arithmetic(told["schedule"]["options"]), only=told.get("only"))
    found = report.as_dict()
    return {"ok": report.ok, "failed": report.failed, "gates": found["gates"],
            "skipped": {g.name: g.skipped for g in report.gates if g.skipped and not g.checks}}


def arithmetic(options: dict[str, Any]) -> str | None:
    """What the gates hold a schedule to: TF32's accuracy where it has coarser products than float32's, those of bfloat16 operands too.

    >>> arithmetic({"fwd.precision": "bf16", "bwd.precision": "tf32x3"}), arithmetic({"fwd.precision": "tf32x3"})
    ('tf32', None)
    """
    chosen = {value for name, value in options.items() if name.rpartition(".")[2] == "precision"}
    return "tf32" if chosen & {"tf32", "bf16"} else None


def _subject(told: dict[str, Any]) -> Subject:
    subject = Subject(**told["subject"])
    torch.set_num_threads(subject.threads)
    if subject.torch_device.index is not None:
        torch.cuda.set_device(subject.torch_device)
    return subject


def _schedule(raw: dict[str, Any]) -> Schedule:
    return Schedule.of(raw["chunk"], raw["options"])
