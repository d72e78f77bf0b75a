"""One pass over the rows: a chunk-level program becomes a kernel that does everything for one sequence and head.

Values are placed on demand, from what is stored back to what it needs: small arithmetic stays inside the expression
that uses it, everything else gets a tile. Sums of products accumulate into one tile; a carry is updated in place at the
end of its row, after all that read it; what happens once a segment stands behind a condition.
"""
from __future__ import annotations

from typing import Sequence

from ..ir import kernel as kr
from ..ir.builder import Builder
from ..ir.functions import TABLE
from ..ir.nodes import Param, Program, Result, Value, order, uses
from .carries import Carry, open_scans
from .precision import precise
from .triangles import lower_triangular

LEAVES = ("const", "size", "iota", "row")


def fuse(program: Program, b: Builder, saved: int | None = None) -> kr.Kernel:
    """Requires: a chunk-level program without large values outside slot loops. `saved`: the index of the first result
    that only a saving pass has."""
    opened, carries, reverse = open_scans(program, b)
    count = len(opened.results) if saved is None else saved
    kernel = kr.Kernel(program.name, program.params, opened.results, count, reverse)
    _Fuser(b, opened, carries, kernel).run()
    return kernel


class _Fuser:
    def __init__(self, b: Builder, program: Program, carries: list[Carry], kernel: kr.Kernel):
        self.b, self.program, self.kernel = b, program, kernel
        self.carries = {c.name: c for c in carries}
        roots = program.roots() + [v for c in carries for v in (c.init, c.next)]
        values = order(roots)
        inner = [v for loop in values if loop.op == "slots" for v in order(loop["body"].roots())]
        self.users = uses(values + inner)
        self.uses = {i: len(u) for i, u in self.users.items()}
        for v in roots:
            self.uses[id(v)] = self.uses.get(id(v), 0) + 1
        for loop in values:
            if loop.op == "slots":
                for r in loop["body"].results:
                    self.uses[id(r.parts[0][0])] = self.uses.get(id(r.parts[0][0]), 0) + 1
        self.precise = precise(values)
        self.refs: dict[int, kr.Ref] = {}
        self.alias: dict[str, Value] = {}           # parameters of slot bodies
        self.params = {p.name: p for p in program.params}
        self.names: set[str] = {p.name for p in program.params} | {r.name for r in program.results} | {"k", "save"}
        self.out: list = kernel.before               # where statements go now
        self.in_loop = False
        self.dependent = _on_rows(values)
        self.done_loops: set[int] = set()

    # -- the whole kernel --------------------------------------------------------------------------------------
    def run(self) -> None:
        kernel, program = self.kernel, self.program
        collected = [(r, r.parts[0][0]) for r in program.results if r.parts[0][0].op == "collect"]
        for result, value in collected:
            self.refs[id(value)] = kr.Ref(result.name, "slots", ("n",) + result.axes)
            self.out.append(kr.Map(self.refs[id(value)], self.expr(value.args[1])))
        for carry in self.carries.values():
            leaf = self.b.make("carry", (), ("r",) + carry.axes, name=carry.name)
            self.refs[id(leaf)] = self.tile(carry.name, carry.axes)
            self.out.append(kr.Map(self.refs[id(leaf)], self.expr(carry.init)))
        kept = [v for v in program.order() if v.op == "keep"]
        self.kept = self.tile("kept", ("n",)) if kept else None
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
            elif result.kind == "slots" and result.parts[0][0].op != "collect":
                self.slots_result(result)

    def into(self, block: list, work) -> None:
        outer, self.out = self.out, block
        work()
        self.out = outer

    def slots_result(self, result: Result) -> None:
        value = result.parts[0][0]
        dst = kr.Ref(result.name, "slots", ("n",) + result.axes)
        self.out.append(kr.Map(dst, self.expr(value, top=True)))

    def store(self, result: Result) -> None:
        for i, (value, shift) in enumerate(result.parts):
            if value.op == "const":
                expr = self.expr(value)
            else:
                expr = self.root_expr(value, ("c",) + result.axes)
            self.out.append(kr.Store(result, expr, shift, result.delay > 0))
        del i

    # -- sums over rows ----------------------------------------------------------------------------------------
    def accumulators(self, values: list[Value]) -> None:
        """Tiles for sums over all rows, zero before the first."""
        self.pending: list[Value] = []
        for v in values:
            over_rows = v.op in ("sum", "dot") and "r" in v["over"]
            stacked = v.op == "out" and v["kind"] == "stack" and "r" not in v.axes
            if over_rows or stacked:
                self.refs[id(v)] = self.tile("total", v.axes)
                self.out.append(kr.Map(self.refs[id(v)], kr.Expr("num", attr=0.0)))
                self.pending.append(v)

    def accumulate_rows(self) -> None:
        for v in self.pending:
            if v.op == "out":
                self.loop(v.args[0])
            else:
                self.reduction(self.refs[id(v)], v, [], True)

    # -- carries -----------------------------------------------------------------------------------------------
    def end_of_row(self, collected) -> None:
        """Carries take their next values in place; what a completed segment leaves behind is stored."""
        last: list[tuple[kr.Ref, Value, Value]] = []
        for carry in self.carries.values():
            leaf = self.b.make("carry", (), ("r",) + carry.axes, name=carry.name)
            ref, value = self.refs[id(leaf)], carry.next
            if value is leaf:
                continue
            guard = self.row_condition(value)
            if guard is not None and id(value.args[2]) not in self.refs:
                last.append((ref, guard, value.args[1]))
                value = value.args[2]
            self.update(ref, leaf, value)
        for result, value in collected:
            block: list = []
            self.into(block, lambda: self.out.append(kr.Map(
                kr.Ref(result.name, "slots", result.axes, "segment"), self.expr(value.args[0]))))
            self.guarded(self.completes(), block)
        if self.kept:
            self.guarded(self.completes(), [kr.Loop("segment", (kr.Map(self.kept, kr.Expr("num", attr=0.0)),))])
        for ref, guard, value in last:
            block = []
            self.into(block, lambda: self.out.append(kr.Map(ref, self.expr(value))))
            self.guarded(guard, block)

    def update(self, ref: kr.Ref, leaf: Value, value: Value) -> None:
        """carry <- value, in place if nothing but elementwise arithmetic of `value` still reads the carry."""
        if id(value) in self.refs:
            if self.refs[id(value)] != ref:
                self.out.append(kr.Map(ref, self.expr(value)))
            return
        if self.reads_in_products(value, ref):
            spare = self.tile("next", ref.axes)
            self.assign(spare, value)
            self.out.append(kr.Map(ref, kr.Expr("ref", attr=spare)))
            return
        terms = self.terms(value, [], True)
        held = any(t is leaf and not f for f, t in terms) and not any(t is leaf and f for f, t in terms)
        self.assign(ref, value, ref if held else None)
        self.refs[id(value)] = ref

    def reads_in_products(self, value: Value, ref: kr.Ref) -> bool:
        """Whether a product that is still to be computed for `value` reads the tile."""
        found, stack = False, [(value, False)]
        while stack and not found:
            v, inside = stack.pop()
            if id(v) in self.refs:
                found = inside and self.refs[id(v)] == ref
                continue
            stack.extend((a, inside or v.op not in ("map", "rename")) for a in v.args)
        return found

    def completes(self) -> Value:
        b = self.b
        return b.map("and", b.map("gt", b.row("count"), b.const(0)), b.map(
            "eq", b.map("add", b.row("offset"), b.row("count")), b.const(self.program.segment)))

    def guarded(self, condition: Value, block: list) -> None:
        """The block under a condition on the row; joined to the block before it if that has the same condition."""
        test = self.expr(condition)
        if self.out and isinstance(self.out[-1], kr.When) and self.out[-1].condition == test:
            self.out[-1] = kr.When(test, self.out[-1].body + tuple(block))
        else:
            self.out.append(kr.When(test, tuple(block)))

    @staticmethod
    def row_condition(value: Value) -> Value | None:
        """The condition of where(condition on the row, x, y), if it is one."""
        if value.op == "map" and value["fn"] == "where" and value.args[0].axes == ("r",):
            return value.args[0]
        return None

    # -- tiles -------------------------------------------------------------------------------------------------
    def tile(self, stem: str, axes: Sequence[str], precise: bool = False) -> kr.Ref:
        name, i = stem, 1
        while name in self.names:
            i += 1
            name = f"{stem}{i}"
        self.names.add(name)
        axes = tuple(a for a in axes if a != "r" and not (a == "n" and self.in_loop))
        self.kernel.tiles.append(kr.Tile(name, axes, precise))
        return kr.Ref(name, "tile", axes, None, precise)

    def place(self, v: Value) -> kr.Ref:
        """The tile of a value, computed now if it has none."""
        if id(v) not in self.refs:
            self.compute(v)
        return self.refs[id(v)]

    def compute(self, v: Value) -> None:
        outer = self.out
        if not self.in_loop and id(v) not in self.dependent and v.op not in ("final", "out"):
            self.out = self.kernel.before if self.out is not self.kernel.after else self.out
        match v.op:
            case "load":
                ref = self.tile(v["name"] + ("_c" if not v["shift"] else f"_{v['shift']}"), v.axes)
                self.out.append(kr.Load(ref, self.params[v["name"]], v["shift"], v["fill"]))
                self.refs[id(v)] = ref
            case "final":
                leaf = self.b.make("carry", (), ("r",) + v.axes, name=v["name"])
                self.refs[id(v)] = self.refs[id(leaf)]
            case "cumsum":
                ref = self.tile("G", v.axes, id(v) in self.precise)
                self.out.append(kr.Cumsum(ref, self.expr(v.args[0]), v["axis"], v["reverse"], v["exclusive"]))
                self.refs[id(v)] = ref
            case "topk":
                score = self.place(v.args[0])
                ref = self.tile("chosen", v.axes)
                self.out.append(kr.Topk(ref, score, v["k"]))
                self.refs[id(v)] = ref
            case "out":
                self.loop(v.args[0])
            case "expose":
                ref = self.tile("at_end", v.axes)
                self.out.append(kr.Map(ref, kr.Expr("num", attr=0.0)))
                self.refs[id(v)] = ref
                self.exposed(ref, v, [])
            case "dot" | "sum" | "max":
                ref = self.tile({"dot": "p", "sum": "s", "max": "m"}[v.op], v.axes)
                self.reduction(ref, v, [], False)
                self.refs[id(v)] = ref
            case "map":
                base = self.in_place(v)
                ref = base or self.tile("x", v.axes, id(v) in self.precise)
                self.assign(ref, v, base)
                self.refs[id(v)] = ref
            case _:
                raise ValueError(f"{self.program.name}: no tile for {v.op} {dict(v.attrs)} over [{', '.join(v.axes)}]")
        self.out = outer

    def in_place(self, v: Value) -> kr.Ref | None:
        """The tile of a carry that only this sum reads: it is added to in place."""
        if v.op != "map" or v["fn"] != "add":
            return None
        for arg in v.args:
            if arg.op == "carry" and self.uses[id(arg)] == 1 and arg.axes == v.axes:
                return self.refs[id(arg)]
        return None

    # -- assigning sums ----------------------------------------------------------------------------------------
    def assign(self, dst: kr.Ref, v: Value, base: kr.Ref | None = None) -> None:
        """dst = v; with `base`, dst already holds that term of v."""
        terms = self.terms(v, [], True)
        if base is not None:
            terms = [(f, t) for f, t in terms if not (t.op == "carry" and self.refs.get(id(t)) == base)]
        plain = [(f, t) for f, t in terms if not self.separate(f, t, dst)]
        rest = [(f, t) for f, t in terms if self.separate(f, t, dst)]
        started = base is not None
        if len(terms) == 1 and rest and rest[0][1].op in ("dot", "sum", "max") and not started:
            self.reduction(dst, rest[0][1], rest[0][0], False)
            return
        if not rest and not plain:
            return
        if len(terms) == 1 and plain and not started and self.epilogue(dst, plain[0][1], plain[0][0], v):
            return
        if plain:
            # the expressions are made before the statement: they may compute tiles of their own
            value = None
            for factors, t in plain:
                one = self.product(factors, self.expr(t, top=True))
                value = one if value is None else kr.Expr("add", (value, one))
            self.out.append(kr.Map(dst, value, started))
            started = True
        rest.sort(key=lambda ft: ft[1].op != "dot")
        for factors, t in rest:
            if t.op in ("dot", "sum"):
                self.reduction(dst, t, factors, started)
            else:
                if not started:
                    self.out.append(kr.Map(dst, kr.Expr("num", attr=0.0)))
                self.guard_term(dst, t, factors)
            started = True

    def epilogue(self, dst: kr.Ref, t: Value, factors: list[Value], whole: Value) -> bool:
        """Emits dst = elementwise arithmetic on one product as that product with an epilogue, if t is that."""
        found: list[Value] = []
        stack = [t]
        while stack:
            v = stack.pop()
            if id(v) in self.refs:
                continue
            if v.op == "dot" and self.uses.get(id(v), 0) == 1 and self.is_product(v) and \
                    {a for a in v.axes if a != "r"} == set(dst.axes) and "n" not in dst.axes:
                found.append(v)
            elif v.op == "map" and (v is t or self.uses.get(id(v), 0) == 1):
                stack.extend(v.args)
        if len(found) != 1:
            return False
        dot = found[0]
        left, right = (self.operand(x) for x in dot.args)
        over = tuple(a for a in dot["over"] if a != "r")
        self.refs[id(dot)] = kr.Ref("acc", "acc", ())
        then = self.product(factors, self.expr(t, top=True))
        self.out.append(kr.Dot(dst, left, right, over, False, None, then, lower_triangular(whole)))
        return True

    def terms(self, v: Value, factors: list[Value], root: bool = False) -> list[tuple[list[Value], Value]]:
        """v as a sum of (factors, term). Factors are numbers of a token at most, so that products can carry them."""
        if id(v) in self.refs or (not root and self.uses.get(id(v), 0) > 1) or v.op != "map" or id(v) in self.precise:
            return [(factors, v)]
        match v["fn"]:
            case "add":
                return self.terms(v.args[0], factors) + self.terms(v.args[1], factors)
            case "sub":
                return self.terms(v.args[0], factors) + self.terms(v.args[1], factors + [self.b.const(-1.0)])
            case "neg":
                return self.terms(v.args[0], factors + [self.b.const(-1.0)])
            case "mul":
                for s, rest in (v.args, v.args[::-1]):
                    if len(s.axes) < len(rest.axes) and set(s.axes) <= {"r", "c", "d", "n"} and self.worth(rest):
                        return self.terms(rest, factors + [s])
        return [(factors, v)]

    def worth(self, v: Value) -> bool:
        """Whether a factor is worth carrying into v: it ends in products of its own."""
        if id(v) in self.refs or self.uses.get(id(v), 0) > 1:
            return False
        if v.op in ("dot", "out", "expose"):
            return True
        return v.op == "map" and v["fn"] in ("add", "sub", "neg", "mul") and any(self.worth(a) for a in v.args)

    def separate(self, factors: list[Value], t: Value, dst: kr.Ref) -> bool:
        """Whether a term accumulates by a statement of its own."""
        if id(t) in self.refs or self.uses.get(id(t), 0) > 1:
            return False
        axes = {a for a in t.axes if a != "r" and not (a == "n" and self.in_loop)}
        if t.op == "dot" or (t.op == "sum" and "r" not in t["over"]):
            return axes == set(dst.axes)
        if t.op == "out":
            return t["kind"] == "sum" and id(t.args[0]) not in self.done_loops and axes == set(dst.axes)
        if t.op == "expose":
            return True
        return self.row_condition(t) is not None and _is_zero(t.args[2])

    def guard_term(self, dst: kr.Ref, t: Value, factors: list[Value]) -> None:
        if t.op == "out" and id(t.args[0]) in self.done_loops:
            self.out.append(kr.Map(dst, self.product(factors, self.expr(t)), True))
        elif t.op == "out":
            self.loop(t.args[0], {t["index"]: (dst, factors)})
            self.refs[id(t)] = dst
        elif t.op == "expose":
            self.exposed(dst, t, factors)
        else:
            inside = self.product(factors, self.expr(t.args[1]))
            self.guarded(t.args[0], [kr.Map(dst, inside, True)])

    def exposed(self, dst: kr.Ref, t: Value, factors: list[Value]) -> None:
        block: list = []
        known = dict(self.refs)          # tiles made under the condition are none elsewhere
        self.into(block, lambda: self.out.append(kr.Map(dst, self.product(factors, self.expr(t.args[0], top=True)), True)))
        self.refs = known
        self.guarded(self.completes(), [kr.Loop("segment", tuple(block))])

    def reduction(self, dst: kr.Ref, v: Value, factors: list[Value], accumulate: bool) -> None:
        """dst (+)= factors * v for a sum, maximum or product over axes."""
        over = tuple(a for a in v["over"] if a != "r")
        scale = self.product(factors[1:], self.expr(factors[0])) if factors else None
        if v.op == "dot":
            left, right = v.args
            if over and self.is_product(v):
                (more, left), (others, right) = self.unscaled(left), self.unscaled(right)
                factors = factors + more + others
                sides: tuple[list[Value], list[Value], list[Value]] = ([], [], [])
                for f in factors:
                    axes = set(f.axes) - {"r"}
                    sides[0 if axes <= set(left.axes) else 1 if axes <= set(right.axes) else 2].append(f)
                one, two = self.operand(left), self.operand(right)
                if sides[2]:
                    spare = self.tile("p", dst.axes)
                    self.reduction(spare, v, [], False)
                    self.out.append(kr.Map(dst, self.product(factors, kr.Expr("ref", attr=spare)), accumulate))
                    return
                if sides[0] and sides[1]:
                    two = self.product(sides[1], two)
                held = sides[0] or sides[1]
                scale = self.product(held[1:], self.expr(held[0])) if held else None
                self.out.append(kr.Dot(dst, one, two, over, accumulate, scale, None, False,
                                       any(lower_triangular(x) for x in v.args) and bool({"c", "d"} & set(over))))
                return
            value = kr.Expr("mul", (self.expr(left), self.expr(right)))
        else:
            value = self.expr(v.args[0])
        if scale is not None:
            if not set(over) & _axes(scale) and set(over):
                spare = self.tile("s", dst.axes)
                self.out.append(kr.Reduce(v.op if v.op == "max" else "sum", spare, value, over))
                self.out.append(kr.Map(dst, kr.Expr("mul", (scale, kr.Expr("ref", attr=spare))), accumulate))
                return
            value = kr.Expr("mul", (scale, value))
        if not over:
            self.out.append(kr.Map(dst, value, accumulate))
        else:
            self.out.append(kr.Reduce("max" if v.op == "max" else "sum", dst, value, over, accumulate))

    def unscaled(self, v: Value) -> tuple[list[Value], Value]:
        """An operand as (numbers of a token, rest)."""
        if id(v) not in self.refs and v.op == "map" and v["fn"] == "mul" and self.uses.get(id(v), 0) == 1:
            for s, rest in (v.args, v.args[::-1]):
                if set(s.axes) <= {"r", "c", "n"} and len(s.axes) < len(rest.axes) and rest.axes == v.axes:
                    more, rest = self.unscaled(rest)
                    return [s, *more], rest
        return [], v

    def is_product(self, v: Value) -> bool:
        x, y = ({a for a in arg.axes if a != "r" and not (a == "n" and self.in_loop)} - set(v["over"]) for arg in v.args)
        return bool(x - y) and bool(y - x)

    def operand(self, v: Value) -> kr.Expr:
        """An operand of a product: a tile, unless it is a tile times a number of a token."""
        if v.op == "rename" or id(v) in self.refs or v.op in ("param", "carry", "load", "final"):
            return self.expr(v)
        return kr.Expr("ref", attr=self.place(v)) if self.uses.get(id(v), 0) > 1 or v.op != "map" else self.expr(v)

    def product(self, factors: list[Value], x: kr.Expr) -> kr.Expr:
        for f in factors:
            x = kr.Expr("mul", (self.expr(f), x))
        return x

    # -- loops over slots --------------------------------------------------------------------------------------
    def loop(self, loop: Value, targets: dict[int, tuple[kr.Ref, list[Value]]] | None = None) -> None:
        """Emits a slots loop once; `targets`: results that accumulate into a tile of the caller's, with factors."""
        if id(loop) in self.done_loops:
            return
        self.done_loops.add(id(loop))
        body: Program = loop["body"]
        outs = {v["index"]: v for v in self.outs_of(loop)}
        targets = targets or {}
        # everything that the body needs from outside is computed before the loop
        for arg in loop.args:
            if arg.op not in (*LEAVES, "param") and not (arg.op == "map" and arg.dtype == "b"):
                self.expr(arg)
        refs: dict[int, tuple[kr.Ref, list[Value], bool]] = {}
        for i, r in enumerate(body.results):
            out = outs.get(i)
            if out is None:
                continue
            if i in targets:
                refs[i] = (*targets[i], True)
            elif id(out) in self.refs:                      # a sum over rows, per slot
                refs[i] = (self.refs[id(out)], [], True)
            else:
                ref = self.tile("over_n" if r.kind == "sum" else "per_n", out.axes)
                self.refs[id(out)] = ref
                if r.kind == "sum":
                    self.out.append(kr.Map(ref, kr.Expr("num", attr=0.0)))
                refs[i] = (ref, [], r.kind == "sum")
        block: list = []
        outer, self.out, self.in_loop = self.out, block, True
        self.alias |= {p.name: a for p, a in zip(body.params, loop.args)}
        for i, (ref, factors, accumulate) in refs.items():
            value = body.results[i].parts[0][0]
            terms = self.terms(value, list(factors), True)
            dst = kr.Ref(ref.storage, ref.kind, ref.axes, ref.at, ref.precise)
            inner = tuple(a for a in ref.axes if a != "n")
            for f, t in terms:
                plain = kr.Ref(dst.storage, dst.kind, inner, None, dst.precise)
                if t.op == "dot" and self.separate(f, t, plain):
                    self.reduction(dst, t, f, accumulate)
                elif t.op == "dot" and id(t) not in self.refs and self.uses.get(id(t), 0) <= 1:
                    self.reduction(dst, t, f, accumulate)
                else:
                    self.out.append(kr.Map(dst, self.product(f, self.expr(t)), accumulate))
                accumulate = accumulate or len(terms) > 1
        self.out, self.in_loop = outer, False
        self.out.append(kr.Loop("past", tuple(block)))

    def outs_of(self, loop: Value) -> list[Value]:
        return [v for v in self.users.get(id(loop), []) if v.op == "out"]

    # -- expressions -------------------------------------------------------------------------------------------
    def root_expr(self, v: Value, axes: tuple[str, ...]) -> kr.Expr:
        """An expression for what is stored: its sums of products in a tile."""
        if id(v) not in self.refs and v.op in ("map", "dot", "out", "sum") and not self.inlined(v, None):
            self.place(v)
        return self.expr(v)

    def expr(self, v: Value, moves: dict[str, str] | None = None, top: bool = False) -> kr.Expr:
        """A value as an expression over the loops' axes; `moves`: its axes to the loops'."""
        moves = moves or {}
        if id(v) in self.refs:
            return self.ref(self.refs[id(v)], moves, v)
        match v.op:
            case "const":
                return kr.Expr("num", attr=v["value"])
            case "size":
                return kr.Expr("size", attr=v["axis"])
            case "iota":
                if v["axis"] == "n" and self.in_loop:
                    return kr.Expr("iota", attr="n", dtype="i")
                return kr.Expr("iota", attr=moves.get(v["axis"], v["axis"]), dtype="i")
            case "row":
                return kr.Expr("row", attr=v["field"], dtype="i")
            case "param":
                if v["name"] in self.alias:
                    return self.expr(self.alias[v["name"]], moves)
                p = self.params[v["name"]]
                lead = ("n",) if p.kind == "slots" else ()
                return self.ref(kr.Ref(p.name, p.kind, lead + p.axes), moves, v)
            case "rename":
                back = {new: old for old, new in v["moves"]}
                inner = {a: moves.get(m, m) for a, m in ((back.get(x, x), x) for x in v.axes)}
                return self.expr(v.args[0], inner)
            case "keep":
                mask = kr.Expr("gt", (kr.Expr("ref", attr=self.kept), kr.Expr("num", attr=0.0)), dtype="b")
                return kr.Expr("where", (mask, self.expr(v.args[0], moves, top=True), kr.Expr("num", attr=0.0)))
            case "map" if top or self.inlined(v, moves):
                args = tuple(self.expr(a, moves) for a in v.args)
                return kr.Expr(v["fn"], args, dtype=v.dtype)
        return self.ref(self.place(v), moves, v)

    def ref(self, ref: kr.Ref, moves: dict[str, str], v: Value) -> kr.Expr:
        axes = tuple(moves.get(a, a) for a in ref.axes)
        return kr.Expr("ref", attr=kr.Ref(ref.storage, ref.kind, axes, ref.at, ref.precise), dtype=v.dtype)

    def inlined(self, v: Value, moves) -> bool:
        """Whether a map is computed where it is used: masks and arithmetic of leaves always; a value with one use
        if that use has no more axes than it, or the arithmetic is one cheap step."""
        if v.dtype == "b" or v["fn"] in ("float", "stop"):
            return True
        if all(a.op in LEAVES or (a.op == "map" and a.dtype in "ib" and self.inlined(a, None)) for a in v.args):
            return TABLE[v["fn"]].cheap
        users = self.users.get(id(v), [])
        if self.uses.get(id(v), 0) != 1:
            return False
        if not users:
            return True
        user = users[0]
        wide = [a for a in (*user.axes, *(user.get("over") or ())) if a not in v.axes]
        if user.op in ("cumsum", "topk", "slots", "rename"):
            return user.op == "cumsum"
        if user.op == "dot" and self.is_product(user):
            return False
        return not wide or (TABLE[v["fn"]].cheap and v["fn"] != "where" and all(len(a.axes) < 2 for a in v.args))


def _is_zero(v: Value) -> bool:
    return v.op == "const" and v["value"] == 0.0


def _axes(e: kr.Expr) -> set[str]:
    found = set(e.attr.axes) if e.op == "ref" else {e.attr} if e.op == "iota" else set()
    return found.union(*(_axes(a) for a in e.args))


def _on_rows(values: list[Value]) -> set[int]:
    """Ids of the values that differ from row to row."""
    found: set[int] = set()
    for v in values:
        if v.op in ("load", "row", "carry", "collect", "expose", "keep") or "r" in v.axes or any(id(a) in found for a in v.args):
            found.add(id(v))
    return found


__all__ = ["Param", "fuse"]
