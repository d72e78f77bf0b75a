"""Cuts a chunk-level program into kernels: smaller programs that hand values on in memory.

What another stage needs is stored where that costs less than computing it again: numbers of a token, sums over the slots,
states before every row. Decays and products of loaded tokens are computed again instead. Every slice is a chunk-level
program itself, so running them one after the other in the interpreter gives what the whole program gives.
"""
from __future__ import annotations

from dataclasses import dataclass, replace

from ..ir.builder import Builder
from ..ir.naming import stem
from ..ir.nodes import AXIS_ORDER, LEAD, Param, Program, Result, Value
from ..ir.verifier import verify_program
from .apart import leaves_levels, levelled, levels_apart
from .hoist import hoist
from .reuse import reuse
from .share_factors import share_factors
from .slice_kernel import Kernel, Key, Slice
from .slice_parts import parts
from .stages import SLOTS, Stages, of_rows, over_rows, way
from .thin import thin
from .token_loops import handed_out, over_tokens, scans_rows
from .unstack import unstack

PRODUCTS = 6                     # how many products of matrices one kernel computes


@dataclass(frozen=True)
class Sliced:
    """All kernels of a program in order, the tensors between them, and what is left to do around them.

    copies: (result, parameter) to copy before the kernels. shifted: results that are sums of token tensors at shifts:
    (result, ((scratch, shift), ..)).
    """

    slices: tuple[Slice, ...]
    scratch: tuple[Param, ...]
    copies: tuple[tuple[str, str], ...]
    shifted: tuple[tuple[str, tuple[tuple[str, int], ...]], ...]


def cut(program: Program, b: Builder, fused: bool = False) -> Sliced:
    """Requires: a chunk-level program after loop_slots. Ensures: programs in an order in which each has what it reads, all well formed.

    fused: loops over rows compute what a grid over rows would store for them, and the tokens' results from their states.
    """
    sliced = _Cutter(levels_apart(thin(share_factors(hoist(unstack(program, b), b), b), b), b), b, fused).run()
    for s in sliced.slices:
        verify_program(s.program)
    return sliced


class _Cutter:
    def __init__(self, program: Program, b: Builder, fused: bool):
        self.program, self.b = program, b
        self.stages = Stages(program, b, fused)
        self.slot = program.slot
        self.names = {p.name for p in program.params} | {r.name for r in program.results}
        self.buffers: dict[int, Param] = {}                  # values in memory: id -> where
        self.scratch: list[Param] = []
        self.each: list[Param] = []                          # of that, what one kernel alone writes and reads
        self.pending: dict[Key, list[Result]] = {}       # what a kernel stores: (stage, kind, reverse) -> results
        self.copies: list[tuple[str, str]] = []
        self.shifted: list[tuple[str, tuple[tuple[str, int], ...]]] = []

    def run(self) -> Sliced:
        for result in self.program.results:
            self.place(result)
        slices: list[Slice] = []
        while self.pending:
            key = max(self.pending)                          # the last stage first: it says what earlier ones store
            groups = [parts(Kernel(self, key, *group)) for group in self.kernels(key, self.pending.pop(key))]
            slices += [s for group in sorted(groups, key=_last) for s in group]
        made, scratch = reuse(slices[::-1], self.scratch, self.fresh, self.b)
        named = (replace(s, program=replace(s.program, name=f"{self.program.name}_{at}")) for at, s in enumerate(made))
        return Sliced(tuple(named), tuple(scratch), tuple(self.copies), tuple(self.shifted))

    def kernels(self, key: Key, results: list[Result]) -> list[tuple[list[Result], bool]]:
        """Results by kernel, and whether it is `apart`. Of one over rows that fills registers there are several instead, independent along
        dims that it has whole, where these can read what is summed along them."""
        if key.kind == "loop":
            return [(group, False) for group in self.loop_groups(key, results)]
        if key.kind != "rows":
            return [(results, False)]
        found = []
        for group in self.groups(key, results):
            apart = self.groups(key, group, True) if Kernel(self, key, group).load() > 1 else []
            fit = apart and all(Kernel(self, key, g, True).load() <= 1 for g in apart)
            found += [(g, True) for g in apart] if fit else [(group, False)]
        return found

    def groups(self, key: Key, results: list[Result], apart: bool = False) -> list[list[Result]]:
        """Results of a grid over rows by kernel: those that are independent along the same dims, as long as the products of one
        kernel are few or shared. A kernel of many products spills registers."""
        found: list[tuple[list[Result], set, tuple[str, ...]]] = []
        for r in results:
            products, free = Kernel(self, key, [r], apart).measure()
            for group, held, along in found:
                if free == along and (len(held | products) <= PRODUCTS or 2 * len(held & products) >= len(products)) and not (
                        apart and Kernel(self, key, [*group, r], True).load() > 1):
                    group.append(r)
                    held |= products
                    break
            else:
                found.append(([r], products, free))
        return [group for group, _, _ in found]

    def loop_groups(self, key: Key, results: list[Result]) -> list[list[Result]]:
        """Results of a loop over rows by kernel. What takes one token after the other takes tiles of whole states, and is not done again in
        programs for what does not: so results of one such loop are together, all others too, and apart those that together would leave no
        dim to cut such a loop along."""
        known = [(r, *Kernel(self, key, [r]).walks()) for r in results]
        every = set().union(*(dims for _, _, dims, _ in known))
        found: list[tuple[list[Result], set[int], set[str]]] = []
        for r, loops, _, tied in sorted(known, key=lambda k: -len(k[3])):
            for group, held, whole in found:
                if (loops & held or not loops | held) and (tied <= whole or not loops or every - tied - whole):
                    group.append(r)
                    held |= loops
                    whole |= tied
                    break
            else:
                found.append(([r], loops, tied))
        place = {id(r): i for i, r in enumerate(results)}
        return [sorted(group, key=lambda r: place[id(r)]) for group, _, _ in found]

    # -- where results are computed ----------------------------------------------------------------------------
    def place(self, r: Result) -> None:
        value = r.parts[0][0]
        stages = self.stages
        if r.kind == "token":
            self.token(r)
        elif value.op == "collect" and id(value) not in self.buffers:
            self.buffers[id(value)] = Param(r.name, r.kind, r.axes)
            self.collected(r, value)
        elif value.op == "out" and value["kind"] != "sum" and id(value) not in self.buffers:
            if value.axes == LEAD.get(r.kind, ()) + r.axes:
                self.buffers[id(value)] = Param(r.name, r.kind, r.axes)
            self.add(self.host(value), r)
        elif r.kind == "starts":
            self.add(self.grid(stages.ready(value), value), r)
        else:
            self.add(self.after(value, r.kind), r)

    def token(self, r: Result) -> None:
        if r.delay == 0 and handed_out(r.parts[0][0]) is not None:
            self.add(self.host(r.parts[0][0]), r)
            return
        if r.delay == 0:
            self.add(self.token_key([v for v, _ in r.parts]), r)
            return
        parts = []
        for value, shift in r.parts:
            name = self.fresh(f"stored.{r.name}.{shift}")
            self.scratch.append(Param(name, "token", r.axes))
            self.add(self.token_key([value]), Result(name, "token", r.axes, ((value, 0),)))
            parts.append((name, shift))
        self.shifted.append((r.name, tuple(parts)))

    def token_key(self, parts: list[Value]) -> Key:
        """A grid over rows; in the fused form the last loop that can have all of them."""
        if all(map(self.stages.looped, parts)):
            for stage, reverse in reversed(self.stages.loops):
                if all(self.stages.serial(v, (reverse, False)) <= stage for v in parts):
                    return Key(stage, "loop", reverse)
        return Key(max(map(self.token_stage, parts)), "rows")

    @staticmethod
    def grid(stage: int, v: Value) -> Key:
        """The grid over rows, for every level where v has one or is made of them."""
        return Key(stage, "rows", False, levelled(v) or leaves_levels(v))

    def token_stage(self, v: Value) -> int:
        """With the last ones, where that costs no work over the slots again: one kernel shares their products."""
        return self.stages.ready(v) if self.stages.weight(v) == SLOTS else max(self.stages.tokens, self.stages.ready(v))

    def collected(self, r: Result, value: Value) -> None:
        x, old = value.args[:2]
        if old.op != "param":
            raise ValueError(f"{self.program.name}: {r.name} does not start as a parameter")
        self.copies.append((r.name, old["name"]))
        ways = self.stages.ways(x)
        key = Key(self.stages.at(value), "loop", *ways.pop()) if ways else self.grid(self.stages.at(value), x)
        self.add(key, r)

    def host(self, out: Value) -> Key:
        loop = out.args[0]
        if scans_rows(loop):
            return Key(self.stages.at(loop), "loop", *way(loop))
        if loop.op == "slots" and not of_rows(loop):
            return Key(self.stages.at(loop), "loop", self.stages.direction(self.stages.at(loop)))
        return self.grid(self.stages.ready(out) - self.stages.many(out) if over_tokens(loop) else self.stages.at(loop), out)

    def after(self, value: Value, kind: str) -> Key:
        """The kernel for what is known when all rows are done: the one that knows most of it already."""
        below = self.small(value)
        if kind in ("slots", "units") and any(v.op == "keep" or self.stages.per_slot(v) for v in below):
            own = [self.stages.at(v) for v in below if self.stages.per_slot(v)]
            rest = [self.stages.ready(v) for v in below if not v.args or v.op == "out" or self.stages.many(v) or (over_rows(v) and not self.stages.per_slot(v))]
            return Key(max([*own, *rest], default=0), "slots")
        hosts = {self.host(v) if v.op == "out" else self.total_key(v) for v in below if v.op == "out" or over_rows(v)}
        if len(hosts) == 1 and (kind == "slots" or all(host.kind != "slots" for host in hosts)):       # a sum over slots is no slot's own
            return hosts.pop()
        stage = max((key.stage + 1 for key in hosts), default=0)
        return Key(stage, "loop", self.stages.direction(stage), levelled(value))

    def small(self, value: Value) -> list[Value]:
        """The values below one that is known after all rows, down to what loops, sums over rows and kernels of their own give."""
        found, stack = [], [value]
        while stack:
            v = stack.pop()
            found.append(v)
            if v.op not in ("out", "collect") and not over_rows(v) and not self.stages.many(v):
                stack.extend(v.args)
        return found

    def total_key(self, v: Value) -> Key:
        stage = self.stages.at(v)
        return Key(stage, "slots") if self.stages.per_slot(v) else Key(stage, "loop", *self.stages.way(v, stage))

    def add(self, key: Key, result: Result) -> None:
        self.pending.setdefault(key, []).append(result)

    # -- what is stored between kernels ------------------------------------------------------------------------
    def buffer(self, v: Value) -> Param:
        """Where v is in memory; the kernel that makes it is told to store it."""
        if id(v) not in self.buffers:
            tokens = [a for a in ("l", "n", "c", "d", "mid") if a in v.axes]
            dims = [a for a in v.axes if a not in AXIS_ORDER]
            if v.op == "collect" or self.stages.per_slot(v):
                kind, axes, key = "slots" if self.slot == "n" else "units", tuple(dims), self.total_key(v) if over_rows(v) else None
            elif "r" in v.axes:
                kind, axes = "starts", tuple(tokens + dims)
                key = self.host(v) if v.op == "out" else self.grid(self.stages.ready(v) - self.stages.many(v), v)
            elif v.axes[:1] in (("n",), ("l",)):
                kind, axes = {"n": "slots", "l": "levels"}[v.axes[0]], tuple(dims)
                key = self.host(v) if v.op == "out" else Key(self.stages.ready(v) - 1, "slots") if self.stages.of_slots(v) else self.total_key(v)
            else:
                kind, axes, key = "memory", tuple(tokens + dims), self.host(v) if v.op == "out" else self.total_key(v)
            param = self.buffers[id(v)] = Param(self.fresh(f"stored.{stem(v)}"), kind, axes)
            self.scratch.append(param)
            stored = self.b.where(v, self.b.const(1.0)) if v.dtype == "b" else v
            result = Result(param.name, kind, axes, ((stored, 0),))
            if v.op == "collect":
                self.collected(result, v)
            else:
                self.add(key, result)
        return self.buffers[id(v)]

    def read(self, v: Value) -> Value:
        """v as it is read from memory."""
        b, param = self.b, self.buffer(v)
        value = b.param(param)
        if v.op == "out" and v.args[0].op == "slots" and self.stages.stack(v):
            written = b.map("lt", b.iota("n"), b.row("segment")) if self.slot == "n" else b.map("digit", b.row("segment"), b.iota("n"))
            value = b.where(written, value)                                         # no other slot was written
        return b.map("gt", value, b.const(0.5)) if v.dtype == "b" else value

    def fresh(self, stem: str) -> str:
        name, i = stem, 1
        while name in self.names:
            i += 1
            name = f"{stem}.{i}"
        self.names.add(name)
        return name


def _last(group: list[Slice]) -> tuple[int, bool]:
    """Smaller for kernels that run later: what parts of a kernel store, or kernels that have no dim whole, is there for others."""
    return len(group), not any(s.whole for s in group)
