"""Which schedules a device can hold, found without running them: what `--dry-run` shows."""
from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mcgen.diagnostics import EnvironmentLacks, UsageError
from mcgen.runtime.triton.options import runs

from .space import Space

STACK = 128                      # bytes of stack that are no spill worth the name


@dataclass(frozen=True)
class Needs:
    """What one compiled kernel needs, and what there is: registers a thread, bytes of stack a thread, bytes of shared memory a block.

    tensor: tensor-core instructions by name.
    """

    registers: int
    stack: int
    shared: int
    limit: int
    tensor: Mapping[str, int] = field(default_factory=dict)


def reasons(needs: Mapping[str, Needs], spill: int = STACK) -> list[str]:
    """Why kernels do not fit their device, naming the kernel; nothing where they do. spill: bytes of stack that are let through.

    >>> reasons({"forward": Needs(255, 0, 70000, 65536)})
    ['forward: 70000 bytes of shared memory of 65536']
    """
    found = []
    for kernel, n in needs.items():
        if n.shared > n.limit:
            found.append(f"{kernel}: {n.shared} bytes of shared memory of {n.limit}")
        if n.stack > spill:
            found.append(f"{kernel}: {n.stack} bytes of registers spilled")
    return found


def dry_run(args: argparse.Namespace, console: Console) -> int:
    """The feasible set of a target that is not here, or of this CPU."""
    if not args.dry_run:
        raise UsageError("--target is for --dry-run: a device that is not here can't be measured", "target", "--device cuda measures one that is")
    from .command import job, subject_of

    if args.target in (None, "cpu"):
        it = job(args)
        return show_cpu(it.space, it.subject.words, console)
    from .kernels import kernels_of, resources_for

    op, subject = subject_of(args, "cpu")
    resources = resources_for(op, subject, args.target)
    return show(kernels_of(op, subject, args.target), op.manifest.chunks, op.chunk_at("cuda", subject.all_dims(op)), resources, args.target, args.budget, console)


def show_cpu(space: Space, words: str, console: Console) -> int:
    """What a CPU can't hold is said by arithmetic, without a compiler."""
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


def show(kernels: Mapping[str, tuple[Mapping[str, Sequence], Mapping[str, Any]]], chunks: Sequence[int], chunk: int,
         resources: Callable[[str, int, Mapping[str, Any]], Needs], target: str, seconds: float, console: Console) -> int:
    """Compiles every kernel for the target: its default, then one option changed at a time, at every chunk; and shows what each needs.

    Stops after `seconds`, and says so. Gives 0 where every kernel of the default form has a choice that fits.
    """
    table = Table(title=f"{target}", title_justify="left")
    for i, head in enumerate(("kernel", "chunk", "options", "registers", "stack", "shared", "tensor cores", "")):
        table.add_column(head, justify="right" if i in (1, 3, 4, 5) else "left")
    began, fits, left = time.monotonic(), dict.fromkeys(kernels, 0), 0
    units: dict[str, set[str]] = {kernel: set() for kernel in kernels}               # of the choices that fit
    tasks = [(size, kernel, i, options) for size in chunks for kernel, knobs in kernels.items() for i, options in enumerate(variants(*knobs))]
    for size, kernel, _, options in sorted(tasks, key=lambda t: (t[0] != chunk, t[0], t[2] > 0)):             # defaults first
        if time.monotonic() - began > seconds:
            left += 1
            continue
        usual = kernels[kernel][1]
        what = ", ".join(f"{n} {v}" for n, v in options.items() if v != usual[n]) or "the default"
        try:
            n = resources(kernel, size, options)
        except EnvironmentLacks:
            raise
        except Exception as problem:                         # the compiler's own, of this choice
            text = (str(problem).strip().splitlines() or [""])[0][:80]
            table.add_row(kernel, str(size), what, "-", "-", "-", "-", "[red]does not compile[/]: " + escape(text))
            continue
        why = reasons({kernel: n})
        fits[kernel] += not why
        units[kernel] |= set() if why else n.tensor.keys()
        table.add_row(kernel, str(size), what, str(n.registers), str(n.stack), str(n.shared), " ".join(f"{x} {count}" for x, count in n.tensor.items()) or "-",
                      "[green]fits[/]" if not why else "[red]" + "; ".join(w.removeprefix(f"{kernel}: ") for w in why) + "[/]")
    console.print(table)
    for kernel, count in fits.items():
        console.print(f"{kernel}: {count} choices fit{', with ' * bool(units[kernel])}{' or '.join(sorted(units[kernel]))}", markup=False)
    if left:
        console.print(f"{left} choices were left out after {seconds:.0f} s; --budget SECONDS allows more", markup=False)
    return 0 if all(count for kernel, count in fits.items() if runs(kernel, {})) else 1


def variants(choices: Mapping[str, Sequence], default: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The default, then each option at each other choice.

    >>> variants({"num_warps": (2, 4)}, {"num_warps": 4})
    [{'num_warps': 4}, {'num_warps': 2}]
    """
    return [dict(default), *({**default, name: x} for name, values in choices.items() for x in values if x != default[name])]
