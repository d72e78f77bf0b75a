"""Prints the values of a slice, first part: names, tiles, addresses, loads."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable, Iterator

from ..ir.naming import fresh, stem
from ..ir.nodes import Param, Program, Result, Value, bodies, dim_of, order, sort_axes
from ..passes.held import had_again, solves
from ..passes.padding import Padding, padded
from ..passes.precision import precise
from .triton_expr import aligned, number

OWN = {"r", "n", "m", "l", "left", "M", "z", "b", "h", "c", "i", "slots", "start", "count", "segment", "offset", "completes", "first", "token", "kept", "slot", "rows_ptr",
       "row_ptr", "table_ptr", "T", "H", "R", "N", "C", "SLOTS", "PRECISION", "EXACT", "PACKED", "tl", "lib", "factors", "triton", "float", "range", "block_of",
       "t", "j"}

TOKENS = ("c", "d", "mid")


def every(values: Iterable[Value]) -> Iterator[Value]:
    """The values, with what is in loops."""
    for v in values:
        yield v
        for body in bodies(v):
            yield from every(body.order())


@dataclass(frozen=True)
class Name:
    """How a value is spelled: text, the axes of its tile, whether it is a Python number, whether it is in float64."""

    text: str
    axes: tuple[str, ...] = ()
    scalar: bool = False
    precise: bool = False


def size(axis: str) -> str:
    dim = dim_of(axis)
    return dim if dim.isdigit() else f"size_{dim}"


class Tiles:
    """Names of values and what their tiles are; where they lie in memory."""

    def __init__(self, program: Program, kind: str, blocked: tuple[str, ...], slot: str, levels: bool):
        self.program, self.kind, self.blocked, self.slot = program, kind, blocked, slot
        self.segment = program.segment
        self.lines: list[str] = []
        self.indent = "    "
        self.names: dict[int, Name] = {}
        self.taken = set(OWN)
        self.dims = list(dict.fromkeys(dim_of(a) for p in (*program.params, *program.results) for a in p.axes))       # as tensors have them
        self.spec_line = 0
        self.pointers = {p.name: self.fresh(f"{p.name}_ptr") for p in (*program.params, *program.results)}
        self.padding = Padding()
        self.fixed: str | None = "n" if kind == "slots" else None      # the slot, where there is one only
        self.level: str | None = "l" if levels else None               # the level, where there is one only
        self.memory = Name("m") if kind == "slots" and slot == "m" else None         # the slot of a unit's memory, or one for every digit
        self.guard: Name | None = None                                 # what must hold for reading that slot
        self.at: str | None = None                                     # the token, where there is one only
        self.precise = precise(list(self.every()))
        self.again, self.solving = had_again(program, self.values()), solves(self.values())
        for v in self.every():
            if v.op in ("scan", "slots"):
                self.padding.bind(v)
        self.taken |= {f"{x}_{dim_of(a)}" for v in self.every() for a in v.axes for x in ("at", "size", "block", "block_of")}
        self.bound: dict[str, Name] = {}                               # parameters of loops' bodies

    def values(self) -> list[Value]:
        """What is computed: all but the old slots of a collection, which stay where they are."""
        return order([x for v in self.program.roots() for x in ((v.args[0], *v.args[2:]) if v.op == "collect" else (v,))])

    def every(self) -> Iterator[Value]:
        return every(self.values())

    # -- text --------------------------------------------------------------------------------------------------
    def line(self, text: str, comment: str = "") -> None:
        self.lines.append(self.indent + text + (f"  # {comment}" if comment else ""))

    def loop_over(self, name: str, start: str, end: str, comment: str = "") -> None:
        """Opens a loop. In kernels that solve, what is had again in it stays in it."""
        if self.solving:
            self.line(f"for {name} in tl.range({start}, {end}, disable_licm=True):", comment)
        else:
            self.line(f"for {name} in range({start}, {end}):", comment)
        self.indent += "    "

    def close(self) -> None:
        """Closes the innermost loop."""
        self.indent = self.indent[4:]
        self.forget()

    def forget(self) -> None:
        """The names of what is had again wherever it is used."""
        for i in self.again:
            self.names.pop(i, None)

    def fresh(self, stem: str) -> str:
        return fresh(stem, self.taken)

    @staticmethod
    def shape(axes: Iterable[str]) -> str:
        return "[" + ", ".join(axes) + "]"

    def block(self, axis: str) -> str:
        """The side of a tile along an axis, as text."""
        if axis in TOKENS:
            return "C"
        if axis in ("n", "l"):
            return "SLOTS"
        dim = dim_of(axis)
        return str(max(16, 1 << (int(dim) - 1).bit_length())) if dim.isdigit() else f"block_{dim}"

    def extents(self, axes: tuple[str, ...]) -> str:
        return "(" + "".join(self.block(a) + ", " for a in axes).rstrip(" ") + ")" if axes else "()"

    def tile_axes(self, axes: Iterable[str]) -> tuple[str, ...]:
        one = {"r", *(a for a, at in (("n", self.fixed), ("c", self.at), ("l", self.level)) if at)}
        memory = self.memory.axes if self.memory else ()
        return tuple(x for a in axes for x in (memory if a == "m" else (a,)) if x not in one)

    def index(self, axis: str) -> str:
        return "c" if axis in TOKENS else "slots" if axis in ("n", "l") else f"at_{dim_of(axis)}"

    def mask(self, axis: str, tile: tuple[str, ...]) -> str:
        """Truth within the axis, over the tile."""
        return "(" + aligned(self.index(axis), (axis,), tile) + f" < {'N' if axis in ('n', 'l') else size(axis)})"

    def aligned(self, name: Name, target: tuple[str, ...], keep: bool = False) -> str:
        text = name.text if name.scalar else aligned(name.text, name.axes, target)
        return f"{text}.to(tl.float32)" if name.precise and not keep else text

    def define(self, v: Value, text: str, axes: tuple[str, ...] | None = None, called: str = "") -> None:
        axes = self.tile_axes(v.axes) if axes is None else axes
        name = self.fresh(called or stem(v))
        if v.args and v.pos.line not in (0, self.spec_line):
            self.spec_line = v.pos.line
            self.line(f"# spec line {v.pos.line}: {v.pos.text.strip()}")
        self.line(f"{name} = {text}", self.shape(axes))
        self.names[id(v)] = Name(name, axes, False, id(v) in self.precise)

    # -- memory ------------------------------------------------------------------------------------------------
    def token_address(self, p: Param | Result, ahead: int, first: str, token: str, tile: tuple[str, ...]) -> str:
        """Addresses of a row's tokens in a tensor [B, delay + T, H, *axes]; packed, with T = 0, behind the past tokens of its own and
        of the sequences before."""
        inner = " * ".join(size(a) for a in p.axes) or "1"
        more = f" + {ahead}" if ahead > 0 else f" - {-ahead}" if ahead else ""
        length = f"(T + {p.delay})" if p.delay else "T"
        base = f"{self.pointers[p.name]} + ((b * {length} + {'start' if self.at else first}{more}) * H + h) * ({inner})"
        offset = (self.at or aligned(token, ("c",), tile)) + f" * (H * {inner})"
        return f"{base} + {' + '.join([offset, *self.offsets(p.axes, tile)])}"

    def offsets(self, axes: tuple[str, ...], tile: tuple[str, ...]) -> list[str]:
        """Offsets along axes that lie one after the other in memory."""
        found = []
        for i, a in enumerate(axes):
            step = " * ".join(self.length(x) for x in axes[i + 1:])
            one = {"n": self.fixed, "c": self.at, "l": self.level}.get(a)
            index = one or aligned(self.index(a), (a,), tile)
            found.append(f"{index} * ({step})" if step else index)
        return found

    @staticmethod
    def length(axis: str) -> str:
        """How many entries an axis has in memory."""
        return "C" if axis in TOKENS else "N" if axis in ("n", "l") else size(axis)

    def plain_address(self, p: Param | Result, tile: tuple[str, ...], slot: str | None = None) -> str:
        """Addresses in a tensor [B, H, *] or [H, *]; `slot`: which one of its slots."""
        inner = " * ".join(self.length(a) for a in p.axes) or "1"
        memory = slot or (self.aligned(self.memory, tile) if self.memory else None)
        slot = slot or self.fixed
        lead, axes = {"head": ("h", p.axes), "memory": ("z", p.axes), "starts": ("(z * R + r)", p.axes), "units": (f"(z * M + {memory})", p.axes),
                      "levels": (f"(z * N + {self.level})", p.axes) if self.level else ("z * N", ("l", *p.axes)),
                      "slots": (f"(z * N + {slot})", p.axes) if slot else ("z * N", ("n", *p.axes))}[p.kind]
        found = self.offsets(axes, tile)
        return " + ".join([f"{self.pointers[p.name]} + {lead} * ({inner})", *found])

    def _load(self, v: Value) -> None:
        p = self.program.param(v["name"])
        axes = self.tile_axes(v.axes)
        masks = [self.mask(a, axes) for a in padded(axes)]
        if v["fill"] is not None and not self.at:
            masks.append(aligned("(c < count)", ("c",), axes))
        shown = f", mask={' & '.join(masks)}, other={number(v['fill'] or 0.0)}" if masks else ""
        address = self.token_address(p, p.delay - v["shift"], "first", "token", axes)
        called = f"{p.name}_{'t' if self.at else 'c'}" + (f"_{v['shift']}" if v["shift"] else "")
        self.define(v, f"lib.tokens(tl.load({address}{shown}), count, PACKED)", axes, called)

    def _param(self, v: Value) -> None:
        if v["name"] in self.bound:
            self.names[id(v)] = self.bound[v["name"]]
            return
        p = self.program.param(v["name"])
        axes = self.tile_axes(sort_axes(v.axes))
        masks = [self.mask(a, axes) for a in padded(axes)]
        if self.guard and self.slot in v.axes:
            guard = self.aligned(self.guard, axes)
            if masks and not self.guard.axes:   # in the bound, not beside it: the interpreter has no truth of a tile and a number
                masks = [f"{masks[0][:-1]} * {guard}.to(tl.int32))", *masks[1:]]
            else:
                masks.append(guard)
        shown = f", mask={' & '.join(masks)}, other=0.0" if masks else ""
        self.define(v, f"tl.load({self.plain_address(p, axes)}{shown}).to(tl.float32)", axes, p.name)
