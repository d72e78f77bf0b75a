"""Prints the values of a slice, fourth part: loops over the tokens of a row."""
from __future__ import annotations

from ..ir.nodes import Program, Result, Value, order, sort_axes
from ..passes.padding import padded
from ..passes.slice import Slice
from ..passes.token_loops import over_tokens, per_token, token_loops
from .triton_expr import aligned
from .triton_slots import Slots
from .triton_tiles import Name


class Tokens(Slots):
    """One token after the other: its inputs are loaded or computed for it alone, and what the loop gives of it is stored at once."""

    def __init__(self, s: Slice):
        super().__init__(s.program, s.kind, s.blocked, s.slot, s.levels, s.fold)
        self.slice = s
        self.loops = token_loops(s.program)
        self.kept = {id(v): p for v, p in s.kept}
        names = {p.name for p in (*s.program.params, *s.program.results)}
        self.each = {p.name: p for p in self.kept.values() if p.name not in names}           # memory of this kernel alone
        self.pointers |= {name: self.fresh(f"{name}_ptr") for name in self.each}
        self.tiles: dict[int, Name] = {}                   # what is known of all tokens, in a loop over them
        # memories from which loops over tokens start, read where these begin
        loops = [v for v in self.every() if v.op == "scan"]
        self.starts = {a["name"] for v in loops if over_tokens(v) for a in v.args[:v["carries"]] if a.op == "param"}
        self.starts |= {a["name"] for v in loops for p, a in zip(v["body"].params, v.args) if a.op == "param" and p.name in self.starts}

    def get(self, v: Value) -> Name:
        if self.at and "c" in v.axes and id(v) not in self.names:
            self.single(v)
        return super().get(v)

    def elsewhere(self, v: Value) -> bool:
        return super().elsewhere(v) or (self.at is None and id(v) in self.loops.alone)

    def wanted(self, v: Value) -> bool:
        return super().wanted(v) and not (v.op == "param" and v["name"] in self.starts)

    def single(self, v: Value) -> None:
        """v of one token."""
        whole = self.tiles.get(id(v))
        if whole is not None and "c" in whole.axes:
            self.pick(v, whole)
        elif v.op == "param" and v["name"] in self.given:
            self.names[id(v)] = self.get(self.given[v["name"]])
        elif per_token(v):
            self.reread(v)
        elif v.op == "out":
            self.names[id(v)] = self.get(v.args[0]["body"].results[v.args[0]["carries"] + v["index"]].parts[0][0])
        else:
            for a in v.args:
                self.get(a)
            self.statement(v)

    def pick(self, v: Value, whole: Name) -> None:
        """One token's part of a tile, as a sum of which all else is 0."""
        x = f"{whole.text}.to(tl.int32)" if v.dtype == "b" else whole.text
        here = aligned("(c == t)", ("c",), whole.axes)
        text = f"tl.sum(tl.where({here}, {x}, {'0.0' if v.dtype == 'f' else '0'}), {whole.axes.index('c')})"
        self.define(v, text + (" != 0" if v.dtype == "b" else ""), tuple(a for a in whole.axes if a != "c"), f"{whole.text}_t")

    def reread(self, v: Value) -> None:
        """What an earlier loop over tokens gave, of this token or of all of them."""
        axes = self.tile_axes(sort_axes(v.axes))
        masks = [self.mask(a, axes) for a in padded(axes)]
        if "c" in axes:
            masks.append(aligned("(c < count)", ("c",), axes))
        shown = f", mask={' & '.join(masks)}, other=0.0" if masks else ""
        kept = self.kept[id(v)]
        self.define(v, f"tl.load({self.plain_address(kept, axes)}{shown})", axes, kept.name)

    def out(self, v: Value) -> None:
        if not per_token(v):
            super().out(v)
        elif id(v) in self.kept:
            self.get(v.args[0])
            self.reread(v)
        else:
            self.names[id(v)] = Name("")                    # stored by the loop itself

    def scan(self, v: Value) -> None:
        body: Program = v["body"]
        n, m = v["carries"], v["xs"]
        consts = {p.name: self.get(a) for p, a in zip(body.params[n + m:], v.args[n + m:])}
        count = self.get(v.args[-1]).text
        carries, stores = [], self.stores(v)
        again = {p.name for p in self.kept.values()} & {r.name for _, r in stores}
        if again:
            self.line("tl.debug_barrier()", "all have read what the last row left")
        for p, arg in zip(body.params[:n], v.args):
            axes = self.tile_axes(p.axes)
            carries.append(Name(self.fresh(f"{p.name.replace('at.', '')}_t"), axes))
            self.line(f"{carries[-1].text} = {self.clean_full(arg, axes)}", self.shape(axes))
        self.loop_over("j", "0", count, body.name)
        self.line(f"t = {count} - 1 - j" if v["reverse"] else "t = tl.full((), j, tl.int32)")
        outer, bound, self.at, self.tiles = self.names, dict(self.bound), "t", self.names
        self.names = {i: name for i, name in outer.items() if "c" not in name.axes}
        self.bound |= consts | {p.name: c for p, c in zip(body.params, carries)}
        self.bound |= {p.name: self.get(a) for p, a in zip(body.params[n:n + m], v.args[n:])}
        self.statements(order(body.roots()))
        for out, r in stores:
            at = out["index"]
            self.store(r, carries[at] if out["kind"] == "start" else self.get(body.results[n + at].parts[0][0]))
        following = [self.clean_full(r.parts[0][0], c.axes) for c, r in zip(carries, body.results)]
        pairs = [(c.text, x) for c, x in zip(carries, following) if c.text != x]
        if pairs:
            self.line(f"{', '.join(c for c, _ in pairs)} = {', '.join(x for _, x in pairs)}")
        self.names, self.bound, self.at, self.tiles = outer, bound, None, {}
        self.close()
        for _, r in stores:
            if r.kind == "starts" and r.name not in self.each:
                self.store(r, Name("0.0", scalar=True), "(c >= count)")
        if again:
            self.line("tl.debug_barrier()", "all is in memory")
        self.carries[id(v)] = carries
        self.names[id(v)] = Name("")

    def stores(self, loop: Value) -> list[tuple[Value, Result]]:
        """What a loop gives of every token that lies in memory, and where."""
        found = [(v, r) for v, r in self.loops.stored if v.args[0] is loop]
        own = [(v, p) for v, p in self.slice.kept if v.args[0] is loop and p.name in self.each]
        return found + [(v, Result(p.name, p.kind, p.axes, ((v, 0),))) for v, p in own]
