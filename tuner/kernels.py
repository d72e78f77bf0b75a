"""What the Triton back end offers the tuner: its kernels with their knobs, and what each needs on a target."""
from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, Mapping, Sequence

from mcgen.diagnostics import EnvironmentLacks

from .feasibility import Needs
from .gpu import Resources
from .subject import Subject

SLOTS = 32                          # cached memories that kernels are compiled for without a cache's own number


def target_of(subject: Subject) -> str:
    """`cuda:sm_90`, `hip:gfx942`."""
    kind = "hip" if subject.architecture.startswith("gfx") else "cuda"
    return f"{kind}:{subject.architecture}"


def kernels_of(op: Any, subject: Subject, target: str) -> dict[str, tuple[dict[str, Sequence], dict[str, Any]]]:
    """Kernel name -> (its knobs with their choices, its analytic default)."""
    compiler, options = _back_end()
    backend, arch = compiler.parse_target(target)
    found = {}
    for kernel in compiler.kernels(*compiler.forms(Path(subject.folder))):
        usual = asdict(options.default(kernel, subject.all_dims(op), backend, arch))
        blocks = usual.pop("blocks")
        choices = {**options.knobs(kernel, subject.all_dims(op), backend), "precision": options.precisions(backend, subject.dtype, arch)}
        found[compiler.name_of(kernel)] = (choices, {**{f"block_{d}": side for d, side in blocks.items()}, **usual})
    return found


def resources_for(op: Any, subject: Subject, target: str) -> Resources:
    """A function from a kernel, a chunk and options to what it needs on the target. Raises UsageError for an unknown target."""
    compiler, _ = _back_end()
    compiler.parse_target(target)
    kernels = {compiler.name_of(k): k for k in compiler.kernels(*compiler.forms(Path(subject.folder)))}
    length = op.manifest.cache.length if op.manifest.cache else None
    dtypes = compiler.narrow(op.manifest, subject.dtype)
    slots = -(-subject.sizes["T"] // length) if length else SLOTS

    def resources(kernel: str, chunk: int, options: Mapping[str, Any]) -> Needs:
        made = compiler.compile_one(kernels[kernel], target, subject.all_dims(op), chunk, slots, options, dtypes)
        return Needs(made.registers, made.stack, made.shared, made.limit, made.tensor)

    return resources


def _back_end() -> tuple[Any, Any]:
    try:
        import triton  # noqa: F401

        from mcgen.runtime.triton import compile as compiler
        from mcgen.runtime.triton import options
    except ImportError as reason:
        raise EnvironmentLacks(f"schedules for GPUs need Triton ({reason})", "triton", "pip install triton") from None
    return compiler, options
