"""Prints the values of a slice, third part: loops over slots, and over the blocks of a dim."""
from __future__ import annotations

from typing import Iterable

from ..ir.nodes import Program, Result, Value, dim_of, order, slot_axis
from ..passes.fold import Pass
from ..passes.stages import of_rows
from .triton_tiles import Name
from .triton_values import Values


class Slots(Values):
    """One slot after the other, one block after the other, and what adds up over them."""

    # -- slots of the cache ------------------------------------------------------------------------------------
    def at_slot(self, v: Value, slot: Name, guard: Name) -> Name:
        """v for one slot, or for the slot of every digit: what has no slots is known already."""
        for inner in order([v]):
            if self.slot not in inner.axes:
                self.get(inner)
        known, outer = self.names, (self.fixed, self.memory, self.guard)
        self.names = {id(x): known[id(x)] for x in order([v]) if id(x) in known and self.slot not in x.axes}
        if self.slot == "n":
            self.fixed = slot.text
        self.memory, self.guard = slot, guard
        found = self.get(v)
        self.names, (self.fixed, self.memory, self.guard) = known, outer
        return found

    def _param(self, v: Value) -> None:
        if v["name"] in self.memories:
            self.names[id(v)] = self.get(self.memories[v["name"]])
        else:
            super()._param(v)

    def _take(self, v: Value) -> None:
        """The memory of the digit that a loop over digits, or over the rows of a memory, stands at; else those of all digits."""
        if self.memory is not None:
            self.names[id(v)] = self.get(v.args[0])
        else:
            self.names[id(v)] = self.at_slot(v.args[0], Name("lib.memory(segment, slots)", ("n",)), Name("lib.digit(segment, slots)", ("n",)))

    def expose(self, v: Value) -> None:
        inner = self.at_slot(v.args[0], Name("segment"), Name("completes"))
        axes = self.tile_axes(v.axes)
        self.define(v, f"tl.where(completes, {self.aligned(inner, inner.axes)}, 0.0)", inner.axes or axes)

    def _keep(self, v: Value) -> None:
        name = self.get(v.args[0])
        self.define(v, f"tl.where(kept, {self.aligned(name, name.axes)}, 0.0)", name.axes)

    def slots(self, v: Value) -> None:
        body: Program = v["body"]
        m = v["xs"]
        sums: dict[int, Name] = {}
        called = {u["index"]: u.name for u in self.every() if u.op == "out" and u.args[0] is v}
        for i, r in enumerate(body.results):
            if r.kind == "sum":
                axes = self.tile_axes(r.axes)
                name = self.fresh(called.get(i) or "over_n")
                self.line(f"{name} = tl.zeros({self.extents(axes)}, tl.float32)", self.shape(axes))
                sums[i] = Name(name, axes)
        consts = {p.name: arg for p, arg in zip(body.params[m:], v.args[m:])}
        passes, memories = self.fold.loops.get(id(v), ()) if self.fold else (), dict(self.memories)
        self.memories |= {name: arg for name, arg in consts.items() if "m" in arg.axes or id(arg) in self.again}
        late = {p.name: arg for p, arg in zip(body.params, v.args[:m]) if id(arg) in self.again or (self.solving and not passes)}
        self.memories |= late
        given = {name: self.get(arg) for name, arg in consts.items() if name not in self.memories and not (passes and self.in_blocks(arg))}
        known, bound, outer = dict(self.names), dict(self.bound), (self.fixed, self.level, self.memory)
        axis, digits = slot_axis(v), self.slot == "m" and slot_axis(v) == "n" and of_rows(v)
        if digits:
            self.line("left = segment", "its digits that are 1, the lowest first")
        self.loop_over("_" if digits else "slot", "0", "lib.ones(segment, 31)" if digits else "segment" if axis == "n" and of_rows(v) else "N")
        if digits:
            self.line("m, n = left - 1, lib.lowest(left)", "the memory's slot")
            self.line("left = left & m")
            self.memory = Name("m")
        else:
            self.line(f"{axis} = tl.full((), slot, tl.int32)")
        self.fixed, self.level = ("n", self.level) if axis == "n" else (self.fixed, "l")
        later = []                                         # what blocks have of it
        for i, (p, arg) in enumerate(zip(body.params, v.args)):
            if passes and self.in_blocks(arg) and p.name not in self.memories:
                later.append((p.name, arg))
            elif i < m:
                self.names.pop(id(arg), None)
                if p.name not in late:
                    self.bound[p.name] = self.get(arg)
        self.bound |= given
        for once in passes:
            self.blocks(once, later)
        for i, r in enumerate(body.results):
            value = r.parts[0][0]
            self.statements(order([value]))
            if i in sums:
                self.line(f"{sums[i].text} += {self.aligned(self.get(value), sums[i].axes)}")
            else:
                self.store(self.stacks[id(v), i], self.get(value))
        self.names, self.bound, self.memories, (self.fixed, self.level, self.memory) = known, bound, memories, outer
        self.close()
        self.carries[id(v)] = [sums.get(i) for i in range(len(body.results))]
        self.names[id(v)] = Name("")

    def store(self, r: Result, name: Name, rest: str = "") -> None:
        raise NotImplementedError

    # -- blocks ------------------------------------------------------------------------------------------------
    def in_blocks(self, v: Value) -> bool:
        """Whether v is had block by block."""
        return self.fold is not None and self.fold.axis in v.axes

    def blocks(self, once: Pass, bound: Iterable[tuple[str, Value]] = ()) -> None:
        """A dim's blocks one after the other: what has its axis, and what adds up over them. bound: the parameters that have it of a
        loop's body, and what they are."""
        assert self.fold is not None
        axis = self.fold.axis
        dim = dim_of(axis)
        self.statements(once.before)
        for total in once.sums:
            self.total(total)
        self.line(f"for block_of_{dim} in tl.range(0, tl.cdiv(size_{dim}, block_{dim}), disable_licm=True):",
                  "what is moved out of it would fill registers")
        self.indent += "    "
        known = set(self.names)
        self.line(f"at_{dim} = block_of_{dim} * block_{dim} + tl.arange(0, block_{dim})")
        self.in_block = True
        for name, arg in bound:
            self.bound[name] = self.get(arg)
        sums, given = ({id(v) for v in values} for values in (once.sums, once.given))
        for v in once.inside:
            if id(v) in sums:
                self.add(v)
                continue
            self.statements([v])
            for r in self.program.results if id(v) in given else ():
                if r.parts[0][0] is v:
                    self.store(r, self.get(v))
        self.in_block = False
        own = {id(v) for v in once.inside if v.op == "slots" or axis in v.axes or (id(v) not in sums and not any(axis in a.axes for a in v.args))}
        left = known | {id(v) for v in once.inside}
        self.names = {i: name for i, name in self.names.items() if i in left and i not in own and axis not in name.axes}
        self.close()

    def total(self, v: Value) -> None:
        axes = self.tile_axes(v.axes)
        name = self.fresh(v.name or "total")
        self.line(f"{name} = tl.zeros({self.extents(axes)}, tl.float32)", self.shape(axes))
        self.names[id(v)] = Name(name, axes)

    def add(self, v: Value) -> None:
        name = self.names[id(v)]
        if v.op == "give":
            text, axes = self.get(v.args[0]).text, self.get(v.args[0]).axes
        else:
            text, axes = self.reduction(v, tuple(a for a in v.get("over") or () if a != "r"))
        self.line(f"{name.text} += {text if axes == name.axes else self.aligned(Name(text, axes), name.axes)}")
