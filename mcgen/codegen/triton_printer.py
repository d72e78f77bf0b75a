"""Prints a slice as a Triton kernel: one program of its grid, statement by statement."""
from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Sequence

from ..ir.nodes import LEAD, Program, Result, Value, dim_of, is_dim, uses
from ..passes.arrange import arrange
from ..passes.held import matrix
from ..passes.slice import Slice
from ..passes.stages import over_rows
from ..passes.token_loops import handed_out, scans_rows
from .triton_tiles import TOKENS, Name
from .triton_tokens import Tokens

SIZES = ("T", "H", "R", "N")
_FRAME = re.compile(r" *(b, h|rows_ptr|row_ptr|c|slots|segment|offset|token|first|at_\w+) = ")       # where the program stands


@dataclass(frozen=True)
class Printed:
    """A kernel's text, and what a launch must know: tensors and dims in the order of its arguments."""

    name: str
    text: str
    tensors: tuple[str, ...]
    dims: tuple[str, ...]


def print_kernel(name: str, s: Slice, heading: str) -> Printed:
    """A `@triton.jit` function. Arguments: tensors, table, T (0 for packed sequences), H, R, N, where segments merge M, then by name C, SLOTS, PRECISION, EXACT,
    PACKED, the dims' sizes and blocks."""
    return _Kernel(s).function(name, heading)


def used(lines: Sequence[str]) -> list[str]:
    """The lines less those of the frame that name what no other line asks for.

    >>> used(["row_ptr = rows_ptr + r * 4", "segment = tl.load(row_ptr + 2)", "count = tl.load(row_ptr + 1)"])
    ['row_ptr = rows_ptr + r * 4', 'count = tl.load(row_ptr + 1)']
    """
    frame = {i: found[1].split(", ") for i, line in enumerate(lines) if (found := _FRAME.match(line))}
    idle = {i for i, names in frame.items()
            if not any(re.search(rf"\b({'|'.join(names)})\b", line) for j, line in enumerate(lines) if j != i)}
    return used([line for i, line in enumerate(lines) if i not in idle]) if idle else list(lines)


def carried(v: Value) -> bool:
    """Whether v is what a scan over rows carries before each of them."""
    return v.op == "out" and v["kind"] == "start" and scans_rows(v.args[0])


def stored(r: Result) -> Value:
    """The value that a kernel stores for a result, or the loop that does."""
    value = r.parts[0][0]
    return value.args[0] if value.op == "collect" or (value.op == "out" and value["kind"] == "stack") else value


class _Kernel(Tokens):
    """The frame: where the program stands, before the rows, each row, after the rows."""

    def function(self, name: str, heading: str) -> Printed:
        program = self.program
        read = {v["name"] for v in self.every() if v.op in ("load", "param")}
        tensors = tuple(dict.fromkeys([p.name for p in program.params if p.name in read] + [r.name for r in program.results] + [*self.each]))
        dims = tuple(dict.fromkeys(dim_of(a) for a in self.dims_used()))
        self.places()
        {"rows": self.rows, "loop": self.loop, "slots": self.slots_grid}[self.kind]()
        sizes = (*SIZES, "M") if self.slot == "m" else SIZES
        arguments = [*(self.pointers[t] for t in tensors), "table_ptr", *sizes]
        constants = ["C", "SLOTS", "PRECISION", "EXACT", "PACKED", *(f"size_{d}" for d in dims), *(f"block_{d}" for d in dims)]
        head = ["@triton.jit(do_not_specialize=[" + ", ".join(f'"{x}"' for x in sizes) + "])",
                f"def {name}({', '.join(arguments)},", "    " + " " * len(name) + f" {', '.join(c + ': tl.constexpr' for c in constants)}):"]
        return Printed(name, "\n".join([*head, f'    """{heading}"""', *used(self.lines)]) + "\n", tensors, dims)

    def dims_used(self) -> list[str]:
        values = [v for v in self.every() if v.op in ("load", "param", "size", "iota") or v.axes]
        found = [a for p in (*self.program.params, *self.program.results) for a in p.axes]
        found += [a for v in values for a in (*v.axes, *([v["axis"]] if v.op == "size" else []))]
        return [a for a in dict.fromkeys(found) if is_dim(a) and not dim_of(a).isdigit()]

    # -- where the program stands ------------------------------------------------------------------------------
    def places(self) -> None:
        grid = {"rows": "r", "slots": self.slot}.get(self.kind)
        z = 1 if grid else 0
        if grid:
            self.line(f"{grid} = tl.program_id(0)")
        if grid == "m":
            self.line("n = lib.lowest(m + 1)", "the digit that stands for the memory of unit m")
        self.line(f"z = tl.program_id({z}).to(tl.int64)")
        self.line("b, h = z // H, z % H")
        self.line("rows_ptr = table_ptr + b * R * 4")
        used = [a for v in self.every() for a in v.axes] + [a for p in (*self.program.params, *self.program.results) for a in p.axes]
        if set(TOKENS) & set(used) or any(r.kind == "token" and handed_out(r.parts[0][0]) is None for r in self.program.results):
            self.line("c = tl.arange(0, C)")
        if self.tile_slots():
            self.line("slots = tl.arange(0, SLOTS)")
        block = f"tl.program_id({z + 1})"
        if self.level:
            self.line(f"l = {block} % N")
            block = f"({block} // N)"
        for i, axis in enumerate(self.blocked):
            dim = dim_of(axis)
            rest = "" if i == len(self.blocked) - 1 else f" % tl.cdiv(size_{dim}, block_{dim})"
            self.line(f"block_of_{dim} = {block}{rest}")
            block = f"({block} // tl.cdiv(size_{dim}, block_{dim}))"
        for dim in dict.fromkeys(dim_of(a) for a in used if is_dim(a) and a not in self.slice.folded):
            start = f"block_of_{dim} * block_{dim} + " if any(dim_of(a) == dim for a in self.blocked) else ""
            self.line(f"at_{dim} = {start}tl.arange(0, {self.block(dim)})")

    def tile_slots(self) -> bool:
        if self.kind == "slots":
            return False
        return any("n" in v.axes or ("l" in v.axes and not self.level) for v in self.every())

    def row(self) -> None:
        """The chunk table's row: its first token, how many, its segment and the place in it."""
        self.line("row_ptr = rows_ptr + r * 4")
        self.line("start, count = tl.load(row_ptr), tl.load(row_ptr + 1)")
        self.line("segment = tl.load(row_ptr + 2)")
        self.line("offset = tl.load(row_ptr + 3)", "of its first token in the segment")
        if self.segment:
            self.line(f"completes = (count > 0) & (count + offset == {self.segment})")
        if any(v.op == "load" and id(v) not in self.loops.alone for v in self.every()):
            self.line("token = tl.minimum(c, tl.maximum(count - 1, 0))", "past the row's end its last token again")
            self.line("first = tl.where(count > 0, start, tl.maximum(start - 1, 0))", "of a row without tokens the last one before")

    # -- a grid over rows --------------------------------------------------------------------------------------
    def rows(self) -> None:
        self.row()
        for once in self.slice.fold.passes if self.slice.fold else ():
            self.blocks(once)
        rest = [r for r in self.program.results if not set(self.slice.folded) & set(r.parts[0][0].axes)]           # others block by block
        self.give(rest, arrange([stored(r) for r in rest]))

    def give(self, results: list[Result], values: Sequence[Value]) -> None:
        """The values in order, each result stored as soon as it is there: what is read for one needs no registers by the next."""
        waiting: dict[int, list[Result]] = {}
        for r in results:
            if stored(r).op != "slots" and handed_out(stored(r)) is None:                 # loops over slots and tokens store what they give
                waiting.setdefault(id(stored(r)), []).append(r)
        for v in values:
            self.statements([v])
            for r in waiting.pop(id(v), ()):
                self.store(r, self.get(v))
        for r in (r for rs in waiting.values() for r in rs):
            self.store(r, self.get(stored(r)))

    # -- a loop over rows --------------------------------------------------------------------------------------
    def loop(self) -> None:
        values = self.values()
        scopes = self.scopes(values)
        scans = [v for v in values if scans_rows(v)]
        totals = list(filter(over_rows, values))
        before, inside = ([v for v in values if scopes[id(v)] == scope] for scope in ("before", "row"))
        self.statements(before)
        for scan in scans:
            self.start(scan)
        for total in totals:
            self.total(total)
        given = [r for r in self.program.results if r.kind in ("starts", "token") or r.parts[0][0].op == "collect"]
        if scans or totals or given:
            self.loop_over("i" if self.slice.reverse else "r", "0", "R")
            if self.slice.reverse:
                self.line("r = R - 1 - i")
            self.row()
            first = [r for r in given if carried(r.parts[0][0])]
            for r in first:                              # nothing else may need them: no registers for them in the row's loops
                value = r.parts[0][0]
                self.store(r, self.carries[id(value.args[0])][value["index"]])
            rest = [r for r in given if r not in first]
            self.give(rest, [*self.of_row(before, inside, totals, rest), *inside])
            for total in totals:
                self.add(total)
            self.leave(scans)
            self.advance(scans)
            self.close()
        self.after([r for r in self.program.results if r not in given])

    def of_row(self, before: list[Value], inside: list[Value], totals: list[Value], given: list[Result]) -> list[Value]:
        """What is computed in each row, in order, with the bodies of its scans."""
        scans = [v for v in inside if scans_rows(v)]
        stands = dict.fromkeys(map(id, before)) | self.enter(scans)
        names = {p.name for scan in scans for p in scan["body"].params[:scan["carries"]]}
        carries = {x["name"]: x for scan in scans for x in scan["body"].order() if x.op == "param" and x["name"] in names}
        for v in inside:
            if v.op == "out" and scans_rows(v.args[0]):
                body, n = v.args[0]["body"], v.args[0]["carries"]
                stands[id(v)] = body.results[n + v["index"]].parts[0][0] if v["kind"] == "y" else carries.get(body.params[v["index"]].name)
        last = [x for scan in scans for r in scan["body"].results[:scan["carries"]] for x, _ in r.parts]
        last += [a for total in totals for a in total.args]
        roots = [*last, *(x for scan in scans for r in scan["body"].results for x, _ in r.parts), *map(stored, given)]
        return arrange(roots, stands, list(carries.values()), last)

    def after(self, results: list[Result]) -> None:
        """One result after the other: what is read for the first needs no registers by the second."""
        for r in results:
            self.store(r, self.get(r.parts[0][0]))

    def scopes(self, values: list[Value]) -> dict[int, str]:
        """Whether a value is computed before the rows, in each row, or after them: there too what is known before, and not needed by a row."""
        found: dict[int, str] = {}
        for v in values:
            below = {found[id(a)] for a in v.args}
            if over_rows(v) or (v.op == "out" and v["kind"] == "final"):
                found[id(v)] = "after"
            elif "r" in v.axes or v.op in ("load", "row", "scan", "expose", "collect") or "row" in below:
                found[id(v)] = "row"
            else:
                found[id(v)] = "after" if "after" in below or v.op == "keep" else "before"
        needed = {id(r.parts[0][0]) for r in self.program.results if r.kind in ("starts", "token")}
        for v in reversed(values):
            if found[id(v)] == "row" or over_rows(v) or id(v) in needed:
                needed |= {id(a) for a in v.args}
        found = {i: "after" if scope == "before" and i not in needed else scope for i, scope in found.items()}
        if self.solving:                                 # read in every row, not held beside its systems
            users, roots = uses(values), {id(v) for v in self.program.roots()}
            found |= {id(v): "row" for v in values if v.op == "param" and matrix(v) and found[id(v)] == "before" and id(v) not in roots
                      and all(found[id(u)] == "row" and not scans_rows(u) for u in users.get(id(v), []))}
        return found

    # -- a grid over slots -------------------------------------------------------------------------------------
    def slots_grid(self) -> None:
        values = self.values()
        scopes = self.scopes(values)
        totals = list(filter(over_rows, values))
        if any(v.op == "keep" for v in values):
            self.line(f"kept = lib.keeps(rows_ptr, R, {self.slot}, {self.segment})")
        self.statements([v for v in values if scopes[id(v)] == "before"])
        for total in totals:
            self.total(total)
        if totals:
            last = "R" if self.slot == "n" else "lib.first_row(rows_ptr, R, m + lib.two_to(n))"
            self.loop_over("r", f"lib.first_row(rows_ptr, R, {self.slot})", last)
            self.row()
            self.statements([v for v in values if scopes[id(v)] == "row"])
            for total in totals:
                self.add(total)
            self.close()
        self.after(list(self.program.results))

    # -- carries and sums --------------------------------------------------------------------------------------
    def start(self, scan: Value) -> None:
        body: Program = scan["body"]
        n = scan["carries"]
        names = []
        for p, arg in zip(body.params[:n], scan.args):
            axes = self.tile_axes(p.axes)
            name = self.fresh(p.name.removeprefix("old."))
            self.line(f"{name} = {self.clean_full(arg, axes)}", self.shape(axes))
            names.append(Name(name, axes))
        self.carries[id(scan)] = names

    def advance(self, scans: list[Value]) -> None:
        """The carries take their next values, all at once: one may be another's."""
        pairs = [(c.text, x) for scan in scans for c, x in zip(self.carries[id(scan)], self.next[id(scan)]) if c.text != x]
        if pairs:
            self.line(f"{', '.join(c for c, _ in pairs)} = {', '.join(x for _, x in pairs)}")

    # -- stores ------------------------------------------------------------------------------------------------
    def store(self, r: Result, name: Name, rest: str = "") -> None:
        """rest: over c, where alone it is stored."""
        axes = (("c",) if r.kind == "token" else ()) + LEAD.get(r.kind, ()) + r.axes
        collect = r.parts[0][0].op == "collect"
        tile = self.tile_axes(a for a in axes if not (collect and a == self.slot))
        tile = name.axes if set(name.axes) == set(tile) else tile
        text = self.aligned(name, tile)
        masks = [self.mask(a, tile) for a in tile if a not in TOKENS]
        if r.kind == "token" and not self.at:
            rest = "(c < count)"
        if rest:
            masks.append(self.aligned(Name(rest, ("c",)), tile))
        shown = f", mask={' & '.join(masks)}" if masks else ""
        conditions = ["completes", *(self.get(of).text for of in r.parts[0][0].args[2:])] if collect else []
        conditions += ["(l == 0)"] if self.level and "l" not in axes and len(conditions) < 2 else []
        conditions += [f"(block_of_{dim_of(a)} == 0)" for a in self.blocked if a not in r.axes]
        if conditions:
            self.line(f"if {' & '.join(conditions)}:")
        self.line(("    " if conditions else "") + f"tl.store({self.address(r, axes, tile, collect)}, {text}{shown})")

    def address(self, r: Result, axes: tuple[str, ...], tile: tuple[str, ...], collect: bool) -> str:
        if r.kind == "token":
            return self.token_address(r, 0, "start", "c", tile)
        return self.plain_address(r, tile, "segment" if collect else None)

