"""Writes a package for an op, and loads ops: from generated/, or from the cache after building them once."""
from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Mapping

from ..diagnostics import EnvironmentLacks
from ..runtime import load_package
from ..runtime.describe import init_text
from ..spec import dump_spec, load_spec, load_text
from ..spec.nodes import Spec

if TYPE_CHECKING:
    from ..passes.pipeline import Compiled


def files(spec: Spec, gpus: bool = True) -> dict[str, str]:
    """Every file of a package by name, with `gpus` GPU kernels too: a pure function of the spec, so that the same spec gives the same bytes."""
    from ..passes.pipeline import compile_model
    from ..symbolic.elaborate import elaborate

    # places in the generated code are lines of the package's own spec.yaml
    return texts(compile_model(elaborate(load_text(dump_spec(spec), "spec.yaml"))), spec, gpus)


def texts(compiled: Compiled, spec: Spec, gpus: bool = True) -> dict[str, str]:
    """Every file of a package by name, of a spec that is compiled."""
    from .manifest import manifest_of
    from .torch_module import torch_module
    from .triton_module import triton_modules
    from .tvm_module import tvm_module

    split, fused, loads = triton_modules(compiled) if gpus else (None, None, {})
    manifest = manifest_of(compiled, spec.name, loads)
    found = {
        "spec.yaml": dump_spec(spec),
        "manifest.json": json.dumps(manifest, indent=1, ensure_ascii=False) + "\n",
        "torch_program.py": torch_module(compiled),
        "tvm_kernels.py": tvm_module(compiled),
        "triton_kernels.py": split,
        "triton_fused_kernels.py": fused,
        "__init__.py": init_text(manifest),
    }
    return {name: text for name, text in found.items() if text is not None}


def build(spec: Spec, out_dir: str | os.PathLike[str], gpus: bool = True) -> Path:
    """Writes the package of a spec into the folder `out_dir` (its `tuned/` stays). Nothing is half-written: the files
    are complete in a folder beside it before they take their places.

    Raises SpecError (NotLowered) for a spec that can't be lowered, EnvironmentLacks for a disk that can't be written.
    """
    return write(files(spec, gpus), out_dir)


def write(files: Mapping[str, str], out_dir: str | os.PathLike[str]) -> Path:
    """Writes the files of a package into the folder `out_dir`, or leaves it as it was. Raises EnvironmentLacks for a disk that can't
    be written."""
    target = Path(out_dir)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as wrong:
        raise EnvironmentLacks(f"cannot write {target}: {wrong.strerror}", "disk") from None
    try:
        for name, text in files.items():
            (staged / name).write_text(text, encoding="utf-8")
        _swap(staged, target)
    except OSError as wrong:
        raise EnvironmentLacks(f"cannot write {target}: {wrong.strerror}", "disk") from None
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return target


def _swap(staged: Path, target: Path) -> None:
    """The staged files take the place of the old ones; a new package appears by one rename."""
    staged.chmod(0o755)
    if not target.exists():
        try:
            staged.rename(target)
            return
        except OSError:
            if not target.is_dir():
                raise
    made = sorted(os.listdir(staged))
    for stale in {path.name for path in target.glob("*_kernels.py")} - set(made):       # of a back end that this spec no longer has
        (target / stale).unlink()
    for name in made:
        os.replace(staged / name, target / name)


def load(spec: str | os.PathLike[str] | Mapping[str, Any] | Spec, *, constants: Mapping[str, float | str] | None = None,
         segment_length: int | None = None, backend: str | None = None):
    """The op of a spec: a name of the library, a path, a dict, or a Spec. Built once, then reused.

    constants, segment_length: override what the spec says. backend: 'tvm', 'triton' or 'torch'; by default TVM for
    float32 on the CPU, Triton for float32 on a GPU, and torch for everything else.
    Raises SpecError for a wrong spec, UsageError for a wrong call, EnvironmentLacks for a missing back end.
    """
    if not isinstance(spec, Spec):
        spec = load_spec(spec, constants=constants, segment_length=segment_length)
    return load_package(package(spec, backend == "triton"), backend=backend)


def package(spec: Spec, gpus: bool = False) -> Path:
    """The folder of a spec's package: a shipped one, or one in the cache, built if it is not there yet. That one has GPU kernels, dearer to
    make than all else, with `gpus` or where torch sees a GPU."""
    import torch

    text, gpus = dump_spec(spec), gpus or torch.cuda.is_available()
    shipped = shipped_package(spec.name)
    if shipped is not None and (shipped / "spec.yaml").read_text(encoding="utf-8") == text:
        return shipped
    folder = cache_dir() / "ops" / f"{spec.name}-{_digest(text, gpus)}" / spec.name
    if not (folder / "manifest.json").is_file():
        try:
            build(spec, folder, gpus)
        except EnvironmentLacks:
            return build(spec, Path(tempfile.mkdtemp(prefix="mcgen-")) / spec.name, gpus)
    return folder


def shipped_package(name: str) -> Path | None:
    """The folder of a shipped op's package, in a checkout or an installed wheel."""
    here = Path(__file__).resolve().parent.parent
    for home in (here.parent / "generated", here / "_generated"):
        if (home / name / "manifest.json").is_file():
            return home / name
    return None


def cache_dir() -> Path:
    """$MCGEN_CACHE, or ~/.cache/mcgen."""
    given = os.environ.get("MCGEN_CACHE")
    return Path(given) if given else Path.home() / ".cache" / "mcgen"


def _digest(text: str, gpus: bool) -> str:
    """16 hexadecimal digits of a spec, of the compiler that reads it, and of what it is read for."""
    return hashlib.sha256((_compiler() + repr(gpus) + text).encode()).hexdigest()[:16]


@cache
def _compiler() -> str:
    home = Path(__file__).resolve().parent.parent
    total = hashlib.sha256()
    for folder in ("ir", "spec", "symbolic", "passes", "codegen"):
        for path in sorted((home / folder).rglob("*.py")):
            total.update(path.read_bytes())
    return total.hexdigest()
