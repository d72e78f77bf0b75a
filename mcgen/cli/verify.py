"""Compare a compiled op with the reference, which is the spec itself run token by token in float64.

Gates: values, every gradient, ragged and short lengths, both ends of each domain, splitting anywhere, packing, repeatability.
With --backend triton they run on the GPU, or, under TRITON_INTERPRET=1, in Triton's interpreter: use --level quick there.
Exits with 2 where one fails.
"""
from __future__ import annotations

import argparse
from typing import Any

from .common import add_specs, add_threads, each, load, stage
from .common import console as make_console


def arguments(parser: argparse.ArgumentParser) -> None:
    add_specs(parser)
    parser.add_argument("--level", default="full", choices=["quick", "full"], help="quick: a few seconds; full (default): every gate")
    parser.add_argument("--backend", help="tvm, torch or triton instead of the default")
    add_threads(parser)


def run(args: argparse.Namespace) -> int:
    import torch

    if args.threads:
        torch.set_num_threads(args.threads)
    return each(args.specs, lambda source: verify(source, args.level, **({"backend": args.backend} if args.backend else {})))


def verify(source: str, level: str, **options: Any) -> int:
    """Build and verify one op, with a line a gate; 2 if one fails."""
    import mcgen

    loaded = load(source)
    with stage(f"build {source}"):
        op = mcgen.load(source, **options)
    return report(op, loaded.spec, level, device_of(options.get("backend")))


def device_of(backend: str | None) -> str:
    """Where the gates run: the CPU, but for Triton outside its interpreter. Raises EnvironmentLacks where that has no GPU."""
    import torch

    from ..diagnostics import EnvironmentLacks
    from ..runtime.backends import interpreted

    if backend != "triton" or interpreted():
        return "cpu"
    if not torch.cuda.is_available():
        raise EnvironmentLacks("backend='triton' needs a GPU", "device", "without one: TRITON_INTERPRET=1 mcgen verify --backend triton --level quick")
    return "cuda"


def report(op: Any, spec: Any, level: str, device: str = "cpu") -> int:
    """Run the gates, show them, return the exit code."""
    from ..verify.gates import verify as run_gates

    console = make_console()
    with console.status("verify") as status:
        result = run_gates(op, spec, level=level, device=device, progress=lambda gate, done, total: status.update(f"verify {gate} ({done} of {total})"))
    console.print(result.table())
    return 0 if result.ok else 2
