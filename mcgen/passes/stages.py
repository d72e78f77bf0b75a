"""When each value can be had, where a program runs as kernels one after the other: what `slice` cuts by.

A kernel is a grid over rows ("rows"), a loop over rows for every sequence and head ("loop": scans and sums over rows), or a
loop over rows for every slot ("slots": sums over rows per slot). Kernels run in stages; those of one stage need nothing of
each other. A loop is what takes time in order, so products of a row's tokens that it needs are stored by an earlier grid. In the
fused form a loop computes them itself, and what is computed from its states too: fewer kernels, and less traffic between them.
"""
from __future__ import annotations

from ..ir.builder import Builder
from ..ir.nodes import Program, Value, is_dim, order, slot_axis
from .apart import leaves_levels, levelled, of_levels, over_levels
from .latest import latest
from .token_loops import over_tokens, scans_rows

LIGHT, PRODUCT, SLOTS = 0, 1, 2          # what computing a value again costs: nothing much, a product of tokens, work over the slots
Way = tuple[bool, bool]                  # of a loop over rows: whether in reverse, whether one for every level
MANY_PRODUCTS = ("inverse", "pair", "papply", "channels")        # a kernel's work each: in memory for all other kernels


def is_product(v: Value, one: str = "") -> bool:
    """Whether a dot is one of matrices: both sides have an axis of their own. one: an axis of one entry."""
    x, y = (set(arg.axes) - {"r", one, *v["over"]} for arg in v.args)
    return bool(x - y) and bool(y - x)


def over_rows(v: Value) -> bool:
    return v.op == "give" or (v.op in ("sum", "dot") and "r" in v["over"])


def way(scan: Value) -> Way:
    return scan["reverse"], of_levels(scan)


def of_rows(loop: Value) -> bool:
    """Whether a slots loop runs per row."""
    return any("r" in a.axes for a in loop.args) or any(v.op == "take" for v in loop["body"].order())


class Stages:
    """The stages of one program's values. fused: whether a loop over rows computes products of a row's tokens itself."""

    def __init__(self, program: Program, b: Builder, fused: bool = False):
        self.program, self.b, self.fused = program, b, fused
        self.slot = program.slot
        self.order = program.order()
        single = order([v for v in self.order if levelled(v) or of_levels(v)])             # what a program of one level may need
        self.of_all_levels = {id(v) for v in single if over_levels(v) and "r" in v.axes}
        self.inline = PRODUCT if fused else LIGHT             # the dearest of what a loop over rows computes itself
        self._ready: dict[int, int] = {}
        self._at: dict[int, int] = {}
        self._weight: dict[int, int] = {}
        self._partial: dict[int, Value] = {}
        self._ways: dict[int, set[Way]] = {}
        self._serial: dict[tuple[int, Way | None, int], int] = {}
        self.fill()
        self.tokens = max((self.ready(v) for r in program.results if r.kind == "token" for v, _ in r.parts), default=0)
        self.merge(max([self.tokens, *self._at.values()]))
        self.reverse = {self.at(v): v["reverse"] for v in self.order if scans_rows(v) and not of_levels(v)}
        self.loops = sorted({(self.at(v), v["reverse"]) for v in self.order if scans_rows(v) and not of_levels(v)})

    def merge(self, last: int) -> None:
        """Every loop runs in the stage of another one of its kind if it may, else as late as it may: few kernels are launched."""
        hosts = [v for v in self.order if v.op == "slots" or scans_rows(v) or over_rows(v)]
        pinned: dict[int, int] = {}
        while len(pinned) < len(hosts):
            until = latest(self.program, self, last, pinned)
            v = min((v for v in hosts if id(v) not in pinned), key=lambda v: until[id(v)])
            same = [pinned[id(u)] for u in hosts if id(u) in pinned and (self.loop_kind(u) == self.loop_kind(v) or self.joins(v, u))]
            pinned[id(v)] = max((at for at in same if self.at(v) <= at <= until[id(v)]), default=until[id(v)])
            self._at = dict(pinned)
            self._ready.clear()
            self._serial.clear()
            self.fill()

    def loop_kind(self, v: Value) -> tuple:
        return (v.op, way(v)) if v.op == "scan" else (v.op == "slots", self.per_slot(v), levelled(v))

    def per_slot(self, v: Value) -> bool:
        """Whether it is a sum over rows for every slot of the cache."""
        return v.op == "give" or (over_rows(v) and self.slot == "n" and "n" in v.axes)

    def fill(self) -> None:
        for v in self.order:              # arguments first: no deep recursion
            self.weight(v)
            if v.op in ("slots", "collect") or scans_rows(v) or over_rows(v):
                self.at(v)
            if v.op != "slots" and not scans_rows(v):
                self.ready(v)

    over_rows = staticmethod(over_rows)

    def many(self, v: Value) -> bool:
        """Whether a grid over rows, or over slots, computes it for all other kernels."""
        return v.op in MANY_PRODUCTS or leaves_levels(v) or id(v) in self.of_all_levels or self.of_slots(v)

    def of_slots(self, v: Value) -> bool:
        """Whether v is of every slot of the cache and no row: a system, or a product of matrices. Dear, and for rows a matrix to read."""
        if self.slot != "n" or v.axes[:1] != ("n",) or over_rows(v):
            return False
        return v.op == "dense_solve" or (v.op == "dot" and all(sum(map(is_dim, a.axes)) > 1 for a in (v, *v.args)))

    def direction(self, stage: int) -> bool:
        """Which way the loop of a stage runs that has no scan of its own: the scans' way."""
        return self.reverse.get(stage, False)

    def ready(self, v: Value) -> int:
        """The first stage in which a kernel can have v, from memory or by computing it."""
        if id(v) not in self._ready:
            if v.op == "out" and not over_tokens(v.args[0]):
                host = v.args[0]
                found = self.at(host) + (0 if host.op == "slots" and not self.stack(v) else 1)
            elif v.op == "out":                          # one token after the other: products of all of them come from memory
                found = max(self.serial(a, inline=LIGHT) for a in v.args[0].args) + leaves_levels(v)
            elif v.op == "collect" or over_rows(v):
                found = self.at(v) + 1
            elif self.many(v):
                found = max(map(self.ready, v.args)) + 1
            else:
                found = max((self.ready(a) for a in v.args), default=0)
            self._ready[id(v)] = found
        return self._ready[id(v)]

    @staticmethod
    def stack(out: Value) -> bool:
        """Whether it is a stack of a loop over rows: written slot by slot, read by later kernels."""
        return out["kind"] == "stack"

    def at(self, v: Value) -> int:
        """The stage in which a scan over rows, slots loop, collect or sum over rows runs."""
        if id(v) not in self._at:
            self._at[id(v)] = self._stage_of(v)
        return self._at[id(v)]

    def _stage_of(self, v: Value) -> int:
        if v.op == "scan":
            return max((self.serial(a, way(v)) for a in v.args), default=0)
        if v.op == "slots":
            if slot_axis(v) == "l":
                return max([self.stored(a) for a in v.args[:v["xs"]]] + [self.ready(a) for a in v.args[v["xs"]:]])
            if not of_rows(v):
                return max(map(self.ready, v.args), default=0)
            n = v["xs"]
            return max([self.serial(a, inline=LIGHT) for a in v.args[:n]] + [self.ready(a) for a in v.args[n:]])
        if v.op == "collect":
            x, old = v.args[:2]
            return max(self.serial(x, *self.ways(x)) if self.ways(x) else self.ready(x), self.ready(old))
        if self.per_slot(v):
            return max(self.serial(a, inline=LIGHT) for a in v.args)
        if levelled(v) and not self.way_of(v):
            return self.stored(self.partial(v))
        return self.serial(self.partial(v), *self.way_of(v))

    def stored(self, v: Value) -> int:
        """The first stage that can have v from memory, if it has levels."""
        return self.ready(v) + (levelled(v) and self.computed(v))

    @staticmethod
    def computed(v: Value) -> bool:
        """Whether a grid over rows computes v, so that it is there for others one stage later than `ready` says."""
        return not (v.op in ("param", "collect") or over_rows(v) or (v.op == "out" and scans_rows(v.args[0])))

    def partial(self, v: Value) -> Value:
        """What a sum over rows adds up: the sum of one row."""
        if id(v) not in self._partial:
            over = [a for a in v.get("over") or () if a != "r"]
            self._partial[id(v)] = v.args[0] if v.op == "give" else self.b.sum(v.args[0], over) if v.op == "sum" else self.b.dot(*v.args, over)
        return self._partial[id(v)]

    def way_of(self, total: Value) -> set[Way]:
        """The one way of the scans whose rows a sum over rows adds up, where it may be added in their loop."""
        ways = self.ways(self.partial(total))
        return ways if len(ways) == 1 else set()

    def way(self, total: Value, stage: int) -> Way:
        return next(iter(self.way_of(total)), (self.direction(stage), levelled(total)))

    def joins(self, total: Value, scan: Value) -> bool:
        """Whether a sum over rows may be added in the loop of a scan."""
        return over_rows(total) and not self.per_slot(total) and scans_rows(scan) and way(scan) in self.way_of(total)

    def ways(self, v: Value) -> set[Way]:
        """Ways of the scans whose rows v is made of elementwise; in the fused form also by products."""
        if id(v) not in self._ways:
            found: set[Way] = set()
            if v.op == "out":
                found = {way(v.args[0])} if scans_rows(v.args[0]) and v["kind"] != "final" else found
            elif v.op in ("map", "rename") or (self.fused and self.passes(v, self.inline) and not over_levels(v)):
                found = found.union(*map(self.ways, v.args))
            self._ways[id(v)] = found
        return self._ways[id(v)]

    def serial(self, v: Value, of: Way | None = None, inline: int | None = None) -> int:
        """The first stage in which a loop can have v: what is dearer than `inline` comes from memory, outputs of its own scans from itself."""
        inline = self.inline if inline is None else inline
        key = (id(v), of, inline)
        if key not in self._serial:
            if v.op == "out" and scans_rows(v.args[0]) and way(v.args[0]) == of and v["kind"] != "final":
                found = self.at(v.args[0])
            elif self.passes(v, inline):
                found = max((self.serial(a, of, inline) for a in v.args), default=0)
            else:
                found = self.ready(v) + (1 if self.weight(v) > inline else 0)
            self._serial[key] = found
        return self._serial[key]

    def looped(self, v: Value) -> bool:
        """Whether a token's result may be computed in a loop over rows: where that takes no work over the slots."""
        return self.fused and self.weight(v) < SLOTS

    def passes(self, v: Value, inline: int) -> bool:
        """Whether a loop computes v itself, whatever its arguments are: elementwise, or small once it is computed, or at most as dear as
        a loop may be."""
        if v.op in ("map", "rename", "expose", "keep") or (self.of_slot(v) and not leaves_levels(v)):
            return True
        if v.op in ("scan", "slots", "out", "collect") or self.many(v) or over_rows(v):
            return False
        return (v.op in ("dot", "sum", "max") or inline > LIGHT) and self.own_weight(v) <= inline

    @staticmethod
    def of_slot(v: Value) -> bool:
        """Whether v is more than a number for every token and slot, made for each slot alone: a kernel over slots computes that once, and
        nobody has the memory for it."""
        return v.op in ("dot", "sum", "dense_solve") and {"r", "n"} <= set(v.axes) and any(map(is_dim, v.axes))

    # -- weights -----------------------------------------------------------------------------------------------
    def weight(self, v: Value) -> int:
        """What computing v again in another kernel costs, given what other kernels leave in memory."""
        if id(v) not in self._weight:
            if v.op in ("slots", "collect") or self.many(v) or scans_rows(v) or over_rows(v):
                found = LIGHT
            elif v.op == "out" and not over_tokens(v.args[0]):
                host = v.args[0]
                found = SLOTS if host.op == "slots" and of_rows(host) and not self.stack(v) else LIGHT
            else:
                found = max([self.own_weight(v), *map(self.weight, v.args)])
            self._weight[id(v)] = found
        return self._weight[id(v)]

    def own_weight(self, v: Value) -> int:
        tokens = {"c", "d", "mid"} & set(v.axes)
        over = set(v.get("over") or ())
        if v.op == "out" and over_tokens(v.args[0]):
            return SLOTS                            # one token after the other: nothing in a row is dearer
        if "n" in over or v.op == "topk" or (v.op == "dot" and "n" in v.axes):
            return SLOTS if "r" in v.axes else LIGHT
        if v.op == "dot":
            return PRODUCT if tokens and is_product(v) else LIGHT
        if v.op == "cumsum":
            return PRODUCT if len(set(v.axes) - {"r"}) > 1 else LIGHT
        simple = v.op in ("map", "rename", "expose", "keep", "take", "sum", "max") or not v.args
        return LIGHT if simple or not tokens else PRODUCT
