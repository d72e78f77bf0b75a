"""`mcgen build OP --target cuda:sm_90`: compiles an op's Triton kernels for a GPU that need not be there, and shows what they take."""
from __future__ import annotations

from pathlib import Path
from typing import Any

from .common import console as make_console

SIZE = 64


def check(folder: Path, target: str, chunk: int | None, given: list[str], precision: str | None = None) -> int:
    """A row a kernel, with the default launch options; 2 if one of the split form, the default, does not fit or spills. given: `K=64` and so
    on; other dims are 64."""
    from ..runtime.manifest import read_manifest
    from ..runtime.schedule import Schedules
    from ..runtime.triton.compile import each, forms, kernels, name_of, parse_target
    from ..runtime.triton.options import chosen, runs

    backend, arch = parse_target(target)
    manifest = read_manifest(folder / "manifest.json")
    sizes = sizes_of(manifest, given)
    chunk = chunk or Schedules(manifest.chunk, sides=manifest.sides, loads=manifest.loads).usual("cuda", sizes)
    console = make_console()
    record = {"precision": precision} if precision else {}
    options = {name_of(kernel): chosen(kernel, sizes, record, backend, arch) for kernel in kernels(*forms(folder))}
    with console.status(f"compile for {target}"):
        rows = list(each(folder, target, sizes, chunk, options=record))
    from rich.table import Table

    shown = ", ".join(f"{n}={s}" for n, s in sizes.items())
    table = Table(title=f"{folder.name} on {target}: {shown}, chunk {chunk}", title_justify="left")
    for head in ("kernel", "options", "registers", "stack B", "shared B", "of", "tensor cores", ""):
        table.add_column(head, justify="left" if head in ("kernel", "options", "tensor cores", "") else "right")
    for r in rows:
        units = " ".join(f"{n} {count}" for n, count in r.tensor.items()) or "-"
        table.add_row(r.kernel, options[r.kernel].words, str(r.registers), str(r.stack), str(r.shared), str(r.limit), units,
                      "does not fit" if not r.fits else "spills" if r.spills else "ok")
    console.print(table)
    return 0 if all(r.fits and not r.spills for r in rows if runs(r.kernel, {})) else 2


def sizes_of(manifest: Any, given: list[str]) -> dict[str, int]:
    """Every dim's size: as given, 64 elsewhere, derived ones computed. Raises UsageError for what is no dim or no size."""
    from ..diagnostics import UsageError, did_you_mean

    sizes = {dim: SIZE for dim in manifest.dims}
    for text in given:
        dim, _, number = text.partition("=")
        if dim not in sizes:
            raise UsageError(f"{manifest.name} has no dimension {dim!r}{did_you_mean(dim, tuple(sizes))}", "size")
        if not number.isdigit() or int(number) < 1:
            raise UsageError(f"{text!r} is no size", "size", f"{dim}=64")
        sizes[dim] = int(number)
    for name, derived in manifest.derived:
        sizes[name] = derived(sizes)
    return sizes
