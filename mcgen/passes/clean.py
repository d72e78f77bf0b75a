"""Cleaning: fewer products for the same values. Each rule is local and exact up to rounding.

    hoist    dot(s * x, y) -> s * dot(x, y)             where s has none of the summed axes and fewer axes than x
    move     dot(x, dot(p, q)) over a -> dot(p, dot(x, q) over a)     where the inner product is then, up to scales, one that is
             needed anyway: row sums of a product move onto the smaller product; through a rename and term by term too
    spread   dot(x, y + z) -> dot(x, y) + dot(x, z)     where both of these are needed anyway, up to scales
    diagonal sum over d of where(c == d, dot(x[c], y[d]), 0) -> dot(x[c], y[c]), of tokens' inputs
    prune    results of loop bodies that nobody reads, and their inputs, go
"""
from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ..ir.builder import Builder
from ..ir.nodes import Program, Value, is_dim, order, scan_axis
from .narrow import narrow
from .rewrite import Rebuilder, rebuild_program

BROUGHT = {"load", "map", "rename", "const", "row", "iota", "size"}        # what makes something of tokens' inputs, one by one


def clean(program: Program, b: Builder) -> Program:
    """Hoists, moves and prunes until nothing changes. Ensures: the same results."""
    program = rebuild_program(rebuild_program(program, b, _clean_tokens), b, _hoist)
    for _ in range(4):
        before = program.roots()
        program = _Mover(program, b).run()
        program = rebuild_program(program, b, _hoist)
        if all(x is y for x, y in zip(before, program.roots())):
            break
    return prune(program, b)


def _clean_tokens(rebuilder: Rebuilder, value: Value, args: list[Value]) -> Value | None:
    """Cleans the bodies of scans over tokens, wherever they are: a token's step costs as much as a chunk's product."""
    if value.op != "scan" or scan_axis(value) == "r" and not any(v.op == "scan" for v in value["body"].order()):
        return None
    body = clean(narrow(value["body"], rebuilder.b), rebuilder.b)
    return rebuilder.b.make("scan", args, (), "f", **{**dict(value.attrs), "body": body})


def scale_of(b: Builder, x: Value, over: Sequence[str]) -> tuple[Value | None, Value]:
    """x as (scale, rest) where the scale has none of the axes `over` and fewer axes than x."""
    if x.op == "map" and x["fn"] == "mul":
        for s, rest in (x.args, x.args[::-1]):
            if not set(s.axes) & set(over) and len(s.axes) < len(x.axes) and set(over) <= set(rest.axes):
                inner, rest = scale_of(b, rest, over)
                return (s if inner is None else b.map("mul", s, inner)), rest
        for i, part in enumerate(x.args):
            inner, rest = scale_of(b, part, over)
            if inner is not None and set(over) <= set(rest.axes):
                return inner, b.map("mul", rest, x.args[1 - i])
    if x.op == "map" and x["fn"] == "neg":
        inner, rest = scale_of(b, x.args[0], over)
        return b.map("neg", inner if inner is not None else b.const(1.0)), rest
    if x.op == "rename":
        inner, rest = scale_of(b, x.args[0], [dict((new, old) for old, new in x["moves"]).get(a, a) for a in over])
        if inner is not None:
            return b.rename(inner, dict(x["moves"])), b.rename(rest, dict(x["moves"]))
    return None, x


def _hoist(rebuilder: Rebuilder, value: Value, args: list[Value]) -> Value | None:
    b = rebuilder.b
    if value.op == "map" and value["fn"] == "div" and len(args[1].axes) < len(args[0].axes):
        return b.map("mul", args[0], b.map("div", b.const(1.0), args[1]))        # one division for all of x
    if value.op == "map" and value["fn"] == "mul":
        for s, rest in (args, args[::-1]):
            moved = _small_outside(b, s, rest)
            if moved is not None:
                return moved
    if value.op == "sum":
        diagonal = _diagonal(b, args[0], value["over"])
        if diagonal is not None:
            return diagonal
        scale, rest = scale_of(b, args[0], value["over"])
        return None if scale is None else b.map("mul", scale, b.sum(rest, value["over"]))
    if value.op != "dot":
        return None
    if "n" in value["over"] and len(value["over"]) > 1:      # over the slots last: the rest may then lose its scale
        rest = tuple(a for a in value["over"] if a != "n")
        return b.sum(rebuilder.rehook(b.dot(*args, rest)), ["n"])
    scales, rests = zip(*(scale_of(b, a, value["over"]) for a in args))
    if scales == (None, None):
        return None
    product = b.dot(*rests, value["over"])
    for scale in scales:
        if scale is not None:
            product = b.map("mul", scale, product)
    return product


def _diagonal(b: Builder, x: Value, over: Sequence[str]) -> Value | None:
    """The sum over one of two axes of what is masked to where they are equal, where that is a product of what tokens bring: the rows' own
    sums. (Others are products of what took products, and made anyway where those are at hand.)"""
    if x.op != "map" or x["fn"] != "where" or len(over) != 1:
        return None
    mask, inside, outside = x.args
    axes = {a.get("axis") for a in mask.args}
    if mask.get("fn") != "eq" or any(a.op != "iota" for a in mask.args) or len(axes) != 2 or outside.op != "const" or outside["value"] != 0.0:
        return None
    gone, (left, *_) = over[0], axes - {*over}
    found = _on_diagonal(b, inside, gone, left) if gone in axes else None
    return found if found is None or left in found.axes else b.spread(found, left)


def _on_diagonal(b: Builder, x: Value, gone: str, left: str) -> Value | None:
    if gone not in x.axes:
        return x
    if left not in x.axes:
        return b.rename(x, {gone: left})
    if x.op == "dot" and not {v.op for v in order(x.args)} - BROUGHT:
        return b.dot(*(_on_diagonal(b, a, gone, left) for a in x.args), x["over"])
    parts = [_on_diagonal(b, a, gone, left) for a in x.args] if x.op == "map" else [None]
    return None if None in parts else b.map(x["fn"], *parts)


def _small_outside(b: Builder, big: Value, rest: Value) -> Value | None:
    """big * (small * other) -> small * (big * other), where only `small` has fewer axes: so that products of the large
    ones meet, and the small one can become the scale of a product."""
    if rest.op != "map" or rest["fn"] != "mul":
        return None
    for small, other in (rest.args, rest.args[::-1]):
        axes = set(big.axes) | set(other.axes)
        if set(small.axes) < axes and len(big.axes) == len(other.axes) == len(axes):
            return b.map("mul", small, b.map("mul", big, other))
    return None


class _Mover:
    """Sums of products as sums of other ones, which are at hand."""

    def __init__(self, program: Program, b: Builder):
        self.program, self.b = program, b
        self.users: Counter = Counter()                  # product -> what takes it, itself or scaled
        count: Counter = Counter(map(id, program.roots()))
        for v in reversed(program.order()):
            if v.op == "dot":
                self.users[self.key(*v.args, v["over"])] += count[id(v)]
            for i in {*map(id, v.args)}:
                count[i] += count[id(v)] if v.op == "rename" or (v.op == "map" and v["fn"] == "mul") else 1
        self.settled: dict = {}                          # of three factors multiplied together, the two whose product is made first

    def run(self) -> Program:
        return rebuild_program(self.program, self.b, self.move)

    @staticmethod
    def key(x: Value, y: Value, over: Sequence[str]) -> tuple[frozenset[int], frozenset[str]]:
        return frozenset((id(x), id(y))), frozenset(over)

    def move(self, rebuilder: Rebuilder, value: Value, args: list[Value]) -> Value | None:
        if value.op != "dot":
            return None
        b, over = self.b, value["over"]
        factors = [f for a in args for f in _factors(a)]
        for i, factor in enumerate(factors):
            rest = b.mul(*(f for j, f in enumerate(factors) if j != i))
            terms = _terms(b, factor)
            moved = [self.moved(b.mul(rest, *scales), product, over) for scales, product in terms]
            apart = [m if m is not None else self.known(b.mul(rest, *scales), product, over) if terms[1:] else None
                     for m, (scales, product) in zip(moved, terms)]
            if any(m is not None for m in moved) or all(m is not None for m in apart):
                whole = [b.mul(*scales, product) for m, (scales, product) in zip(apart, terms) if m is None]
                return b.add(*(m for m in apart if m is not None), *([b.dot(rest, b.add(*whole), over)] if whole else []))
        return None

    def known(self, x: Value, y: Value, over: Sequence[str]) -> Value | None:
        """dot(x, y), if that is computed anyway, up to scales."""
        bare = [scale_of(self.b, a, over)[1] for a in (x, y)]
        return self.b.dot(x, y, over) if self.key(*bare, over) in self.users else None

    def moved(self, x: Value, product: Value, over: Sequence[str]) -> Value | None:
        """dot(x, dot(p, q)) as dot(p, dot(x, q)), if dot(x, q) up to scales is computed anyway; of two such that both are, the
        first one stays."""
        b = self.b
        if product.op == "rename":
            back = {new: old for old, new in product["moves"]}
            if set(x.axes) & (set(back.values()) - set(back)):
                return None
            moved = self.moved(b.rename(x, back), product.args[0], tuple(back.get(a, a) for a in over))
            return None if moved is None else b.rename(moved, dict(product["moves"]))
        if product.op != "dot" or set(product["over"]) & set(x.axes):
            return None
        scale, bare = scale_of(b, x, over)
        for p, q in (product.args, product.args[::-1]):
            own, core = scale_of(b, q, over)
            first = self.key(bare, core, over)
            if first not in self.users or not set(over) <= set(core.axes) or set(over) & set(p.axes):
                continue
            inner = b.dot(bare, core, over)
            now = self.key(*product.args, product["over"])
            keep = self.users[now] > 1 and sum(map(is_dim, inner.axes)) == sum(map(is_dim, product.axes))
            three = tuple(sorted(map(id, (bare, core, p)))), frozenset((*over, *product["over"]))
            if self.settled.setdefault(three, now if keep else first) != first:
                continue
            within = own is not None and set(product["over"]) & set(own.axes)
            outer = [s for s in (None if within else own, scale) if s is not None]
            return b.mul(*outer, b.dot(p, b.mul(own, inner) if within else inner, product["over"]))
        return None


def _terms(b: Builder, x: Value) -> list[tuple[list[Value], Value]]:
    """A sum as its terms, each as (scales, product)."""
    if x.op == "map" and x["fn"] == "add":
        return [t for a in x.args for t in _terms(b, a)]
    factors = _factors(x)
    at = max((i for i, f in enumerate(factors) if f.op == "dot" or (f.op == "rename" and f.args[0].op == "dot")), default=None)
    if at is None:
        return [([], x)]
    return [([*factors[:at], *factors[at + 1:]], factors[at])]            # a square has its product twice


def _factors(x: Value) -> list[Value]:
    if x.op == "map" and x["fn"] == "mul":
        return [f for a in x.args for f in _factors(a)]
    return [x]


def prune(program: Program, b: Builder) -> Program:
    """Drops what nobody reads from loop bodies: results per row, then inputs."""
    read: dict[int, set[tuple[str, int]]] = {}
    for value in program.order():
        if value.op == "out":
            read.setdefault(id(value.args[0]), set()).add((value["kind"], value["index"]))
    renumber: dict[int, dict[int, int]] = {}

    def hook(rebuilder: Rebuilder, value: Value, args: list[Value]) -> Value | None:
        if value.op == "scan":
            n, m = value["carries"], value["xs"]
            body: Program = value["body"]
            kept = [i for i in range(len(body.results) - n) if ("y", i) in read.get(id(value), ())]
            renumber[id(value)] = {old: new for new, old in enumerate(kept)}
            results = body.results[:n] + tuple(body.results[n + i] for i in kept)
            trimmed = prune(Program(body.name, body.params, results, body.level, body.segment), b)
            results = trimmed.results
            used = {v["name"] for v in trimmed.order() if v.op == "param"}
            rest = [(p, a, i < m) for i, (p, a) in enumerate(zip(body.params[n:], args[n:])) if p.name in used]
            trimmed = Program(body.name, body.params[:n] + tuple(p for p, _, _ in rest), results, body.level, body.segment)
            if trimmed.params == body.params and trimmed.results == body.results and all(x is y for x, y in zip(args, value.args)):
                return value
            if trimmed == body:
                trimmed = body
            made = {**dict(value.attrs), "body": trimmed, "xs": sum(x for _, _, x in rest)}
            return rebuilder.b.make("scan", (*args[:n], *(a for _, a, _ in rest), *args[len(body.params):]), (), "f", **made)
        if value.op == "out" and value["kind"] == "y" and id(value.args[0]) in renumber:
            index = renumber[id(value.args[0])][value["index"]]
            return rebuilder.b.make("out", args, value.axes, value.dtype, kind="y", index=index)
        return None

    return rebuild_program(program, b, hook)


WHOLE = {"solve", "pair", "papply"}


def products(program: Program) -> list[Value]:
    """The matrix products per chunk-table row: dots with an axis of its own on each side, or a slot loop's; triangular
    systems and what decays for each channel count as one. (A derivative by factors takes the products of those by q and k.)"""
    found = []
    for value in program.order():
        if value.op in WHOLE:
            found.append(value)
        if value.op != "dot":
            continue
        x, y = value.args
        own = [set(a.axes) - {"r", "n"} - set(value["over"]) for a in (x, y)]
        shared = own[0] & own[1]
        if own[0] - shared and own[1] - shared and ({"r", "c", "d"} & set((*x.axes, *y.axes))):
            found.append(value)
    return found
