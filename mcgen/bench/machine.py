"""The device and the versions that a measurement was made with, in words."""
from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

PACKAGES = ("mcgen", "torch", "triton", "apache-tvm", "memory-caching", "fla-core")


def device(kind: str = "cpu") -> str:
    """'2 threads of an x86_64 CPU (AVX2)' or the accelerator's name."""
    if kind == "cuda":
        return torch.cuda.get_device_name()
    name = _processor() or platform.machine()
    return f"{torch.get_num_threads()} threads, {name} ({torch.backends.cpu.get_cpu_capability()})"


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return " ".join(line.partition(":")[2].split())
    except OSError:
        pass
    return platform.processor()


def versions() -> dict[str, str]:
    """Python's version and those of the packages that are installed."""
    out = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            out[name] = version(name)
        except PackageNotFoundError:
            continue
    return out


def busy() -> str | None:
    """A warning when other programs use the machine; None when it is quiet."""
    import os

    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return f"the load average is {load:.1f}: other programs run, times are not to be trusted" if load > 0.7 else None
