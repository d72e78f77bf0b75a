"""Fusing, first part: where values live. Tiles, the expressions over them, and which arithmetic stays inside an expression."""
from __future__ import annotations

from typing import Sequence

from ..ir import kernel as kr
from ..ir.builder import Builder
from ..ir.functions import TABLE
from ..ir.naming import fresh, stem
from ..ir.nodes import LEAD, NO_POS, Program, Value, order, sort_axes, steps_inside, uses
from .carries import Carry
from .precision import precise

LEAVES = ("const", "size", "iota", "row")


class Places:
    """What is known while a kernel is made: uses of values, their tiles, and where statements go."""

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
        self.slot = kernel.slot
        self.names: set[str] = {p.name for p in program.params} | {r.name for r in program.results}
        self.out: list = kernel.before               # where statements go now
        self.in_loop = False                          # over slots
        self.in_tokens = False
        self.rows: kr.Expr | None = None             # in a loop: the tokens that count, where not all do
        self.values = values
        self.transposed: dict[str, kr.Ref] = {}       # memories, transposed before the rows
        self.dependent = _on_rows(values)
        self.done_loops: set[int] = set()
        self.joining: list[Value] = []               # made by one statement whose arguments are placed now: they can't read them
        self.pos = NO_POS                            # where the value that is computed now comes from

    # -- tiles -------------------------------------------------------------------------------------------------
    def tile(self, stem: str, axes: Sequence[str], precise: bool = False) -> kr.Ref:
        name = fresh(stem, self.names)
        axes = steps_inside(a for a in axes if a != "r" and not (a in ("n", "m") and self.in_loop))
        self.kernel.tiles.append(kr.Tile(name, axes, precise, self.pos))
        return kr.Ref(name, "tile", axes, None, precise)

    def into(self, block: list, work) -> None:
        outer, self.out = self.out, block
        work()
        self.out = outer

    def place(self, v: Value) -> kr.Ref:
        """The tile of a value, computed now if it has none."""
        if id(v) not in self.refs:
            self.compute(v)
        return self.refs[id(v)]

    def compute(self, v: Value) -> None:
        outer, pos, self.pos = self.out, self.pos, v.pos if v.args else NO_POS
        if not (self.in_loop or self.in_tokens) and id(v) not in self.dependent and v.op not in ("final", "out"):
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
                ref = self.tile(stem(v), v.axes, id(v) in self.precise)
                self.out.append(kr.Cumsum(ref, self.expr(v.args[0]), v["axis"], v["reverse"], v["exclusive"]))
                self.refs[id(v)] = ref
            case "solve":
                matrix = self.place(v.args[0])
                ref = self.tile(stem(v), v.axes)
                self.assign(ref, v.args[1])
                self.out.append(kr.Solve(ref, matrix, v["transposed"]))
                self.refs[id(v)] = ref
            case "cumprod":
                ref = self.tile(stem(v), v.axes)
                self.out.append(kr.Cumprod(ref, self.expr(v.args[0]), v["reverse"]))
                self.refs[id(v)] = ref
            case "decayed":
                ref = self.tile(stem(v), v.axes)
                self.out.append(kr.Decayed(ref, self.expr(v.args[0]), self.expr(v.args[1]), v["reverse"]))
                self.refs[id(v)] = ref
            case "pair":
                given = [self.by_level(x, (t, v["axis"])) for x, t in zip(v.args, "cdc")]
                ref = self.tile(stem(v), v.axes)
                self.out.append(kr.Pair(ref, *given))
                self.refs[id(v)] = ref
            case "papply" | "pfactor":
                self.channels(v)
            case "take":
                memory = self.expr(v.args[0])
                ref = self.tile(stem(v), v.axes)
                self.out += [kr.Map(ref, kr.Expr("num", attr=0.0)), kr.Loop("digits", (kr.Map(ref, memory),))]
                self.refs[id(v)] = ref
            case "topk":
                score = self.place(v.args[0])
                ref = self.tile(stem(v), v.axes)
                self.out.append(kr.Topk(ref, score, v["k"], v["digits"]))
                self.refs[id(v)] = ref
            case "out" if v.args[0].op == "scan":
                self.tokens(v.args[0])
            case "out":
                self.loop(v.args[0])
            case "dense_solve":
                matrix, x = (self.plain(a) for a in v.args)
                ref = self.tile(stem(v), v.axes)
                self.out.append(kr.DenseSolve(ref, matrix, x, v["row"], v["column"], v["definite"]))
                self.refs[id(v)] = ref
            case "expose":
                ref = self.tile(stem(v), v.axes)
                self.out.append(kr.Map(ref, kr.Expr("num", attr=0.0)))
                self.refs[id(v)] = ref
                self.exposed(ref, v, [])
            case "dot" | "sum" | "max":
                ref = self.tile(stem(v), v.axes)
                self.reduction(ref, v, [], False)
                self.refs[id(v)] = ref
            case "map":
                base = self.in_place(v)
                ref = base or self.tile(stem(v), v.axes, id(v) in self.precise)
                self.assign(ref, v, base)
                self.refs[id(v)] = ref
            case _:
                raise ValueError(f"{self.program.name}: no tile for {v.op} {dict(v.attrs)} over [{', '.join(v.axes)}]")
        self.out, self.pos = outer, pos

    def by_level(self, v: Value, axes: tuple[str, ...]) -> kr.Ref:
        """A tile that holds the value over these axes, and over levels where it has some."""
        return self.whole_tile(v, sort_axes((*axes, *(a for a in v.axes if a == "l"))))

    def whole_tile(self, v: Value, axes: tuple[str, ...]) -> kr.Ref:
        """A tile that holds the value over exactly these axes."""
        found = self.expr(v)
        if found.op != "ref" or found.attr.kind != "tile" or found.attr.axes != axes:
            made = self.tile(stem(v), tuple("c" if a == "d" and axes[0] == "d" else a for a in axes))
            self.out.append(kr.Map(kr.Ref(made.storage, "tile", axes), found))
            return kr.Ref(made.storage, "tile", axes)
        return found.attr

    def channels(self, v: Value) -> None:
        """All that is made of one matrix, one pair of keys and its factors: by one statement."""
        matrix, f, axis = v.args[0], v.args[-1], v["axis"]
        made: dict[str, Value] = {}
        q = k = None
        same = [u for u in self.values if u.op in ("papply", "pfactor") and u.args[0] is matrix and u.args[-1] is f
                and u["axis"] == axis and id(u) not in self.refs and u is not v]
        for u in (v, *sorted(same, key=lambda u: u.op != "pfactor")):
            what, uq, uk = ("df", u.args[1], u.args[2]) if u.op == "pfactor" else \
                ("dk", u.args[1], None) if u["transposed"] else ("dq", None, u.args[1])
            fits = what not in made and (None in (q, uq) or q is uq) and (None in (k, uk) or k is uk)
            if fits and not {*self.joining, *made.values()} & {*order(u.args)}:
                made[what], q, k = u, uq if q is None else q, uk if k is None else k
        self.joining += made.values()
        given = [self.by_level(matrix, ("c", "d")), *(None if x is None else self.by_level(x, (t, axis)) for x, t in ((q, "c"), (k, "d"))),
                 self.by_level(f, ("c", axis))]
        del self.joining[-len(made):]
        refs = {what: self.tile(stem(u), u.axes) for what, u in made.items()}
        self.out.append(kr.Channels(*given, *(refs.get(what) for what in ("dq", "dk", "df"))))
        self.refs.update({id(u): refs[what] for what, u in made.items()})

    def in_place(self, v: Value) -> kr.Ref | None:
        """The tile of a carry that only this sum reads: it is added to in place."""
        if v.op != "map" or v["fn"] != "add":
            return None
        for arg in v.args:
            if arg.op in ("carry", "param") and id(arg) in self.refs and self.uses[id(arg)] == 1 and arg.axes == v.axes:
                return self.refs[id(arg)]
        return None

    def plain(self, v: Value) -> kr.Expr:
        """A value as elements of one tile or parameter."""
        known = v.op in ("param", "rename", "carry", "load", "final") or id(v) in self.refs or (v.op == "take" and self.in_loop)
        expr = self.expr(v) if known else None
        if expr is not None and expr.op == "ref":
            return expr
        inner, moves = (v.args[0], dict(v["moves"])) if v.op == "rename" else (v, {})
        return self.ref(self.place(inner), moves, inner)

    # -- expressions -------------------------------------------------------------------------------------------
    def root_expr(self, v: Value, axes: tuple[str, ...]) -> kr.Expr:
        """An expression for what is stored: its sums of products in a tile."""
        if id(v) not in self.refs and v.op in ("map", "dot", "out", "sum", "dense_solve") and not (v.op == "map" and self.inlined(v, None)):
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
                lead = LEAD[p.kind] if p.kind in ("slots", "units", "levels") else ()
                return self.ref(kr.Ref(p.name, p.kind, lead + p.axes), moves, v)
            case "take" if self.in_loop:
                return self.expr(v.args[0], moves)
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
        if self.in_tokens and len(v.axes) > 1 and TABLE[v["fn"]].cheap and all(len(a.axes) < len(v.axes) for a in v.args):
            return True                       # an outer product of vectors: cheaper to compute again than to keep
        users = self.users.get(id(v), [])
        if self.uses.get(id(v), 0) != 1:
            return False
        if not users:
            return True
        user = users[0]
        wide = [a for a in (*user.axes, *(user.get("over") or ())) if a not in v.axes]
        if user.op in ("cumsum", "topk", "slots", "rename", "scan", "dense_solve"):
            return user.op == "cumsum"
        if user.op == "dot" and self.is_product(user):
            return False
        return not wide or (TABLE[v["fn"]].cheap and v["fn"] != "where" and all(len(a.axes) < 2 for a in v.args))



def _on_rows(values: list[Value]) -> set[int]:
    """Ids of the values that differ from row to row."""
    found: set[int] = set()
    for v in values:
        if v.op in ("load", "row", "carry", "collect", "expose", "keep") or "r" in v.axes or any(id(a) in found for a in v.args):
            found.add(id(v))
    return found
