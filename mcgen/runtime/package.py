"""From the folder of a generated package to its op."""
from __future__ import annotations

import hashlib
import importlib.util
import sys
from functools import partial
from pathlib import Path
from types import ModuleType

from mcgen.diagnostics import EnvironmentLacks, UsageError

from .backends import INSTALL_TRITON, Backends, triton_installed
from .front import Op
from .manifest import read_manifest
from .register import register
from .schedule import Schedule, Schedules

KERNELS = ("tvm", "triton", "triton_fused")
PARTS = ("manifest.json", "torch_program.py", *(f"{name}_kernels.py" for name in KERNELS))
_loaded: dict[tuple, Op] = {}


def load_package(path: str | Path, *, backend: str | None = None, schedule: Schedule | None = None) -> Op:
    """The op of the package in a folder, or in the folder of a file (`load_package(__file__)`).

    backend: 'torch', 'tvm' or 'triton' for every call; by default chosen by dtype and device. schedule: for every call; by default the tuned
    record's, else the package's own choice. Loading again, unchanged, gives the same op.
    Raises UsageError for a folder without a package, EnvironmentLacks when the back end that is asked for is not installed.
    """
    folder = Path(path).resolve()
    folder = folder if folder.is_dir() else folder.parent
    if not (folder / "manifest.json").is_file() or not (folder / "torch_program.py").is_file():
        raise UsageError(f"{folder} holds no generated op", "package", "mcgen build writes one")
    digest = digest_of(folder, backend, schedule)
    key = (folder, digest, backend, schedule)
    if key not in _loaded:
        try:
            manifest = read_manifest(folder / "manifest.json")
        except ValueError as wrong:
            raise UsageError(f"{folder / 'manifest.json'}: {wrong}", "package") from None
        program = _module(folder / "torch_program.py", digest)
        kernels = {name: partial(_module, folder / f"{name}_kernels.py", digest) for name in KERNELS
                   if (folder / f"{name}_kernels.py").is_file()}
        backends = Backends(manifest, program, kernels, backend,
                            Schedules(manifest.chunk, record_folders(folder), schedule, manifest.sides, manifest.loads))
        _loaded[key] = Op(manifest, program, backends, register(manifest, backends, digest), folder)
    return _loaded[key]


def record_folders(folder: Path) -> tuple[Path, ...]:
    """Where an op's tuned records are: this user's own for a package that came installed, then the package's."""
    from .tvm.cache import directory

    own = directory() / "tuned" / f"{folder.name}-{digest_of(folder)}"
    return own, folder / "tuned"


def tvm_module(folder: Path) -> ModuleType:
    """The kernels for CPUs of the package in a folder. Raises EnvironmentLacks where it has none."""
    path = folder / "tvm_kernels.py"
    if not path.is_file():
        raise EnvironmentLacks(f"{folder} has no kernels for CPUs", "backend", "mcgen build it again")
    return _module(path, digest_of(folder))


def triton_modules(folder: Path) -> list[ModuleType]:
    """The Triton kernels of the package in a folder: in the split form, then in the fused one where that differs.

    Raises EnvironmentLacks without Triton or without kernels.
    """
    if not triton_installed():
        raise EnvironmentLacks("Triton is not installed", "triton", INSTALL_TRITON)
    paths = [path for path in (folder / "triton_kernels.py", folder / "triton_fused_kernels.py") if path.is_file()]
    if not paths:
        raise EnvironmentLacks(f"{folder} has no Triton kernels", "backend", "mcgen build it again")
    return [_module(path, digest_of(folder)) for path in paths]


def digest_of(folder: Path, backend: str | None = None, schedule: Schedule | None = None) -> str:
    """12 hexadecimal digits of all that a package computes, and how."""
    total = hashlib.sha256(repr((backend, schedule)).encode())
    for part in PARTS:
        content = (folder / part).read_bytes() if (folder / part).is_file() else b""
        total.update(len(content).to_bytes(8, "little") + content)
    return total.hexdigest()[:12]


def restore(folder: str, backend: str | None, chunk: int | None, schedule: Schedule | None = None) -> Op:
    """The op of a folder again: what a copied op is made of. Nothing is read but the package."""
    op = load_package(folder, backend=backend, schedule=schedule)
    return op if chunk is None else op.with_chunk(chunk)


def _module(path: Path, digest: str) -> ModuleType:
    """The module in a file, under a name that only this content has."""
    name = f"mcgen_package_{digest}_{path.stem}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]
