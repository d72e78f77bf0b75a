"""Compiled kernels on disk, in $MCGEN_CACHE or ~/.cache/mcgen: one file a kernel, named by what it was made from.

A file is written under another name and renamed, so that readers see all of it or nothing; its checksum finds what a crash or a
full disk left. Without a usable directory everything works, only slower at the next start.
"""
from __future__ import annotations

import hashlib
import os
import tempfile
import warnings
from functools import lru_cache
from pathlib import Path

MAGIC = b"mcgen-kernel-1\n"
_warned: set[str] = set()


def directory() -> Path:
    return Path(os.environ.get("MCGEN_CACHE") or Path(os.path.expanduser("~")) / ".cache" / "mcgen")


def key(*parts: str) -> str:
    return hashlib.sha256("\0".join((*parts, _builder(), _machine())).encode()).hexdigest()[:40]


def read(name: str) -> tuple[bytes, ...] | None:
    """The stored byte strings, or None. A damaged file is removed."""
    path = directory() / f"{name}.kernel"
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as reason:
        _warn(f"compiled kernels cannot be read from {path.parent} ({reason.strerror}); compiling anew")
        return None
    head = len(MAGIC) + 32
    if data[:len(MAGIC)] == MAGIC and hashlib.sha256(data[head:]).digest() == data[len(MAGIC):head]:
        return _split(data[head:])
    warnings.warn(f"{path} is damaged; it is removed and compiled anew", stacklevel=3)
    remove(name)
    return None


def write(name: str, *parts: bytes) -> None:
    payload = b"".join(len(part).to_bytes(8, "little") + part for part in parts)
    target = directory() / f"{name}.kernel"
    temporary = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".writing-")
        with os.fdopen(handle, "wb") as file:
            file.write(MAGIC + hashlib.sha256(payload).digest() + payload)
        os.replace(temporary, target)
        temporary = None
    except OSError as reason:
        _warn(f"compiled kernels cannot be kept in {target.parent} ({reason.strerror}); set MCGEN_CACHE to a writable directory")
    finally:
        if temporary is not None:
            try:
                os.unlink(temporary)
            except OSError:
                pass


def remove(name: str) -> None:
    try:
        (directory() / f"{name}.kernel").unlink()
    except OSError:
        pass


def _split(payload: bytes) -> tuple[bytes, ...]:
    parts, at = [], 0
    while at < len(payload):
        size = int.from_bytes(payload[at:at + 8], "little")
        parts.append(payload[at + 8:at + 8 + size])
        at += 8 + size
    return tuple(parts)


def _warn(message: str) -> None:
    """Once per process."""
    if message not in _warned:
        _warned.add(message)
        warnings.warn(message, stacklevel=4)


@lru_cache(None)
def _builder() -> str:
    """The version of this package's lowering: a hash of its sources."""
    files = sorted(p for p in Path(__file__).parent.iterdir() if p.suffix in (".py", ".ll"))
    return hashlib.sha256(b"\0".join(p.read_bytes() for p in files)).hexdigest()


@lru_cache(None)
def _machine() -> str:
    """The processor that code was made for: its model and features."""
    import platform
    try:
        with open("/proc/cpuinfo") as file:
            lines = [line.split(":", 1)[1].strip() for line in file.read().split("\n\n")[0].splitlines()
                     if line.split(":")[0].strip() in ("model name", "cpu family", "model", "flags", "Features")]
        return "\n".join(lines)
    except OSError:
        return platform.machine() + platform.processor()
