"""Fusing, third part: loops over the tokens of a row. A carry is a tile that each token updates, in place where it can be."""
from __future__ import annotations

from ..ir import kernel as kr
from ..ir.nodes import Program, Value, order, uses
from .fuse_places import LEAVES
from .fuse_sums import Sums


class Tokens(Sums):
    """Statements of a scan over tokens."""

    def tokens(self, loop: Value) -> None:
        """Emits the loop once. Its results per token are tiles over c, zero past the row's tokens."""
        if id(loop) in self.done_loops:
            return
        self.done_loops.add(id(loop))
        body: Program = loop["body"]
        n = loop["carries"]
        for arg in loop.args[n:len(body.params)]:
            while arg.op == "rename":
                (arg,) = arg.args
            if arg.op == "map" and arg.dtype == "b":
                self.expr(arg)                             # no tile holds a mask, but what it is made of is computed before the loop
            elif arg.op not in (*LEAVES, "param"):
                self.place(arg)
        held = []
        for param, arg in zip(body.params[:n], loop.args):
            held.append(self.tile(param.name, param.axes))
            self.out.append(kr.Map(held[-1], self.expr(arg)))
        refs = {}
        for out in self.outs_of(loop):
            if out["kind"] != "final":
                refs[id(out)] = self.tile("at" if out["kind"] == "start" else "per_token", out.axes)
                if out["kind"] == "y":
                    self.out.append(kr.Map(refs[id(out)], kr.Expr("num", attr=0.0)))
        block: list = []
        outs = self.outs_of(loop)
        outer = self.refs, self.users, self.uses, self.values
        self.refs = self.refs | {id(self.b.param(p)): ref for p, ref in zip(body.params, held)}
        self.alias |= {p.name: a for p, a in zip(body.params[n:], loop.args[n:])}
        self.values = order(body.roots())
        self.users = uses(self.values)
        self.uses = {i: len(u) for i, u in self.users.items()}
        for root in body.roots():
            self.uses[id(root)] = self.uses.get(id(root), 0) + 1
        self.in_tokens = True
        self.into(block, lambda: self.token(body, n, outs, refs))
        self.in_tokens = False
        self.refs, self.users, self.uses, self.values = outer
        self.refs |= refs
        for out in outs:
            if out["kind"] == "final":
                self.refs[id(out)] = held[out["index"]]
        if block:                                              # a state may be left as it is, and read by nothing
            self.out.append(kr.Loop("tokens_back" if loop["reverse"] else "tokens", tuple(block)))

    def token(self, body: Program, n: int, outs: list[Value], refs: dict[int, kr.Ref]) -> None:
        """One token: what it reads of the carries as they were, the carries, what it reads of them as they are."""
        leaves = [self.b.param(p) for p in body.params[:n]]
        held = [self.refs[id(leaf)] for leaf in leaves]
        nexts = [r.parts[0][0] for r in body.results[:n]]
        changed = [i for i in range(n) if nexts[i] is not leaves[i]]
        for out in outs:
            if out["kind"] == "start":
                self.out.append(kr.Map(refs[id(out)], kr.Expr("ref", attr=held[out["index"]])))
        answers = [(refs[id(out)], body.results[n + out["index"]].parts[0][0]) for out in outs if out["kind"] == "y"]
        old, known = [held[i] for i in changed], {id(x) for x in nexts}
        reads = [self.reads(value, old, known) for _, value in answers]
        for (ref, value), early in zip(answers, reads):
            if early:
                self.answer(ref, value)
        spares = []
        for k, i in enumerate(changed):
            waiting = any(self.reads(nexts[j], [held[i]]) for j in changed[k + 1:])
            if id(nexts[i]) in self.refs or waiting or self.mixes(nexts[i], held[i]):
                if id(nexts[i]) not in self.refs:
                    spare = self.tile(nexts[i].name or "next", held[i].axes)
                    self.assign(spare, nexts[i])
                    self.refs[id(nexts[i])] = spare
                spares.append((held[i], nexts[i]))
            else:
                self.update(held[i], leaves[i], nexts[i])
        for (ref, value), early in zip(answers, reads):
            if not early:
                self.answer(ref, value)
        for ref, value in spares:
            if self.refs[id(value)] != ref:
                self.out.append(kr.Map(ref, self.expr(value)))

    def answer(self, ref: kr.Ref, value: Value) -> None:
        """A token's result into the tile of all tokens."""
        expr = self.root_expr(value, ref.axes)
        self.out.append(kr.Map(ref, expr))

    def reads(self, value: Value, tiles: list[kr.Ref], known: set[int] = frozenset()) -> bool:
        """Whether computing the value needs one of the tiles, not counting what is known by then."""
        seen: set[int] = set()
        stack = [value]
        while stack:
            v = stack.pop()
            if id(v) in seen or id(v) in known:
                continue
            seen.add(id(v))
            if id(v) not in self.refs:
                stack.extend(v.args)
            elif self.refs[id(v)] in tiles:
                return True
        return False

    def mixes(self, value: Value, ref: kr.Ref) -> bool:
        """Whether an element of the value needs other elements of the tile: it can't be computed in place."""
        seen: set[tuple[int, bool]] = set()
        stack = [(value, False)]
        while stack:
            v, inside = stack.pop()
            if (id(v), inside) in seen:
                continue
            seen.add((id(v), inside))
            if id(v) in self.refs:
                if inside and self.refs[id(v)] == ref:
                    return True
                continue
            stack.extend((a, inside or v.op != "map" or set(a.axes) < set(ref.axes)) for a in v.args)
        return False

    # -- carries -----------------------------------------------------------------------------------------------
    def update(self, ref: kr.Ref, leaf: Value, value: Value) -> None:
        """carry <- value, in place if nothing but elementwise arithmetic of `value` still reads the carry."""
        if id(value) in self.refs:
            if self.refs[id(value)] != ref:
                self.out.append(kr.Map(ref, self.expr(value)))
            return
        if self.reads_in_products(value, ref):
            spare = self.tile(value.name or "next", ref.axes)
            self.assign(spare, value)
            self.out.append(kr.Map(ref, kr.Expr("ref", attr=spare)))
            self.refs[id(value)] = ref
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
