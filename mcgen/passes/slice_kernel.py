"""Cutting, second part: one kernel, and which values below its results come from memory."""
from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Callable, Iterable, NamedTuple, Sequence

from ..ir.builder import Builder
from ..ir.nodes import Param, Program, Result, Value, bodies, dim_of, is_dim, slot_axis
from .apart import leaves_levels, levelled
from .arrange import SIDE, Pressure
from .fold import Fold, fold
from .independent import independent, separable, tied, with_bodies
from .names_apart import names_apart
from .prune_loops import prune_loops
from .rewrite import Rebuilder
from .simple_slots import simple_slots
from .stages import LIGHT, MANY_PRODUCTS, PRODUCT, SLOTS, is_product, of_rows, over_rows
from .token_loops import TokenLoops, over_tokens, scans_rows, token_loops

MANY = 6                         # for how many products of matrices such a value counts
PASSES = 2                       # how often such a kernel may go over the blocks of a dim
LEAST = 3, 4                     # products of a kernel that may need more registers than there are, and of one that may where a dim has 128
TILES = 6.45                     # tiles with sides of 64 that are alive at once in registers, at most
LARGE, LOOP = 6.9, 14            # the same where a dim has 128; and in a loop over rows, whose states lie there anyway
SIZE = 64                        # what every axis counts when stored elements are compared


class Key(NamedTuple):
    """A kernel: stage, kind, whether its rows run in reverse, whether each of its programs has one level only."""

    stage: int
    kind: str
    reverse: bool = False
    levels: bool = False


@dataclass(frozen=True)
class Slice:
    """One kernel. kind: 'rows' (a grid over rows), 'loop' (over rows, in order), 'slots' (a grid over slots, rows in order).

    blocked: the dims along which its programs are independent. slot: the axis of the cache's slots. levels: whether there is a
    program for every level. fold: what one of them goes over block by block. kept: what its scans over tokens give of every token and it
    reads again itself, and the result or the scratch tensor in which that lies.
    """

    program: Program
    kind: str
    reverse: bool
    blocked: tuple[str, ...]
    kept: tuple[tuple[Value, Param], ...] = ()
    slot: str = "n"
    levels: bool = False
    fold: Fold | None = None

    @property
    def folded(self) -> tuple[str, ...]:
        return (self.fold.axis,) if self.fold else ()

    @property
    def whole(self) -> tuple[str, ...]:
        """The dims that one of its programs has from end to end, sorted."""
        cut = {dim_of(a) for a in (*self.blocked, *self.folded)}
        return tuple(sorted({dim_of(a) for v in self.program.order() for a in v.axes if is_dim(a) and not dim_of(a).isdigit()} - cut))

    @property
    def products(self) -> int:
        """How many products of matrices one of its programs takes."""
        return products(self.program.order(), self.slot if self.kind == "slots" else "")

    @cached_property
    def load(self) -> float:
        """What it needs of registers, 1 if the tiles alive at once fill them; 0 for a kernel of few products."""
        return max(self.fills())

    def filled(self, results: Sequence[Result]) -> float:
        """The same for some of its results."""
        return max(self._fills(Pressure([v for r in results for v, _ in r.parts])))

    def fills(self, long: int = LEAST[1]) -> tuple[float, float]:
        """What the tiles alive at once fill of registers with blocks of 32, and with blocks of 16 and 128 of the dims that it has whole; 0
        for few products. long: for how many the second counts."""
        return self._fills(Pressure(self.program.roots()), long) if self.products >= LEAST[0] else (0.0, 0.0)

    def _fills(self, alive: Pressure, long: int = LEAST[1]) -> tuple[float, float]:
        most = (LOOP, LOOP) if self.kind == "loop" else (TILES, LARGE)
        return self._tiles(alive, 0.5) / most[0], self._tiles(alive, 0.25, 2) / most[1] if self.products >= long else 0.0

    def tiles(self) -> tuple[tuple[float, ...], ...]:
        """How many tiles of 64 x 64 are alive at once, where dims that it has whole have 64, and 128; for each with blocks of 64, and of 32."""
        alive = Pressure(self.program.roots())
        return tuple(tuple(round(self._tiles(alive, block, long), 2) for block in (1, 0.5)) for long in (1, 2))

    def _tiles(self, alive: Pressure, block: float, long: float = 1) -> float:
        cut = {*self.blocked, *self.folded}
        axes = {a for v in self.program.order() for a in v.axes if is_dim(a) and not dim_of(a).isdigit()}
        one = {self.slot: 1 / SIDE} if self.kind == "slots" else {}
        return alive.tiles({a: block if a in cut else long for a in axes} | one, self.folded)

    def folding(self) -> Slice:
        """A kernel over rows goes over blocks; twice only where that spares many products their long sides, or registers."""
        plain = replace(self, fold=None)
        if self.kind != "rows":
            return plain
        spares = self.products > MANY or max(plain.fills(LEAST[0])) > 1
        return replace(self, fold=fold(self.program, self.blocked, PASSES if spares else 1))

    def part(self, results: Sequence[Result], params: Iterable[Param], b: Builder) -> Slice:
        """The same kind of kernel for these results, which read some of these parameters; of loops what they need. Requires: it reads again
        nothing that it gives."""
        program = prune_loops(replace(self.program, results=tuple(results)), b)
        read = {v["name"] for v in program.order() if v.op in ("param", "load")}
        program = replace(program, params=tuple(p for p in params if p.name in read))
        return replace(self, program=program, blocked=separable(program)).folding()


class Kernel:
    """One kernel of a program. `cutter` (`mcgen.passes.slice`) knows the stages, and what is in memory. apart: what is summed along dims to
    numbers of a token, or of a pair of them, comes from memory, so that programs can be independent along these dims."""

    def __init__(self, cutter, key: Key, results: list[Result], apart: bool = False):
        self.cutter, self.stages, self.b = cutter, cutter.stages, cutter.b
        self.key, self.levels = key, key.levels
        self.stage, self.kind, self.reverse = key[:3]
        self.results, self.apart = results, apart
        self.limit = SLOTS if self.kind == "rows" or (self.kind == "loop" and self.stages.fused) else PRODUCT
        self.costs: dict[tuple[int, int], tuple[int, bool]] = {}
        self.stored: dict[int, Value] = {}

    def slice(self) -> Slice:
        program = self.program(self.cutter.read)
        program = replace(program, params=self.params(program))
        kept = self.kept(token_loops(program))
        free = [a for a in separable(program) if all(a in p.axes for _, p in kept)]       # a program reads what it wrote itself
        return Slice(program, self.kind, self.reverse, tuple(free), kept, self.cutter.slot, self.levels).folding()

    def load(self) -> float:
        """See `Slice.load`."""
        program = self.program(lambda v: self.b.param(Param(f"{self.b.serial(v)}", "starts", tuple(a for a in v.axes if a != "r"), dtype=v.dtype)))
        return Slice(program, self.kind, self.reverse, separable(program)).folding().load

    def program(self, read: Callable[[Value], Value]) -> Program:
        """What this kernel computes, with `read` for what comes from memory; without its parameters."""
        roots = [v for r in self.results for v, _ in r.parts]
        for root in roots:
            self.choose(root, self.limit)
        self.prune()
        replaced = {i: read(v) for i, v in self.stored.items()}

        def hook(rebuilder: Rebuilder, value: Value, args: list[Value]) -> Value | None:
            if over_rows(value) and not self.stages.per_slot(value):
                return self.b.sum(rebuilder.rebuild([self.stages.partial(value)])[0], ["r"])
            return None

        made = iter(Rebuilder(self.b, replaced, hook).rebuild(roots))
        results = tuple(replace(r, parts=tuple((next(made), s) for _, s in r.parts)) for r in self.results)
        program = Program("", (), results, "chunk", self.cutter.program.segment)
        return names_apart(prune_loops(simple_slots(program, self.b), self.b), self.b)

    def kept(self, loops: TokenLoops) -> tuple[tuple[Value, Param], ...]:
        """Where what is read again lies: in a result, else in memory for the tokens of one row."""
        found = []
        for v in loops.read.values():
            result = next((r for x, r in loops.stored if x is v and r.kind == "starts"), None)
            if result is not None:
                found.append((v, Param(result.name, "starts", result.axes)))
                continue
            loop, at = v.args[0], v["index"] + (0 if v["kind"] == "start" else v.args[0]["carries"])
            name = (loop["body"].params if v["kind"] == "start" else loop["body"].results)[at].name
            kind = {"rows": "starts", "loop": "memory", "slots": "slots"}[self.kind]
            axes, taken = tuple(a for a in v.axes if a != "r"), [p for _, p in found]
            param = next((p for p in self.cutter.each if (p.kind, p.axes) == (kind, axes) and p not in taken), None)
            if param is None:                            # no kernel reads another's
                param = Param(self.cutter.fresh(f"each.{name.split('.', 1)[-1]}"), kind, axes)
                self.cutter.each.append(param)
                self.cutter.scratch.append(param)
            found.append((v, param))
        return tuple(found)

    def values(self) -> dict[int, Value]:
        """What this kernel computes, by id; of loops the loops alone."""
        roots = [v for r in self.results for v, _ in r.parts]
        for root in roots:
            self.choose(root, self.limit)
        seen: dict[int, Value] = {}
        stack = [v for v in roots if id(v) not in self.stored]
        while stack:
            v = stack.pop()
            if id(v) not in seen:
                seen[id(v)] = v
                stack += [a for a, _ in self.below(v, self.limit) if id(a) not in self.stored]
        return seen

    def walks(self) -> tuple[set[int], set[str], set[str]]:
        """Loops over tokens in this kernel, by id, the dims of its tiles, and those of them that it has whole."""
        values = with_bodies(self.values().values())
        dims = {dim_of(a) for v in values for a in v.axes if is_dim(a) and not dim_of(a).isdigit()}
        return {id(v) for v in values if over_tokens(v)}, dims, dims & {dim_of(a) for a in tied(values)}

    def measure(self) -> tuple[set, tuple[str, ...]]:
        """Products of matrices and loops in this kernel, and the dims along which it is independent."""
        seen = self.values()
        products: set = {i for i, v in seen.items() if (v.op == "dot" and is_product(v)) or (v.op == "out" and v.args[0].op == "slots")
                         or over_tokens(v)}
        products |= {(*map(id, v.args), i) for v in seen.values() if v.op in MANY_PRODUCTS for i in range(MANY)}
        return products, independent(list(seen.values()), self.results)

    def params(self, program: Program) -> tuple[Param, ...]:
        names = {v["name"] for v in program.order() if v.op in ("param", "load")}
        known = {p.name: p for p in (*self.cutter.program.params, *self.cutter.buffers.values())}
        return tuple(known[n] for n in known if n in names)

    # -- choosing ----------------------------------------------------------------------------------------------
    def inner(self, v: Value) -> bool:
        """Whether a loop's output, or a sum over rows, is computed in this kernel."""
        if v.op == "out":
            loop = v.args[0]
            if scans_rows(loop):
                return self.cutter.host(v) == self.key
            if over_tokens(loop):
                return self.levels if levelled(v) else not self.stages.many(v) or self.gives(v)
            if levelled(v) or slot_axis(loop) == "l":
                return levelled(v) == self.levels and (not of_rows(loop) or self.kind == "rows")
            return not of_rows(loop) or (self.kind == "rows" and self.stages.at(loop) == self.stage)
        if v.op == "collect" or self.stages.many(v):
            return self.gives(v)
        return over_rows(v) and self.cutter.total_key(v) == self.key

    def gives(self, v: Value) -> bool:
        """Whether this kernel is the one that computes v for all others."""
        return any(v is p for r in self.results for p, _ in r.parts) and (self.levels or not leaves_levels(v))

    def below(self, v: Value, limit: int) -> list[tuple[Value, int]]:
        """What v is computed from in this kernel, and how dear each may be."""
        if v.op == "out":
            loop = v.args[0]
            if loop.op == "slots" and of_rows(loop):
                return [(a, PRODUCT if i < loop["xs"] else limit) for i, a in enumerate(loop.args)]
            return [(a, PRODUCT if over_tokens(loop) else limit) for a in loop.args]
        if v.op == "collect":
            return [(a, limit) for a in (v.args[0], *v.args[2:])]
        if over_rows(v) and not self.stages.per_slot(v):
            return [(self.stages.partial(v), limit)]
        return [(a, limit) for a in v.args]

    def made_elsewhere(self, v: Value) -> bool:
        if v.op in ("out", "collect") or self.stages.many(v) or over_rows(v):
            return not self.inner(v)
        return levelled(v) and not self.levels and v.op != "param"

    def storable(self, v: Value) -> bool:
        return "r" in v.axes and v.op not in ("row", "iota") and self.stages.ready(v) < self.stage

    @staticmethod
    def summed(v: Value) -> bool:
        """Whether it is a number of a token, or of a pair of them, that is a sum along dims."""
        return v.op in ("sum", "dot", "max") and any(map(is_dim, v["over"])) and not set(v.axes) - {"r", "c", "d"}

    @staticmethod
    def of_tokens(v: Value) -> bool:
        """Whether it is a vector that sums up one of each token, or of each token's pairs a number: that is no work for what runs in order."""
        left = set(v.axes) - {"r"}
        return v.op in ("sum", "dot", "max") and len(left) == 1 and not {"c", "d"}.isdisjoint(v["over"]) and (
            left.isdisjoint(("c", "d")) or any({"c", "d"} <= set(a.axes) for a in v.args))

    def cost(self, v: Value, limit: int) -> tuple[int, bool]:
        """Elements per row that have to be in memory for v, and whether v is what is read."""
        key = (id(v), limit)
        if key not in self.costs:
            self.costs[key] = self.weigh(v, limit)
        return self.costs[key]

    def weigh(self, v: Value, limit: int) -> tuple[int, bool]:
        if self.made_elsewhere(v):
            return 0, True
        if ((self.apart and self.summed(v)) or (self.kind == "loop" and not self.stages.fused and self.of_tokens(v))) and self.storable(v):
            return self.elements(v), True
        if self.stages.weight(v) < limit:
            return 0, False
        if self.kind == "slots" and self.stages.of_slot(v):
            return sum({id(a): self.cost(a, limit)[0] for a in v.args}.values()), False
        inline = sum({id(a): self.cost(a, m)[0] for a, m in self.below(v, limit)}.values())
        if not self.storable(v):
            return inline, False
        kept = self.elements(v)
        stored = not self.cheap(v, limit) or kept < inline
        return (kept, True) if stored else (inline, False)

    def cheap(self, v: Value, limit: int) -> bool:
        """Whether v itself may be computed in this kernel, once its arguments are there: with levels always, they take memory."""
        if levelled(v):
            return True
        return self.stages.own_weight(v) < limit and not (v.op == "out" and v.args[0].op == "slots")

    def elements(self, v: Value) -> int:
        if id(v) in self.cutter.buffers:
            return 0
        total = 1
        for a in v.axes:
            total *= 1 if a == "r" else min(int(dim_of(a)), SIZE) if dim_of(a).isdigit() else SIZE
        return total

    def choose(self, root: Value, limit: int) -> None:
        """Fills `stored` with what is read from memory below a value."""
        seen: set[tuple[int, int]] = set()
        stack = [(root, limit)]
        while stack:
            v, m = stack.pop()
            if (id(v), m) in seen or id(v) in self.stored:
                continue
            seen.add((id(v), m))
            if self.cost(v, m)[1]:
                self.stored[id(v)] = v
            else:
                stack.extend(self.below(v, m))

    def prune(self) -> None:
        """Elementwise arithmetic of stored values is computed again."""
        changed = True
        while changed:
            changed = False
            for i, v in list(self.stored.items()):
                if v.op in ("map", "rename") and i not in self.cutter.buffers and not self.made_elsewhere(v) and all(
                        id(a) in self.stored or self.stages.weight(a) == LIGHT for a in v.args):
                    del self.stored[i]
                    for a in v.args:
                        self.choose(a, self.limit)
                    changed = True


def products(values: Iterable[Value], one: str = "") -> int:
    """How many products of matrices the values take, those in loops too; the parts of one operation's derivative take them once. one: an
    axis of which a kernel has one entry at a time."""
    values = list(values)
    parts = {(*map(id, v.args), v.op) for v in values if v.op in MANY_PRODUCTS}
    return MANY * len(parts) + sum((v.op == "dot" and is_product(v, one)) + sum(products(body.order(), one) for body in bodies(v)) for v in values)
