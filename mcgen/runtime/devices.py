"""Names of devices: what tuned records are kept under, and which devices are alike enough to share one."""
from __future__ import annotations

import platform
import re
from functools import cache
from pathlib import Path

import torch

WIDE = {"avx512": 16}                # float32 numbers in a vector; code for all others is made of vectors of 8
WIDTHS = (("avx512f", "avx512"), ("avx2", "avx2"), ("avx", "avx"), ("sve", "sve"), ("asimd", "neon"))     # the widest first


@cache
def device_name(device: torch.device) -> str:
    """A file name for a device: a GPU's product name, or `cpu-` with maker, family, model and vector width; lower case, dashes."""
    if device.type == "cuda":
        return slug(torch.cuda.get_device_name(device))
    if device.type != "cpu":
        return device.type
    return "-".join(("cpu", *processor(_cpuinfo())))


@cache
def architecture(device: torch.device) -> str:
    """What compiled code depends on: a CPU's vector width, a GPU's generation. Records travel only between devices that agree in it."""
    if device.type == "cuda":
        if torch.version.hip:
            return torch.cuda.get_device_properties(device).gcnArchName.split(":")[0]
        major, minor = torch.cuda.get_device_capability(device)
        return f"sm_{major}{minor}"
    return processor(_cpuinfo())[-1] if device.type == "cpu" else device.type


def processor(cpuinfo: str) -> tuple[str, ...]:
    """(maker, family, model, vector width) as far as the text says; the last part is always there.

    >>> processor("vendor_id : GenuineIntel\\ncpu family : 6\\nmodel : 143\\nflags : avx2 avx512f")
    ('intel', '6', '143', 'avx512')
    """
    said: dict[str, str] = {}
    for line in cpuinfo.split("\n\n")[0].splitlines():
        name, _, value = line.partition(":")
        said.setdefault(name.strip(), value.strip())
    maker = said.get("vendor_id") or said.get("CPU implementer") or platform.machine()
    maker = {"AuthenticAMD": "amd", "GenuineIntel": "intel"}.get(maker, maker)
    parts = [maker, said.get("cpu family") or said.get("CPU architecture"), said.get("model") or said.get("CPU part")]
    flags = set((said.get("flags") or said.get("Features") or "").split())
    width = next((name for flag, name in WIDTHS if flag in flags), "generic")
    return (*(slug(part) for part in parts if part), width)


def slug(text: str) -> str:
    """Lower case, with a dash for all that is not a letter or a digit.

    >>> slug("NVIDIA H100 80GB HBM3")
    'nvidia-h100-80gb-hbm3'
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def likeness(a: str, b: str) -> int:
    """How many leading parts two device names share."""
    count = 0
    for x, y in zip(a.split("-"), b.split("-")):
        if x != y:
            break
        count += 1
    return count


@cache
def _cpuinfo() -> str:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
