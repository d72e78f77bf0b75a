"""Which space a device has, and what its record says already."""
from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch

from mcgen.runtime.package import record_folders
from mcgen.runtime.records import entries_for
from mcgen.runtime.schedule import Schedule, look_up

from .space import Space, cpu_space
from .subject import Subject


def space_for(op: Any, subject: Subject) -> Space:
    """Raises EnvironmentLacks where the device's compiler is missing."""
    if subject.torch_device.type == "cpu":
        from mcgen.runtime.tvm import llvm

        llvm.require()
        return cpu_space(op.manifest.chunks, op.chunk_at("cpu", subject.all_dims(op)), subject.architecture)
    from .gpu import gpu_space
    from .kernels import kernels_of, resources_for, target_of

    target = target_of(subject)
    return gpu_space(kernels_of(op, subject, target), op.manifest.chunks, op.chunk_at("cuda", subject.all_dims(op)), resources_for(op, subject, target))


def recorded(subject: Subject) -> Schedule | None:
    """The schedule that calls of this size take from a record, this device's or the nearest one's; read anew each time."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        entries = entries_for.__wrapped__(record_folders(Path(subject.folder)), torch.device(subject.device))
    found = look_up(entries, **subject.row)
    return None if found is None else Schedule.of(found.chunk, found.options)
