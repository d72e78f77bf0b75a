"""Checks that a kernel says what its level allows: run after fusing, so that a broken pass is named before anything is printed.

What is checked: every reference names a declared tile, parameter or result and has its axes (or others of the same
length: renaming is a way of indexing); every axis of an expression is one of the statement's loops; reductions run over
axes that are there; only tiles and results are written; what belongs to a row stands in a row, what belongs to a slot in
a loop over slots; and whatever is read has been written before, on every way that leads there.
"""
from __future__ import annotations

from typing import Iterator

from . import kernel as kr
from .functions import TABLE
from .nodes import LEAD, dim_of
from .verifier import BrokenProgram

FIELDS = {"start", "count", "segment", "offset", "index"}
WHOLE = ("slots", "units", "levels", "memory", "head", "starts")          # kinds of parameters and results that expressions may name


def verify_kernel(kernel: kr.Kernel) -> None:
    """Raises BrokenProgram with the statement that is wrong."""
    _Verifier(kernel).run()


def _ops(e: kr.Expr) -> Iterator[kr.Expr]:
    yield e
    for a in e.args:
        yield from _ops(a)


def _length(axis: str) -> str:
    """What an axis's length is called: equal names, equal lengths."""
    return {"c": "tokens of a row", "d": "tokens of a row", "mid": "tokens of a row", "n": "slots", "l": "slots", "m": "units"}.get(axis) or dim_of(axis)


def _level(ref: kr.Ref) -> tuple[str, ...]:
    """The axes of one level of what a reference names."""
    return tuple(a for a in ref.axes if a != "l")


class _Verifier:
    def __init__(self, kernel: kr.Kernel):
        self.kernel = kernel
        self.tiles = {t.name: t for t in kernel.tiles}
        self.params = {p.name: p for p in kernel.params}
        self.results = {r.name: r for r in kernel.results}
        self.saved = {r.name for r in kernel.results[kernel.saved:]}
        self.ready: set[str] = set()               # tiles and results that hold something wherever control may come from
        self.touched: set[str] = set()             # results that some statement writes
        self.in_rows = self.in_loop = self.in_saving = False
        self.loops: set[str] = set()               # axes that enclosing loops run along
        self.slots: set[str] = set()               # those that a loop over slots does
        self.acc: tuple[str, ...] | None = None    # the axes of 'acc', where it stands for the element of a product
        self.now: object = None

    def need(self, condition: bool, what: str) -> None:
        if not condition:
            where = "" if self.now is None else f"{type(self.now).__name__.lower()}: "
            raise BrokenProgram(f"{self.kernel.name} (kernel): {where}{what}")

    def run(self) -> None:
        names = [*self.params, *self.results, *(t.name for t in self.kernel.tiles)]
        for name in names:
            self.need(names.count(name) == 1, f"{name} is declared twice")
        self.block(self.kernel.before)
        before, self.in_rows = set(self.ready), True
        self.block(self.kernel.rows)
        self.ready, self.in_rows = before, False           # a call may have no rows
        self.block(self.kernel.after)
        self.now = None
        for name in self.results:
            self.need(name in self.touched, f"the result {name} is never written")

    def block(self, statements) -> None:
        for s in statements:
            self.statement(s)

    def statement(self, s) -> None:
        self.now = s
        match s:
            case kr.Load():
                self.need(self.in_rows, "tokens are loaded in a row")
                self.need(self.params.get(s.param.name) == s.param and s.param.kind == "token", f"{s.param.name} is no token parameter")
                self.target(s.dst, False)
                self.need(tuple(map(_length, s.dst.axes)) == tuple(map(_length, ("c", *s.param.axes))), f"{s.param.name} has other axes")
            case kr.Store():
                self.need(self.in_rows, "tokens are stored in a row")
                self.need(self.results.get(s.result.name) is s.result and s.result.kind == "token", f"{s.result.name} is no token result")
                self.value(s.value, ("c", *s.result.axes))
                self.touched.add(s.result.name)
            case kr.Map():
                self.value(s.value, s.dst.axes)
                self.target(s.dst, s.accumulate)
            case kr.Reduce():
                self.need(s.kind in ("sum", "max") and not (s.kind == "max" and s.accumulate), f"no reduction {s.kind}")
                self.over(s.dst.axes, s.over, s.value)
                self.value(s.value, s.dst.axes + s.over)
                self.target(s.dst, s.accumulate)
            case kr.Dot():
                self.dot(s)
            case kr.Product():
                self.product(s)
            case kr.Cumsum():
                self.need(s.axis in s.dst.axes and s.axis in kr.axes_in(s.value), f"no axis {s.axis}")
                self.value(s.value, s.dst.axes)
                self.target(s.dst, False)
            case kr.Cumprod() | kr.Decayed():
                self.need(s.dst.axes[:1] == ("c",), "goes along the tokens of a row, the first axis")
                self.value(s.value, s.dst.axes)
                if isinstance(s, kr.Decayed):
                    self.value(s.factor, s.dst.axes)
                self.target(s.dst, False)
            case kr.Solve():
                self.read(s.matrix)
                self.need({"c", "d"} <= set(s.matrix.axes) and "c" in s.x.axes and "d" not in s.x.axes, "a system of tokens")
                self.target(s.x, True)
            case kr.Pair():
                self.channels((s.q, "c"), (s.k, "d"), (s.factor, "c"))
                self.need(_level(s.dst) == ("c", "d"), "a matrix of tokens")
                self.levels((s.q, s.k, s.factor), s.dst)
                self.target(s.dst, False)
            case kr.Channels():
                self.need(_level(s.matrix) == ("c", "d"), "a matrix of tokens")
                self.read(s.matrix)
                self.need((s.k is not None or s.dq is None is s.df) and (s.q is not None or s.dk is None is s.df), "lacks a factor")
                self.channels((s.q, "c"), (s.k, "d"), (s.factor, "c"))
                for made, token in ((s.dq, "c"), (s.dk, "d"), (s.df, "c")):
                    if made is not None:
                        self.need(_level(made) == (token, *_level(s.factor)[1:]), "what is made has other axes")
                        self.levels((s.matrix, s.q, s.k, s.factor), made)
                        self.target(made, False)
            case kr.Topk():
                self.need(self.in_rows and not self.in_loop and "n" in s.dst.axes and s.dst.axes == s.score.axes and s.k > 0, "a choice is over all slots")
                self.read(s.score)
                self.target(s.dst, False)
            case kr.When():
                self.need(self.in_rows and s.condition.dtype == "b" and not kr.axes_in(s.condition), "a condition on the row")
                self.value(s.condition, ())
                self.inside(s.body)
            case kr.Loop(kind="tokens" | "tokens_back"):
                self.need(self.in_rows and not self.in_loop, "a loop over the tokens of no row")
                self.along("c", s.body)
            case kr.Along():
                self.along(s.axis, s.body)
            case kr.DenseSolve():
                self.need(s.column in s.dst.axes and s.row not in s.dst.axes and s.column not in kr.axes_in(s.right), f"no unknowns over {s.column}")
                self.value(s.matrix, (*s.dst.axes, s.row))
                self.value(s.right, (*s.dst.axes, s.row))
                self.target(s.dst, False)
            case kr.Loop():
                kinds = ("past" if self.kernel.slot == "n" else "digits", "segment", "all")
                self.need(s.kind in kinds and (self.in_rows or s.kind == "all"), f"no loop over {s.kind} here")
                self.need(not self.in_loop, "a loop over slots in another")
                self.in_loop = True
                self.slots = {self.kernel.slot} | ({"n"} if s.kind == "digits" else set())
                made = self.inside(s.body)
                self.in_loop, self.slots = False, set()
                self.ready |= {t for t in made if t in self.tiles and "n" in self.tiles[t].axes}    # an element a slot
            case kr.Saving():
                self.need(not self.in_saving, "saving twice")
                self.in_saving = True
                self.inside(s.body)
                self.in_saving = False
            case _:
                self.need(False, "unknown statement")

    def channels(self, *given: tuple[kr.Ref | None, str]) -> None:
        """Tiles over tokens and one axis of channels, the same for all, at every level or one for all."""
        axis = _level(given[-1][0])[1:]
        for ref, token in given:
            if ref is not None:
                self.need(ref.kind == "tile" and _level(ref) == (token, *axis) and len(axis) == 1, f"{ref.storage} is over [{', '.join(ref.axes)}]")
                self.read(ref)

    def levels(self, given: tuple[kr.Ref | None, ...], made: kr.Ref) -> None:
        self.need("l" in made.axes or not any(ref is not None and "l" in ref.axes for ref in given), "levels of what is made for none")

    def along(self, axis: str, body: tuple) -> None:
        """Every position of an axis; a row has a token, and a dimension is at least 1, so what is written there is written."""
        self.need(axis not in self.loops, f"a loop along {axis} in another")
        self.loops.add(axis)
        self.block(body)
        self.loops.remove(axis)

    def inside(self, body: tuple) -> set[str]:
        """A block that may be skipped: what it writes is not sure to be there after it."""
        before = set(self.ready)
        self.block(body)
        made, self.ready = self.ready - before, before
        return made

    def dot(self, s: kr.Dot) -> None:
        self.need(bool(s.over), "a product over nothing")
        loops = s.dst.axes + s.over
        for operand in (s.left, s.right):
            self.over(s.dst.axes, s.over, operand)
            self.value(operand, loops)
        for more in (s.scale, s.rows):
            if more is not None:
                self.value(more, loops)
        self.need(not s.lower or set(s.dst.axes) == {"c", "d"}, "the lower triangle of what is no token-by-token matrix")
        self.need(not s.over_lower or any({"c", "d"} <= kr.axes_in(x) for x in (s.left, s.right)), "no token-by-token matrix among the factors")
        if s.then is not None:
            self.need(not s.accumulate, "an epilogue of a sum that goes on")
            self.acc = ()
            self.value(s.then, s.dst.axes)
            self.acc = None
        self.target(s.dst, s.accumulate)

    def product(self, s: kr.Product) -> None:
        """Its statements take every element once, in no order: of what they write they may read the same element alone."""
        self.need(bool(s.over) and len(set(s.axes)) == len(s.axes), "a product over nothing")
        self.need("n" not in s.over, "a product over the slots, which stop at the row's segment")
        for operand in (s.left, s.right):
            self.over(s.axes, s.over, operand)
            self.value(operand, s.axes + s.over)
        made = {inner.dst.storage for inner in s.body if isinstance(inner, (kr.Map, kr.Reduce))}
        self.acc = s.axes
        for inner in s.body:
            self.now = inner
            self.need(isinstance(inner, kr.Map) or (isinstance(inner, kr.Reduce) and inner.kind == "sum"), "is no part of a product")
            loops = inner.dst.axes + (() if isinstance(inner, kr.Map) else inner.over)
            self.need(set(loops) - {"n", "m"} == set(s.axes) and (isinstance(inner, kr.Map) or inner.over == s.axes[1:]), "goes over other axes than its product")
            strange = {r.storage for r in kr.refs_in(inner.value) if r != inner.dst or isinstance(inner, kr.Reduce)}
            self.need(not made & strange, "reads what its product's statements write")
            self.statement(inner)
        self.acc, self.now = None, s
        self.need(not made & {r.storage for x in (s.left, s.right) for r in kr.refs_in(x)}, "writes a factor of its product")

    def over(self, target: tuple[str, ...], over: tuple[str, ...], value: kr.Expr) -> None:
        self.need(len(set(over)) == len(over) and not set(over) & set(target), f"sums over an axis of the target: {', '.join(over)}")
        for axis in over:
            self.need(axis in kr.axes_in(value), f"reduces the axis {axis}, which is not there")

    # -- expressions and references ----------------------------------------------------------------------------
    def value(self, e: kr.Expr, loops: tuple[str, ...]) -> None:
        """Requires of an expression: its axes are loops around it, its functions exist, what it reads is written."""
        free = kr.axes_in(e) - set(loops) - self.loops - self.slots
        self.need(not free, f"no loop over {', '.join(sorted(free))}")
        for x in _ops(e):
            match x.op:
                case "num" | "size" | "iota":
                    self.need(not x.args, x.op)
                case "row":
                    self.need(self.in_rows and x.attr in FIELDS, f"no row has a {x.attr} here")
                case "ref" if x.attr.kind == "acc":
                    self.need(x.attr.axes == self.acc, "the sum of a product stands in what follows on it alone")
                case "ref":
                    self.read(x.attr)
                case fn:
                    self.need(fn in TABLE and TABLE[fn].arity == len(x.args), f"no function {fn} of {len(x.args)}")

    def read(self, ref: kr.Ref) -> None:
        self.declared(ref)
        self.need(ref.storage in self.params or ref.storage in self.ready, f"{ref.storage} is read before it is written")

    def target(self, ref: kr.Ref, accumulate: bool) -> None:
        self.declared(ref)
        self.need(ref.storage not in self.params, f"{ref.storage} is a parameter, and written")
        self.need(len(set(ref.axes)) == len(ref.axes), f"{ref.storage}[{', '.join(ref.axes)}]: an axis twice in what is written")
        self.need(not accumulate or ref.storage in self.ready, f"{ref.storage} is added to before it is written")
        self.need(ref.storage not in self.saved or self.in_saving, f"{ref.storage} exists only when saving")
        self.ready.add(ref.storage)
        self.touched.add(ref.storage)

    def declared(self, ref: kr.Ref) -> None:
        """The reference names something of its kind, with as many axes, of the same lengths, where that may stand."""
        found = self.tiles.get(ref.storage) if ref.kind == "tile" else self.params.get(ref.storage) or self.results.get(ref.storage)
        self.need(found is not None, f"no {ref.kind} {ref.storage}")
        if ref.kind == "tile":
            self.need(ref.precise == found.precise, f"{ref.storage} is{'' if found.precise else ' not'} float64")
        else:
            self.need(found.kind == ref.kind and ref.kind in WHOLE, f"{ref.storage} is {found.kind}, not {ref.kind}")
            self.need(ref.kind != "starts" or self.in_rows, f"{ref.storage} has an element a row, and there is none here")
        lead = LEAD[ref.kind] if ref.kind in ("slots", "units", "levels") and ref.at is None else ()
        axes = (*lead, *found.axes)
        self.need(tuple(map(_length, ref.axes)) == tuple(map(_length, axes)), f"{ref.storage} is over [{', '.join(axes)}], not [{', '.join(ref.axes)}]")
        self.need(ref.at is None or (ref.at == "segment" and ref.kind in ("slots", "units") and self.in_rows), f"{ref.storage} at {ref.at}")
