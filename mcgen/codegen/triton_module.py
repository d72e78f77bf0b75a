"""The text of `triton_kernels.py` and `triton_fused_kernels.py`: kernels, and in which order they run on which tensors."""
from __future__ import annotations

from typing import Iterable

from ..ir.nodes import Program
from ..passes.apart import Entangled
from ..passes.pipeline import Compiled
from ..passes.slice import Sliced, cut
from ..runtime.triton.options import FUSED
from .formulas import formulas
from .triton_expr import CALLS, INFIX
from .triton_printer import Printed, print_kernel

_HEAD = '''"""{title}

Written by mcgen: build it again instead of changing it. Kernels run one after the other: grids over the chunk table's rows,
loops over the rows of a sequence and head, loops over the rows for every cached memory. Axes: c and d tokens of a row, n
cached memories, then the dims. `mcgen.runtime.triton` launches them, each with: its tensors, contiguous; the chunk table, four
integers a row: its first token, how many, their segment, the first one's place in it; T tokens (0: packed), H heads, R rows of a
sequence, N cached memories; C tokens of a row and SLOTS memories at most; PRECISION of products, EXACT the one nearest to
float32's; PACKED, whether sequences are packed; of every dim its size and the part of it that a program has.

{formulas}
"""
import triton
import triton.language as tl

from mcgen.runtime.triton import {libraries}

'''
_KIND = {"rows": "A program for every row of the chunk table", "loop": "The rows one after the other",
         "slots": "A program for every cached memory, its rows one after the other"}


Loads = dict[str, tuple[float, float]]
OPS = {"const", "size", "iota", "row", "param", "load", "map", "sum", "max", "dot", "cumsum", "rename", "collect", "expose", "keep", "topk", "scan",
       "slots", "out", "take", "give", "solve", "cumprod", "decayed", "pair", "papply", "pfactor", "dense_solve"}
FUNCTIONS = {*INFIX, *CALLS, "neg", "float", "stop", "logfloor", "pow"}


def triton_modules(compiled: Compiled) -> tuple[str | None, str | None, Loads]:
    """The whole module in its split form, and in its fused one: None where that is the same; and the split form's loads. None twice for a
    program with an operation that no GPU kernel has yet: torch computes it there."""
    b = compiled.source.builder
    programs = (("forward", compiled.forward), ("backward", compiled.backward))
    if not all(printable(program) for _, program in programs):
        return None, None, {}
    try:
        slices = [cut(program, b) for _, program in programs]
        split = [_program(which, sliced, "") for (which, _), sliced in zip(programs, slices)]
        fused = [_program(which, cut(program, b, True), FUSED) for which, program in programs]
    except Entangled:
        return None, None, {}
    same = _bodies(split) == _bodies(fused)
    title = f"{compiled.model.name} on GPUs"
    one_pass = None if same else _module(f"{title}: one pass over the rows, where one can.", compiled, fused)
    return _module(f"{title}.", compiled, split), one_pass, loads(slices)


def loads(programs: Iterable[Sliced]) -> Loads:
    """dim -> what kernels of several products that have it whole fill of registers at most, if it has 64 entries and if 128."""
    found: Loads = {}
    for s in (s for sliced in programs for s in sliced.slices if s.whole and s.load):
        for dim in s.whole:
            short, long = (max(x) for x in zip(s.fills(), found.get(dim, (0.0, 0.0))))
            found[dim] = round(short, 2), round(long, 2)
    return dict(sorted(found.items()))


def _bodies(printed: list[tuple[list[str], str]]) -> list[str]:
    """The kernels without their names and arguments: what they do."""
    return [t[t.index('"""'):] for kernels, _ in printed for t in kernels]


def _module(title: str, compiled: Compiled, printed: list[tuple[list[str], str]]) -> str:
    texts, plans = [t for kernels, _ in printed for t in kernels], [plan for _, plan in printed]
    used = "factors, lib" if any("factors." in t for t in texts) else "lib"
    head = _HEAD.format(title=title, formulas=formulas(compiled.model), libraries=used)
    return "\n\n".join(t.rstrip("\n") for t in [head, *texts, "\n\n".join(plans)]) + "\n"


def printable(program: Program) -> bool:
    """Whether every operation is one that kernels have, in loops too: dense systems only one at a time, not one for every token at once."""
    for v in program.order():
        known = v.op in OPS and (v.op != "map" or v["fn"] in FUNCTIONS) and (v.op != "dense_solve" or "c" not in v.args[0].axes)
        if not known or ("body" in dict(v.attrs) and not printable(v["body"])):
            return False
    return True


def _program(which: str, sliced: Sliced, prefix: str) -> tuple[list[str], str]:
    printed: list[Printed] = []
    for i, s in enumerate(sliced.slices):
        made = ", ".join(r.name for r in s.program.results)
        how = f"{_KIND[s.kind]}{', from the last to the first' if s.reverse else ''}{', for every level' if s.levels else ''}"
        printed.append(print_kernel(f"{prefix}{which}_{i}", s, f"{how}: {made}."))
    return [p.text for p in printed], _plan(which, sliced, printed)


def _plan(which: str, sliced: Sliced, printed: list[Printed]) -> str:
    """The launches as data: scratch tensors, copies, kernels in order, sums of shifted parts."""
    lines = [f"{which} = {{"]
    lines.append(f'    "scratch": {[(p.name, p.kind, p.axes) for p in sliced.scratch]!r},')
    lines.append(f'    "copies": {list(sliced.copies)!r},')
    lines.append('    "kernels": [')
    for s, p in zip(sliced.slices, printed):
        grid = "units" if s.kind == "slots" and s.slot == "m" else s.kind
        levels = '"levels": True, ' if s.levels else ""
        lines.append(f'        {{"run": {p.name}, "grid": {grid!r}, {levels}"blocked": {s.blocked!r}, "folded": {s.folded!r}, "dims": {p.dims!r},')
        lines.append(f'         "products": {s.products}, "tiles": {s.tiles()!r}, "tensors": {p.tensors!r}}},')
    lines.append("    ],")
    lines.append(f'    "shifted": {list(sliced.shifted)!r},')
    lines.append("}")
    return "\n".join(lines)
