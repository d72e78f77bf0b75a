"""Fusing, second part: sums and products. Terms accumulate into one tile; numbers of a token ride along as scales."""
from __future__ import annotations

from dataclasses import replace

from ..ir import kernel as kr
from ..ir.naming import stem
from ..ir.nodes import Program, Value
from .fuse_places import LEAVES, Places
from .sparse import chosen_by
from .triangles import lower_triangular, needed_below


class Sums(Places):
    """Statements that fill a tile with a value."""

    def assign(self, dst: kr.Ref, v: Value, base: kr.Ref | None = None) -> None:
        """dst = v; with `base`, dst already holds that term of v."""
        terms = self.terms(v, [], True)
        if base is not None:
            terms = [(f, t) for f, t in terms if not (t.op in ("carry", "param") and self.refs.get(id(t)) == base)]
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
                changing = t is not v and self.uses.get(id(t), 0) > 1 and self.in_place(t) is not None     # what it reads it may overwrite
                one = self.product(factors, self.expr(t, top=not changing))
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
        if self.rows is not None:
            return False
        found: list[Value] = []
        stack = [t]
        while stack:
            v = stack.pop()
            if id(v) in self.refs:
                continue
            if v.op == "dot" and self.uses.get(id(v), 0) == 1 and self.is_product(v) and \
                    {a for a in v.axes if a != "r"} == set(dst.axes) and "n" not in dst.axes:
                found.append(v)
            elif v.op == "map" and (v is whole or self.uses.get(id(v), 0) == 1):      # what others read too has a tile, not the sum at hand
                stack.extend(v.args)
        if len(found) != 1:
            return False
        dot = found[0]
        left, right = (self.operand(x) for x in dot.args)
        over = tuple(a for a in dot["over"] if a != "r")
        self.refs[id(dot)] = kr.sum_at_hand()
        then = self.product(factors, self.expr(t, top=True))
        self.out.append(kr.Dot(dst, left, right, over, False, None, then, set(dst.axes) == {"c", "d"} and lower_triangular(whole)))
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
                one, two = (self.turned(self.operand(x), over) for x in (left, right))
                if sides[2]:
                    spare = self.tile(stem(v), dst.axes)
                    self.reduction(spare, v, [], False)
                    self.out.append(kr.Map(dst, self.product(factors, kr.Expr("ref", attr=spare)), accumulate))
                    return
                if sides[0] and sides[1]:
                    two = self.product(sides[1], two)
                held = sides[0] or sides[1]
                scale = self.product(held[1:], self.expr(held[0])) if held else None
                rows = self.rows if "c" in (*dst.axes, *over) and "d" not in (*dst.axes, *over) else None
                triangle = rows is None and bool({"c", "d"} & set(over)) and any(lower_triangular(x) for x in v.args)
                half = not accumulate and scale is None and set(dst.axes) == {"c", "d"} and needed_below(v, self.users)
                self.out.append(kr.Dot(dst, one, two, over, self.started(dst, accumulate), scale, None, half, triangle, rows))
                return
            value = kr.Expr("mul", (self.expr(left), self.expr(right)))
        else:
            value = self.expr(v.args[0])
        if scale is not None:
            if not set(over) & kr.axes_in(scale) and set(over):
                spare = self.tile(stem(v), dst.axes)
                self.out.append(kr.Reduce(v.op if v.op == "max" else "sum", spare, value, over, v.op != "max" and self.started(spare, False)))
                self.out.append(kr.Map(dst, kr.Expr("mul", (scale, kr.Expr("ref", attr=spare))), accumulate))
                return
            value = kr.Expr("mul", (scale, value))
        if not over:
            self.out.append(kr.Map(dst, value, accumulate))
        else:
            self.out.append(kr.Reduce("max" if v.op == "max" else "sum", dst, value, over, accumulate if v.op == "max" else self.started(dst, accumulate)))

    def started(self, dst: kr.Ref, accumulate: bool) -> bool:
        """Whether a sum adds to dst. One for every slot is made of the slots that a row may read alone, but is read whole: it adds to zeros."""
        if accumulate or self.kernel.slot != "n" or "n" not in dst.axes or "c" in dst.axes:
            return accumulate
        self.out.append(kr.Map(dst, kr.Expr("num", attr=0.0)))
        return True

    def turned(self, operand: kr.Expr, over: tuple[str, ...]) -> kr.Expr:
        """An operand of a product inside a loop over slots: a given memory that is summed along its last axis is
        transposed once, before the rows, instead of for every row."""
        ref = operand.attr
        if not self.in_loop or operand.op != "ref" or ref.kind not in ("slots", "units") or ref.storage not in self.params:
            return operand
        if len(ref.axes) != 3 or over != ref.axes[2:]:
            return operand
        axes = (ref.axes[0], ref.axes[2], ref.axes[1])
        if ref.storage not in self.transposed:
            self.in_loop = False
            self.transposed[ref.storage] = self.tile(ref.storage + "_T", axes)
            self.in_loop = True
            self.kernel.before.append(kr.Map(self.transposed[ref.storage], operand))
        return kr.Expr("ref", attr=replace(self.transposed[ref.storage], axes=axes))           # as this product calls them

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
        if v.op in ("rename", "param", "carry", "load", "final") or id(v) in self.refs or (v.op == "take" and self.in_loop):
            return self.expr(v)
        return kr.Expr("ref", attr=self.place(v)) if self.uses.get(id(v), 0) > 1 or v.op != "map" else self.expr(v)

    def product(self, factors: list[Value], x: kr.Expr) -> kr.Expr:
        for f in factors:
            x = kr.Expr("mul", (self.expr(f), x))
        return x

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

    def row_condition(self, value: Value) -> Value | None:
        """The condition of where(condition on the row, x, y), if it is one: in a loop over tokens it may be one on the token."""
        if not self.in_tokens and value.op == "map" and value["fn"] == "where" and value.args[0].axes == ("r",):
            return value.args[0]
        return None

    # -- loops over slots --------------------------------------------------------------------------------------
    def loop(self, loop: Value, targets: dict[int, tuple[kr.Ref, list[Value]]] | None = None) -> None:
        """Emits a slots loop once; `targets`: results that accumulate into a tile of the caller's, with factors."""
        if id(loop) in self.done_loops:
            return
        self.done_loops.add(id(loop))
        body: Program = loop["body"]
        outs = {v["index"]: v for v in self.outs_of(loop)}
        targets = targets or {}
        # everything that the body needs from outside is computed before the loop, what its results are scaled by too
        for arg in (*loop.args, *(f for _, factors in targets.values() for f in factors)):
            if arg.op not in (*LEAVES, "param"):
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
                ref = self.tile(out.name or ("over_n" if r.kind == "sum" else "per_n"), out.axes)
                self.refs[id(out)] = ref
                if r.kind == "sum" or self.slot == "m":          # not every digit is 1
                    self.out.append(kr.Map(ref, kr.Expr("num", attr=0.0)))
                refs[i] = (ref, [], r.kind == "sum")
        choice = chosen_by(loop, self.values, self.users)
        if choice is not None:
            self.rows = self.expr(choice)
        block: list = []
        outer, self.out, self.in_loop = self.out, block, True
        self.alias |= {p.name: a for p, a in zip(body.params, loop.args)}
        for i, (ref, factors, accumulate) in refs.items():
            value = body.results[i].parts[0][0]
            terms = self.terms(value, list(factors), True)
            dst = kr.Ref(ref.storage, ref.kind, ref.axes, ref.at, ref.precise)
            inner = tuple(a for a in ref.axes if a not in ("n", "m"))
            for f, t in terms:
                plain = kr.Ref(dst.storage, dst.kind, inner, None, dst.precise)
                if t.op == "dot" and self.separate(f, t, plain):
                    self.reduction(dst, t, f, accumulate)
                elif t.op == "dot" and id(t) not in self.refs and self.uses.get(id(t), 0) <= 1:
                    self.reduction(dst, t, f, accumulate)
                else:
                    self.out.append(kr.Map(dst, self.product(f, self.expr(t)), accumulate))
                accumulate = accumulate or len(terms) > 1
        self.out, self.in_loop, self.rows = outer, False, None
        self.out.append(kr.Loop("past" if self.slot == "n" else "digits", tuple(block)))

    def outs_of(self, loop: Value) -> list[Value]:
        return [v for v in self.users.get(id(loop), []) if v.op == "out"]



def _is_zero(v: Value) -> bool:
    return v.op == "const" and v["value"] == 0.0
