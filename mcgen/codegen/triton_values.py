"""Prints the values of a slice, second part: arithmetic, sums, products, scans."""
from __future__ import annotations

from typing import Iterable

from ..ir.naming import stem
from ..ir.nodes import Program, Value, dim_of, is_dim, order, sort_axes
from ..ir.verifier import BrokenProgram
from ..passes.apart import levelled
from ..passes.fold import Fold
from ..passes.held import matrix
from ..passes.padding import padded
from .triton_expr import COMPARE, call, integer, number
from .triton_tiles import Name, Tiles, size


class Values(Tiles):
    """Statements for values, each when it is first needed."""

    def __init__(self, program: Program, kind: str, blocked: tuple[str, ...], slot: str, levels: bool, fold: Fold | None):
        super().__init__(program, kind, blocked, slot, levels)
        self.fold, self.in_block = fold, False             # whether the program stands in one of the fold's blocks
        self.memories: dict[str, Value] = {}               # parameters of the bodies of loops that are had where they are asked for
        self.carries: dict[int, list[Name]] = {}
        self.next: dict[int, list[str]] = {}
        self.given: dict[str, Value] = {}                  # parameters of the bodies of scans
        self.stacks = {(id(r.parts[0][0].args[0]), r.parts[0][0]["index"]): r for r in program.results
                       if r.parts[0][0].op == "out" and r.parts[0][0]["kind"] == "stack"}

    def get(self, v: Value) -> Name:
        if id(v) not in self.names:
            self.statements(order([v]))
        if id(v) not in self.names and not self.elsewhere(v):          # of all slots at once, after all; or had again
            self.statement(v)
        return self.names[id(v)]

    def full(self, v: Value, axes: tuple[str, ...]) -> str:
        """v over exactly these axes, as float32."""
        name = self.get(v)
        if name.scalar:
            return f"tl.full({self.extents(axes)}, {name.text}, tl.float32)"
        text = self.aligned(name, axes)
        return text if set(name.axes) == set(axes) else f"tl.zeros({self.extents(axes)}, tl.float32) + {text}"

    def cleaned(self, v: Value, text: str, axes: tuple[str, ...], over: Iterable[str], other: str = "0.0") -> str:
        """The text of a tile over `axes` with `other` where v is not proved 0 past the end of an axis of `over`."""
        masks = [self.mask(a, axes) for a in padded(tuple(over)) if a in axes and (other != "0.0" or not self.padding.zero(v, a))]
        return f"tl.where({' & '.join(masks)}, {text}, {other})" if masks else text

    def clean_full(self, v: Value, axes: tuple[str, ...]) -> str:
        name = self.get(v)
        inside = [a for a in padded(axes) if a not in name.axes or not self.padding.zero(v, a)]
        text = self.full(v, axes)
        if not inside or (v.op == "const" and v["value"] == 0.0):
            return text
        return f"tl.where({' & '.join(self.mask(a, axes) for a in inside)}, {text}, 0.0)"

    # -- statements --------------------------------------------------------------------------------------------
    def statements(self, values: Iterable[Value]) -> None:
        for v in values:
            if self.wanted(v):
                self.statement(v)

    def wanted(self, v: Value) -> bool:
        """Whether v has to be computed before something asks for it. Of the slots, one at a time is meant almost always."""
        one_slot = "n" in v.axes and self.fixed is None and matrix(v)
        return id(v) not in self.names and id(v) not in self.again and not one_slot and not self.elsewhere(v)

    def elsewhere(self, v: Value) -> bool:
        """Whether v is too large for all units, levels or blocks at once, and no one of them is meant here."""
        return bool(self.fold and not self.in_block and self.fold.has(v)) or ("m" in v.axes and self.memory is None) or (levelled(v) and self.level is None)

    def statement(self, v: Value) -> None:
        match v.op:
            case "const":
                self.names[id(v)] = Name(number(v["value"]), scalar=True)
            case "size":
                self.names[id(v)] = Name({"n": "N", "l": "N", "r": "R"}.get(v["axis"]) or size(v["axis"]), scalar=True)
            case "row":
                self.names[id(v)] = Name("r" if v["field"] == "index" else v["field"])
            case "iota":
                self.iota(v)
            case "rename":
                inner, moves = self.get(v.args[0]), dict(v["moves"])
                self.names[id(v)] = Name(inner.text, tuple(moves.get(a, a) for a in inner.axes), inner.scalar, inner.precise)
            case "scan":
                self.scan(v)
            case "slots":
                self.slots(v)
            case "out":
                self.out(v)
            case "expose":
                self.expose(v)
            case "collect":
                pass
            case _:
                getattr(self, "_" + v.op)(v)
        if id(v) not in self.again:
            self.forget()

    def iota(self, v: Value) -> None:
        one = {"n": self.fixed, "c": self.at, "l": self.level}.get(v["axis"])
        if one:
            self.names[id(v)] = Name(one)
        else:
            self.names[id(v)] = Name(self.index(v["axis"]), v.axes)

    # -- arithmetic --------------------------------------------------------------------------------------------
    def _map(self, v: Value) -> None:
        fn, names = v["fn"], [self.get(a) for a in v.args]
        axes = self.tile_axes(v.axes)
        keep = id(v) in self.precise
        text = [self.aligned(n, axes, keep) for n in names]
        whole = fn in COMPARE and any(a.dtype == "i" for a in v.args) or (v.dtype == "i")
        text = [integer(a["value"]) if whole and a.op == "const" else t for a, t in zip(v.args, text)]
        power = (not names[0].scalar, v.args[1]["value"]) if fn == "pow" and v.args[1].op == "const" else (not names[0].scalar, 0.5)
        if all(n.scalar for n in names):
            self.names[id(v)] = self.number(fn, text, power)
        elif fn == "stop":
            self.names[id(v)] = names[0]
        elif fn in ("and", "or") and len({bool(n.axes) for n in names}) == 2:        # the interpreter has no mask of a tile and a number
            one, tile = text if not names[0].axes else text[::-1]
            self.define(v, call("where", [one, tile, "False"] if fn == "and" else [one, "True", tile], power))
        else:
            self.define(v, call(fn, text, power))

    @staticmethod
    def number(fn: str, text: list[str], power: tuple[bool, float]) -> Name:
        plain = call(fn, text, power)
        if plain.startswith(("tl.", "lib.")):
            spelled = [f"tl.full((), {t}, tl.float32)" for t in text]
            return Name(f"({call(fn, spelled, power)})")
        return Name(f"({plain})", scalar=True)

    def _sum(self, v: Value) -> None:
        self.define(v, *self.reduction(v, tuple(v["over"])))

    def _max(self, v: Value) -> None:
        name, axis = self.get(v.args[0]), v["over"][0]
        text = self.cleaned(v.args[0], self.aligned(name, name.axes), name.axes, (axis,), 'float("-inf")')
        axes = tuple(a for a in name.axes if a != axis)
        self.define(v, f"tl.max({text}, {name.axes.index(axis)})", axes)

    def _dot(self, v: Value) -> None:
        self.define(v, *self.reduction(v, tuple(v["over"])))

    def reduction(self, v: Value, over: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
        """A sum or product over the axes, as text and the axes that it has."""
        if v.op == "pair":
            return self.pair(v), ("c", "d")
        names = [self.get(a) for a in v.args]
        if v.op == "dot":
            x, y = ({*n.axes} for n in names)
            shared = x & y - set(over)
            if len(over) == 1 and not shared and len(x) == len(y) == 2 and not any(n.scalar for n in names):
                return self.product(v, names, over[0])
            axes = tuple(a for a in v.axes if a in x | y) + over
            axes = tuple(dict.fromkeys(a for a in sort_axes(axes) if a in x | y))
            axes = next((n.axes for n in names if set(n.axes) == set(axes)), axes)         # a tile as it lies
            text = " * ".join(self.aligned(n, axes) for n in names)
            masks = [self.mask(a, axes) for a in padded(over) if not all(self.padding.zero(arg, a) for arg in v.args)]
            text = f"tl.where({' & '.join(masks)}, {text}, 0.0)" if masks else text
        else:
            axes = names[0].axes
            text = self.cleaned(v.args[0], self.aligned(names[0], axes), axes, over)
        return self.summed(text, axes, over)

    @staticmethod
    def summed(text: str, axes: tuple[str, ...], over: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
        while over:
            last = max(over, key=axes.index)
            text = f"tl.sum({text}, {axes.index(last)})"
            axes, over = tuple(a for a in axes if a != last), tuple(a for a in over if a != last)
        return text, axes

    def product(self, v: Value, names: list[Name], over: str) -> tuple[str, tuple[str, ...]]:
        out = self.upright(self.tile_axes(v.axes))
        left, right = (0, 1) if out[0] in names[0].axes else (1, 0)
        sides = []
        for i, axes in ((left, (out[0], over)), (right, (over, out[1]))):
            sides.append(self.cleaned(v.args[i], self.aligned(names[i], axes), axes, (over,)))
        return f"lib.dot({sides[0]}, {sides[1]}, PRECISION)", out

    def upright(self, axes: tuple[str, ...]) -> tuple[str, ...]:
        """The axes of a product: dims as they lie in memory, those that kernels are cut along last: rows are what instructions want many of."""
        if not all(is_dim(a) and dim_of(a) in self.dims for a in axes):
            return axes
        return tuple(sorted(axes, key=lambda a: (a in self.blocked, self.dims.index(dim_of(a)))))

    def _cumsum(self, v: Value) -> None:
        name = self.get(v.args[0])
        at = name.axes.index(v["axis"])
        text = self.aligned(name, name.axes, True)
        if id(v) in self.precise and not name.precise:
            text += ".to(tl.float64)"
        if not v["exclusive"]:
            text = f"tl.cumsum({text}, {at}{', reverse=True' if v['reverse'] else ''})"
            self.define(v, text, name.axes)
            return
        if len(name.axes) == 1:
            self.define(v, f"lib.sums_before({text}, {v['reverse']})", name.axes)
            return
        axes = (v["axis"], *(a for a in name.axes if a != v["axis"]))
        self.define(v, f"lib.row_sums_before({self.aligned(name, axes)}, {v['reverse']}, EXACT)", axes)

    def _inverse(self, v: Value) -> None:
        name = self.get(v.args[0])
        self.define(v, f"lib.inverse({self.aligned(name, ('c', 'd'))}, EXACT)", ("c", "d"))

    # -- factors for each channel --------------------------------------------------------------------------------
    def summand(self, v: Value, token: str, axis: str) -> str:
        """The same, with 0 past the channels."""
        return self.cleaned(v, self.full(v, (token, axis)), (token, axis), (axis,))

    def _cumprod(self, v: Value) -> None:
        axes = ("c", self.channel(v))
        self.define(v, f"factors.products({self.full(v.args[0], axes)}, {v['reverse']})", axes)

    def _decayed(self, v: Value) -> None:
        axes = ("c", self.channel(v))
        self.define(v, f"factors.decayed({self.full(v.args[0], axes)}, {self.full(v.args[1], axes)}, {v['reverse']})", axes)

    def channel(self, v: Value) -> str:
        axis, = (a for a in v.axes if a not in ("r", "c"))
        return axis

    def pair(self, v: Value) -> str:
        (q, k, f), axis = v.args, v["axis"]
        return f"factors.pair({self.summand(q, 'c', axis)}, {self.summand(k, 'd', axis)}, {self.full(f, ('c', axis))}, PRECISION)"

    def _pair(self, v: Value) -> None:
        self.define(v, self.pair(v), ("c", "d"))

    def _papply(self, v: Value) -> None:
        (matrix, x, f), axis, (given, left) = v.args, v["axis"], ("c", "d") if v["transposed"] else ("d", "c")
        text = f"{self.full(matrix, ('c', 'd'))}, {self.full(x, (given, axis))}, {self.full(f, ('c', axis))}, {v['transposed']}, PRECISION"
        self.define(v, f"factors.papply({text})", (left, axis))

    def _channels(self, v: Value) -> None:
        """All parts that this kernel has, by one call."""
        (matrix, q, k, f), axis = v.args, v["axis"]
        parts = {u["part"]: u for u in self.every() if u.op == "channels" and u.args == v.args and u["axis"] == axis}
        text = f"{self.full(matrix, ('c', 'd'))}, {self.full(q, ('c', axis))}, {self.full(k, ('d', axis))}, {self.full(f, ('c', axis))}, PRECISION"
        names = {part: self.fresh(stem(parts[part])) if part in parts else "_" for part in "qkf"}
        self.line(f"{', '.join(names.values())} = factors.channels({text})", f"each [c, {axis}]")
        for part, u in parts.items():
            self.names[id(u)] = Name(names[part], ("d" if part == "k" else "c", axis))

    def _topk(self, v: Value) -> None:
        name = self.get(v.args[0])
        past = "lib.digit(segment, slots)" if v["digits"] else "(slots < segment)"
        self.define(v, f"lib.topk({self.aligned(name, ('c', 'n'))}, {past}, {v['k']}{', True' if v['digits'] else ''})", ("c", "n"))

    def _dense_solve(self, v: Value) -> None:
        own = (v["row"], v["column"])
        matrix, right = (self.get(a) for a in v.args)
        axes = (v["row"], *(a for a in right.axes if a != v["row"]))
        texts = [self.cleaned(a, self.aligned(name, to), to, own) for a, name, to in zip(v.args, (matrix, right), (own, axes))]
        self.define(v, f"lib.dense_solve({', '.join(texts)}, {size(v['row'])}{', True' if v['definite'] else ''})", (v["column"], *axes[1:]))

    def slots(self, v: Value) -> None:
        raise NotImplementedError

    def expose(self, v: Value) -> None:
        raise NotImplementedError

    # -- scans -------------------------------------------------------------------------------------------------
    def enter(self, scans: list[Value]) -> dict[int, Value | None]:
        """Gives the scans' bodies their parameters, which are had where they are asked for; id of a parameter that is no carry -> what it is."""
        stands: dict[int, Value | None] = {}
        known = {p.name for p in self.program.params}
        for scan in scans:
            body, n = scan["body"], scan["carries"]
            own = {x["name"]: x for x in body.order() if x.op == "param"}
            for p, arg in zip(body.params, [scan] * n + list(scan.args[n:])):
                mine = own.get(p.name)
                if self.given.setdefault(p.name, arg) is not arg or (p.name in known and mine is not None and mine is not arg):
                    raise BrokenProgram(f"{self.program.name}: {p.name} is a parameter of a scan, and another value's name")
            self.bound |= {p.name: name for p, name in zip(body.params, self.carries[id(scan)])}
            given = {p.name: arg for p, arg in zip(body.params[n:], scan.args[n:]) if own.get(p.name) is not arg}
            self.memories |= given
            stands |= {id(own[name]): arg for name, arg in given.items() if name in own}
            self.names[id(scan)] = Name("")
        return stands

    def leave(self, scans: list[Value]) -> None:
        """Requires: all that the scans' bodies compute is there."""
        for scan in scans:
            results = scan["body"].results
            self.next[id(scan)] = [self.clean_full(r.parts[0][0], carry.axes) for carry, r in zip(self.carries[id(scan)], results)]

    def scan(self, v: Value) -> None:
        raise NotImplementedError

    def out(self, v: Value) -> None:
        loop, i = v.args[0], v["index"]
        self.get(loop)
        if v["kind"] in ("start", "final", "sum"):
            self.names[id(v)] = self.carries[id(loop)][i]
        elif v["kind"] == "y":
            self.names[id(v)] = self.get(loop["body"].results[loop["carries"] + i].parts[0][0])
