"""Which schedules a device can hold, found without running them: what `--dry-run` shows."""
from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import dataclass
from typing import Any, Callable, Mapping, Sequence

from rich.console import Console
from rich.table import Table

from mcgen.diagnostics import EnvironmentLacks, UsageError

from .space import Config, Space

# of a block, in bytes: what a compiler lets through and a launch refuses
SHARED = {"cuda:sm_80": 166_912, "cuda:sm_86": 101_376, "cuda:sm_89": 101_376, "cuda:sm_90": 232_448, "cuda:sm_100": 232_448,
          "hip:gfx942": 65_536, "hip:gfx90a": 65_536}
STACK = 128                      # bytes of stack that are no spill worth the name


@dataclass(frozen=True)
class Needs:
    """What one compiled kernel needs: registers a thread, bytes of stack a thread, bytes of shared memory a block."""

    registers: int
    stack: int
    shared: int


def reasons(needs: Mapping[str, Needs], target: str) -> list[str]:
    """Why kernels do not fit a target, naming the kernel; nothing where they do.

    >>> reasons({"forward": Needs(255, 0, 70000)}, "hip:gfx942")
    ['forward: 70000 bytes of shared memory of 65536']
    """
    limit = SHARED[target]
    found = []
    for kernel, n in needs.items():
        if n.shared > limit:
            found.append(f"{kernel}: {n.shared} bytes of shared memory of {limit}")
        if n.stack > STACK:
            found.append(f"{kernel}: {n.stack} bytes of registers spilled")
    return found


def dry_run(args: argparse.Namespace, console: Console) -> int:
    """The feasible set of a target that is not here, or of this CPU."""
    if not args.dry_run:
        raise UsageError("--target is for --dry-run: a device that is not here can't be measured", "target", "--device cuda measures one that is")
    target = args.target or "cpu"
    if target == "cpu":
        from .command import job

        it = job(args)
        return show_cpu(it.space, it.subject.words, console)
    if target not in SHARED:
        raise UsageError(f"no target {target!r}: expected cpu or one of {', '.join(SHARED)}", "target")
    raise EnvironmentLacks("this version of mcgen has no kernels for GPUs", "target")


def show_cpu(space: Space, words: str, console: Console) -> int:
    """Counts: what a CPU can't hold is said by arithmetic, without a compiler."""
    table = Table(title=f"{words}: feasible register tiles", title_justify="left")
    for head in ("rows x columns", "", "why not"):
        table.add_column(head)
    knobs = {k.name: k.choices for k in space.knobs}
    for rows in knobs["rows"]:
        for columns in knobs["columns"]:
            why = space.feasible({**space.default, "rows": rows, "columns": columns})
            table.add_row(f"{rows} x {columns}", "[red]no[/]" if why else "[green]yes[/]", "; ".join(why))
    console.print(table)
    console.print("knobs: " + "; ".join(f"{n} {', '.join(map(str, c))}" for n, c in knobs.items()), markup=False)
    console.print(f"{sum(1 for _ in space.configs())} feasible configurations", markup=False)
    return 0


def show(configs: Sequence[Config], default: Config, resources: Callable[[Config], Mapping[str, Needs]], target: str, console: Console) -> int:
    """Compiles each configuration for the target and shows what every kernel needs; 0 where at least one fits."""
    table = Table(title=f"{target}: {SHARED[target]} bytes of shared memory a block", title_justify="left")
    for i, head in enumerate(("configuration", "kernel", "registers", "stack", "shared", "")):
        table.add_column(head, justify="left" if i in (0, 1, 5) else "right")
    counts: Counter[str] = Counter()
    for config in configs:
        what = ", ".join(f"{n} {v}" for n, v in config.items() if v != default[n]) or "the default"
        try:
            needs: Mapping[str, Any] = resources(config)
        except Exception as reason:                             # a compiler's own failure: this configuration's, not the tuner's
            counts["no"] += 1
            table.add_row(what, "-", "-", "-", "-", f"[red]does not compile[/]: {str(reason).strip().splitlines()[0][:80]}")
            continue
        why = reasons(needs, target)
        counts["no" if why else "yes"] += 1
        for i, (kernel, n) in enumerate(needs.items()):
            last = "" if i + 1 < len(needs) else ("[green]fits[/]" if not why else "[red]" + "; ".join(why) + "[/]")
            table.add_row(what if i == 0 else "", kernel, str(n.registers), str(n.stack), str(n.shared), last)
    console.print(table)
    console.print(f"{counts['yes']} of {sum(counts.values())} configurations fit", markup=False)
    return 0 if counts["yes"] else 1


