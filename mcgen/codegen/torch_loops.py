"""Prints the loops of a chunk-level program for torch: over rows, over the tokens of a row, over cached memories."""
from __future__ import annotations

from ..ir.nodes import Param, Program, Value, order, scan_axis, sort_axes
from ..passes.precision import precise
from .torch_expr import Name, aligned, shape_comment


class Loops:
    """Part of the printer, which has the names and the lines."""

    names: dict[int, Name]
    precise: set[int]
    scope: list[Value]
    indent: str

    def line(self, text: str, comment: str = "") -> None:
        raise NotImplementedError

    def fresh(self, stem: str) -> str:
        raise NotImplementedError

    def size(self, axis: str) -> str:
        raise NotImplementedError

    def statement(self, value: Value) -> None:
        raise NotImplementedError

    def ref(self, value: Value, target: tuple[str, ...] | None = None, precise: bool = False) -> str:
        raise NotImplementedError

    def full(self, value: Value, axes: tuple[str, ...]) -> str:
        raise NotImplementedError

    def body(self, body: Program, bound: dict[str, Name]) -> None:
        """The statements of a loop's body, with its parameters bound."""
        outer, self.scope = self.scope, order(body.roots())
        self.precise = self.precise | precise(self.scope)
        for v in self.scope:
            if v.op == "param" and v["name"] in bound:
                self.names[id(v)] = bound[v["name"]]
            elif v.op in ("const", "size", "row") or id(v) not in self.names:
                self.statement(v)
        self.scope = outer

    def given(self, arg: Value, p: Param, axis: str = "") -> Name:
        """What a loop's body is given for a parameter: with all of the parameter's axes, and the loop's if the value has it."""
        name = self.names[id(arg)]
        if name.scalar:
            return name
        if set(p.axes) <= set(name.axes):
            return Name(self.ref(arg), name.axes, name.batched)
        axes = sort_axes((*((axis,) if axis in name.axes else ()), *p.axes))
        local = self.fresh(f"{p.name}_in")
        self.line(f"{local} = {self.full(arg, axes)}", f"[{', '.join(('z', *axes))}]")
        return Name(local, axes)

    def element(self, name: Name, axis: str, at: str) -> Name:
        """One element of a value along the loop's axis, or the value itself if it lacks that."""
        if axis not in name.axes or name.scalar:
            return name
        place = name.axes.index(axis) + name.batched
        return Name(f"{name.text}[{', '.join([':'] * place + [at])}]", tuple(a for a in name.axes if a != axis), name.batched)

    def scan(self, v: Value) -> None:
        """Over tokens, those past the row's count change nothing and give zeros."""
        body: Program = v["body"]
        n, m, axis = v["carries"], v["xs"], scan_axis(v)
        outer, steps = dict(self.names), self.size(axis)
        carry = [self.fresh(p.name) for p in body.params[:n]]
        starts = [self.fresh(f"{c}_starts") for c in carry]
        ys = [self.fresh(f"{r.name}_rows") for r in body.results[n:]]
        for name, p, arg in zip(carry, body.params, v.args):
            self.line(f"{name} = {self.full(arg, p.axes)}")
        given = [self.given(arg, p, axis if i < m else "") for i, (p, arg) in enumerate(zip(body.params[n:], v.args[n:]))]
        for name in starts + ys:
            self.line(f"{name} = [None] * {steps}")
        count = self.names[id(v.args[-1])]
        self.line(f"for {axis} in {f'reversed(range({steps}))' if v['reverse'] else f'range({steps})'}:  # {body.name}")
        self.indent += "    "
        bound = {p.name: Name(c, p.axes) for p, c in zip(body.params, carry)}
        bound |= {p.name: self.element(name, axis, axis) if i < m else name for i, (p, name) in enumerate(zip(body.params[n:], given))}
        for name, start in zip(carry, starts):
            self.line(f"{start}[{axis}] = {name}")
        self.body(body, bound)
        real = None
        if axis == "c":
            real = self.fresh("real")
            self.line(f"{real} = c < {count.text}")

        def inside(text: str, axes: tuple[str, ...], other: str) -> str:
            return text if real is None else f"torch.where({aligned(real, count.axes, axes)}, {text}, {other})"
        for name, r in zip(ys, body.results[n:]):
            self.line(f"{name}[{axis}] = {inside(self.full(r.parts[0][0], r.axes), r.axes, '0.0')}")
        after = [inside(self.full(r.parts[0][0], p.axes), p.axes, c) for r, p, c in zip(body.results, body.params[:n], carry)]
        if carry:
            self.line(f"{', '.join(carry)} = {', '.join(after)}")
        self.indent = self.indent[4:]
        self.names = outer
        for user in self.users_of(v):
            kind, i = user["kind"], user["index"]
            if kind == "final":
                self.names[id(user)] = Name(carry[i], body.params[i].axes)
                continue
            axes = (body.params[i] if kind == "start" else body.results[n + i]).axes
            name, whole = (starts if kind == "start" else ys)[i], sort_axes((axis, *axes))
            at = whole.index(axis)
            self.line(f"{name} = ops.stacked({name}, (z, {''.join(self.size(a) + ', ' for a in axes)}), like{f', {1 + at}' if at else ''})",
                      f"[{', '.join(('z', *user.axes))}]")
            self.names[id(user)] = Name(name, whole)

    def users_of(self, loop: Value) -> list[Value]:
        return [v for v in self.scope if v.op == "out" and v.args[0] is loop]

    def slots(self, v: Value) -> None:
        body: Program = v["body"]
        m = v["xs"]
        outer = dict(self.names)
        called = {u["index"]: u.name for u in self.users_of(v)}
        outs = [self.fresh(called.get(i) or ("over_n" if r.kind == "sum" else "per_n")) for i, r in enumerate(body.results)]
        for name, r in zip(outs, body.results):
            axes = ("m", *(a for a in r.axes if a != "r")) if r.kind == "give" else r.axes
            self.line(f"{name} = " + ("[None] * N" if r.kind == "stack" else f"like.new_zeros((z, {''.join(self.size(a) + ', ' for a in axes)}))"))
        given = [self.given(arg, p, "n" if i < m else "") for i, (arg, p) in enumerate(zip(v.args, body.params))]
        self.line(f"for n in range(N):  # one cached memory after the other: {body.name}")
        self.indent += "    "
        bound = {p.name: self.element(name, "n", "n") if i < m else name for i, (p, name) in enumerate(zip(body.params, given))}
        self.body(body, bound)
        for name, r in zip(outs, body.results):
            value = r.parts[0][0]
            match r.kind:
                case "sum":
                    self.line(f"{name} = {name} + {self.ref(value, r.axes)}")
                case "give":
                    self.line(f"{name} = {name} + rows.give({self.full(value, r.axes)}, n, M)")
                case _:
                    self.line(f"{name}[n] = {self.full(value, r.axes)}")
        self.indent = self.indent[4:]
        self.names = outer
        for user in self.users_of(v):
            i = user["index"]
            r = body.results[i]
            if r.kind == "stack":
                place = user.axes.index("n")
                self.line(f"{outs[i]} = ops.stacked({outs[i]}, (z, {''.join(self.size(a) + ', ' for a in r.axes)}), like, {1 + place})",
                          shape_comment(user))
            self.names[id(user)] = Name(outs[i], user.axes)
