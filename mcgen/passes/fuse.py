"""One pass over the rows: a chunk-level program becomes a kernel that does everything for one sequence and head.

Values are placed on demand, from what is stored back to what it needs: small arithmetic stays inside the expression
that uses it, everything else gets a tile. Sums of products accumulate into one tile; a carry is updated in place at the
end of its row, after all that read it; what happens once a segment stands behind a condition.
"""
from __future__ import annotations

from ..ir import kernel as kr
from ..ir.builder import Builder
from ..ir.kernel_verifier import verify_kernel
from ..ir.nodes import LEAD, Program, Result, Value, order
from .advance import advance
from .carries import open_scans
from .columns import by_columns
from .fuse_tokens import Tokens
from .in_place import in_place
from .join import join_products
from .keep_functions import keep_functions
from .leave_tokens import leave_tokens
from .share_rows import share_rows
from .turn_tiles import turn_tiles

STEPS = (join_products, turn_tiles, share_rows, leave_tokens, by_columns, keep_functions, in_place)


def fuse(program: Program, b: Builder, saved: int | None = None) -> kr.Kernel:
    """Requires: a chunk-level program without large values outside slot loops. `saved`: the index of the first result
    that only a saving pass has. Ensures: a verified kernel."""
    opened, carries, reverse = open_scans(advance(program, b), b)
    count = len(opened.results) if saved is None else saved
    kernel = kr.Kernel(program.name, program.params, opened.results, count, reverse, slot=program.slot)
    _Fuser(b, opened, carries, kernel).run()
    verify_kernel(kernel)
    for step in STEPS:
        kernel = step(kernel)
        verify_kernel(kernel)
    return kernel


class _Fuser(Tokens):
    """The frame: before the rows, each row, its end, after the rows."""

    def run(self) -> None:
        kernel, program = self.kernel, self.program
        collected = [(r, r.parts[0][0]) for r in program.results if r.parts[0][0].op == "collect"]
        for result, value in collected:
            self.refs[id(value)] = kr.Ref(result.name, result.kind, (self.slot,) + result.axes)
            self.out.append(kr.Map(self.refs[id(value)], self.expr(value.args[1])))
        for carry in self.carries.values():
            leaf = self.b.make("carry", (), ("r",) + carry.axes, name=carry.name)
            self.refs[id(leaf)] = self.tile(carry.name, carry.axes)
            self.out.append(kr.Map(self.refs[id(leaf)], self.expr(carry.init)))
        kept = [v for v in program.order() if v.op == "keep"]
        self.kept = self.tile("kept", (self.slot,)) if kept else None
        if self.kept:
            self.out.append(kr.Map(self.kept, kr.Expr("num", attr=1.0)))
        self.accumulators([v for v in order(program.roots() + [c.next for c in self.carries.values()])])
        self.out = kernel.rows
        for i, result in enumerate(program.results):
            value = result.parts[0][0]
            if result.kind == "token":
                self.store(result)
            elif result.kind == "starts":
                block: list = []
                self.into(block, lambda: self.out.append(kr.Map(kr.Ref(result.name, "starts", result.axes), self.expr(value))))
                self.out.append(kr.Saving(tuple(block)) if i >= kernel.saved else block[0])
        self.accumulate_rows()
        self.end_of_row(collected)
        self.out = kernel.after
        for result in program.results:
            if result.kind == "memory":
                self.out.append(kr.Map(kr.Ref(result.name, "memory", result.axes), self.expr(result.parts[0][0])))
            elif result.kind in ("slots", "units", "levels") and result.parts[0][0].op != "collect":
                self.slots_result(result)

    def slots_result(self, result: Result) -> None:
        value = result.parts[0][0]
        dst = kr.Ref(result.name, result.kind, LEAD[result.kind] + result.axes)
        self.out.append(kr.Map(dst, self.expr(value, top=True)))

    def store(self, result: Result) -> None:
        for value, shift in result.parts:
            if value.op == "const":
                expr = self.expr(value)
            else:
                expr = self.root_expr(value, ("c",) + result.axes)
            self.out.append(kr.Store(result, expr, shift, result.delay > 0))

    # -- sums over rows ----------------------------------------------------------------------------------------
    def accumulators(self, values: list[Value]) -> None:
        """Tiles for sums over all rows, zero before the first."""
        self.pending: list[Value] = []
        for v in values:
            over_rows = v.op in ("sum", "dot") and "r" in v["over"]
            stacked = v.op == "out" and v["kind"] in ("stack", "give") and "r" not in v.axes
            if over_rows or stacked or v.op == "give":
                self.refs[id(v)] = self.tile(v.name or "over_rows", v.axes)
                self.out.append(kr.Map(self.refs[id(v)], kr.Expr("num", attr=0.0)))
                self.pending.append(v)

    def accumulate_rows(self) -> None:
        for v in self.pending:
            if v.op == "out":
                self.loop(v.args[0])
            elif v.op == "give":
                value = self.expr(v.args[0])
                self.out.append(kr.Loop("digits", (kr.Map(self.refs[id(v)], value, True),)))
            else:
                self.reduction(self.refs[id(v)], v, [], True)

    # -- carries -----------------------------------------------------------------------------------------------
    def end_of_row(self, collected) -> None:
        """Carries take their next values in place; what a completed segment leaves behind is stored."""
        last: list[tuple[kr.Ref, Value, Value]] = []
        pending: list[tuple[kr.Ref, Value, Value]] = []
        for carry in self.carries.values():
            leaf = self.b.make("carry", (), ("r",) + carry.axes, name=carry.name)
            ref, value = self.refs[id(leaf)], carry.next
            if value is leaf:
                continue
            guard = self.row_condition(value)
            if guard is not None and (value.args[2] is leaf or id(value.args[2]) not in self.refs):
                last.append((ref, guard, value.args[1]))
                value = value.args[2]
            if value is not leaf:
                pending.append((ref, leaf, value))
        while pending:
            free = next((p for p in pending if not any(self.still_reads(q[2], p[1]) for q in pending if q is not p)), None)
            if free is None:                     # in a circle: all of them beside the old ones, then over them
                self.exchange(pending)
                break
            self.update(*free)
            pending.remove(free)
        for result, value in collected:
            block: list = []
            self.into(block, lambda: self.out.append(kr.Map(
                kr.Ref(result.name, result.kind, result.axes, "segment"), self.expr(value.args[0]))))
            self.guarded(self.completes(), block)
        if self.kept:
            self.guarded(self.completes(), [kr.Loop("segment", (kr.Map(self.kept, kr.Expr("num", attr=0.0)),))])
        for ref, guard, value in last:
            block = []
            self.into(block, lambda: self.out.append(kr.Map(ref, self.expr(value))))
            self.guarded(guard, block)

    def exchange(self, pending: list[tuple[kr.Ref, Value, Value]]) -> None:
        """Carries whose next values read each other."""
        spares = []
        for ref, _, value in pending:
            spares.append(self.tile(value.name or "next", ref.axes))
            self.assign(spares[-1], value)
        for (ref, _, value), spare in zip(pending, spares):
            self.out.append(kr.Map(ref, kr.Expr("ref", attr=spare)))
            self.refs[id(value)] = ref

    def still_reads(self, value: Value, leaf: Value) -> bool:
        """Whether something that is still to be computed for `value` reads a carry."""
        stack = [value]
        while stack:
            v = stack.pop()
            if v is leaf:
                return True
            if id(v) not in self.refs:
                stack.extend(v.args)
        return False
