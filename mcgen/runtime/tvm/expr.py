"""Expressions over tiles: what a statement computes for one element.

An axis is a name. `G["d"]` is the element of G at the position of the loop over "d", whatever G's own axis is called; so
renaming and transposing are ways of indexing. dtypes: "f32", "f64", "i32", "bool"; a number takes the type it meets.
"""
from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

RANK = {"bool": 0, "i32": 1, "f32": 2, "f64": 3}

#: Functions of one float argument. Each has a float32 vector form; float64 goes through libm.
UNARY = ("exp", "log", "sqrt", "rsqrt", "abs", "sign", "sigmoid", "logsigmoid", "softplus", "tanh", "relu", "silu", "gelu", "erf")
COMPARE = ("lt", "le", "gt", "ge", "eq", "ne")


@dataclass(frozen=True, eq=False)
class Expr:
    """`op` is "const", "ref", "iota", "scalar", "acc", or an operation on `args`; `attr` is what the op needs beside them."""

    op: str
    args: tuple["Expr", ...] = ()
    attr: object = None
    dtype: str = "f32"

    @cached_property
    def axes(self) -> frozenset[str]:
        """The axis names that the value depends on (those bound by an enclosing loop too)."""
        names = set().union(*(arg.axes for arg in self.args)) if self.args else set()
        if self.op == "ref":
            names.update(self.attr.index)
            if self.attr.at is not None:
                names |= self.attr.at.axes
        elif self.op == "iota":
            names.add(self.attr)
        return frozenset(names)

    def refs(self):
        """Every element reference inside, in reading order."""
        if self.op == "ref":
            yield self
        for arg in self.args:
            yield from arg.refs()

    def __add__(self, other): return binary("add", self, other)
    def __radd__(self, other): return binary("add", other, self)
    def __sub__(self, other): return binary("sub", self, other)
    def __rsub__(self, other): return binary("sub", other, self)
    def __mul__(self, other): return binary("mul", self, other)
    def __rmul__(self, other): return binary("mul", other, self)
    def __truediv__(self, other): return binary("div", self, other)
    def __rtruediv__(self, other): return binary("div", other, self)
    def __floordiv__(self, other): return binary("floordiv", self, other)
    def __mod__(self, other): return binary("mod", self, other)
    def __pow__(self, other): return power(self, other)
    def __lt__(self, other): return binary("lt", self, other)
    def __le__(self, other): return binary("le", self, other)
    def __gt__(self, other): return binary("gt", self, other)
    def __ge__(self, other): return binary("ge", self, other)
    def __eq__(self, other): return binary("eq", self, other)
    def __ne__(self, other): return binary("ne", self, other)
    def __and__(self, other): return binary("and", self, other)
    def __or__(self, other): return binary("or", self, other)
    def __invert__(self): return Expr("not", (truth(self),), None, "bool")
    def __neg__(self): return Expr("neg", (self,), None, self.dtype)
    __hash__ = object.__hash__

    def __bool__(self):
        raise TypeError("a tile expression has no truth value while it is recorded: use k.where, & and |")


@dataclass(frozen=True, eq=False)
class Access:
    """One element of `storage`: an axis name per dim, and for slots and starts the slot or row (`at`)."""

    storage: object
    index: tuple[str, ...]
    at: Expr | None = None


def const(value: float | int | bool, dtype: str | None = None) -> Expr:
    if dtype is None:
        dtype = "bool" if isinstance(value, bool) else "i32" if isinstance(value, int) else "f32"
    return Expr("const", (), value, dtype)


def wrap(value) -> Expr:
    """A number or an expression, as an expression."""
    return value if isinstance(value, Expr) else const(value)


def cast(value, dtype: str) -> Expr:
    value = wrap(value)
    if value.dtype == dtype:
        return value
    if value.op == "const":
        return const(float(value.attr) if dtype[0] == "f" else int(value.attr), dtype)
    return Expr("cast", (value,), None, dtype)


def common(*values) -> tuple[list[Expr], str]:
    """The values brought to one dtype: the highest among those that are not numbers."""
    values = [wrap(v) for v in values]
    firm = [v.dtype for v in values if v.op != "const"] or [v.dtype for v in values]
    dtype = max(firm, key=RANK.get)
    if dtype in ("bool", "i32") and any(v.dtype == "f32" for v in values):
        dtype = "f32"
    return [cast(v, dtype) for v in values], dtype


def binary(op: str, left, right) -> Expr:
    if op in ("and", "or"):
        return Expr(op, (truth(left), truth(right)), None, "bool")
    (left, right), dtype = common(left, right)
    if op in ("add", "sub", "mul", "div") and dtype == "bool":
        left, right, dtype = cast(left, "i32"), cast(right, "i32"), "i32"
    if op == "div" and dtype == "i32":
        left, right, dtype = cast(left, "f32"), cast(right, "f32"), "f32"
    return Expr(op, (left, right), None, "bool" if op in COMPARE else dtype)


def bits(op: str, left, right) -> Expr:
    """"and", "shl" or "shr" of two whole numbers, the second one not negative."""
    return Expr("bits", (cast(left, "i32"), cast(right, "i32")), op, "i32")


def two_to(n) -> Expr:
    return bits("shl", 1, n)


def below(i, n) -> Expr:
    """The number that the digits of i below that of 2^n make."""
    return bits("and", i, two_to(n) - 1)


def truth(value) -> Expr:
    value = wrap(value)
    return value if value.dtype == "bool" else binary("ne", value, 0)


def where(condition, yes, no) -> Expr:
    (yes, no), dtype = common(yes, no)
    return Expr("select", (truth(condition), yes, no), None, dtype)


def unary(op: str, value) -> Expr:
    value = wrap(value)
    if value.dtype in ("bool", "i32") and op not in ("abs", "sign", "relu"):
        value = cast(value, "f32")
    return Expr(op, (value,), None, value.dtype)


def power(value, exponent: float | int) -> Expr:
    """`value ** exponent` for a constant exponent: products for whole ones up to 16, roots for halves, else pow."""
    value = wrap(value)
    if isinstance(exponent, Expr):
        raise TypeError("the exponent of pow is a number")
    if value.dtype in ("bool", "i32"):
        value = cast(value, "f32")
    if exponent == 0:
        return const(1.0, value.dtype)
    if exponent < 0:
        return 1.0 / power(value, -exponent) if exponent != -0.5 else unary("rsqrt", value)
    if exponent == 0.5:
        return unary("sqrt", value)
    if exponent == int(exponent) and exponent <= 16:
        half = power(value, int(exponent) // 2) if exponent > 1 else None
        whole = value if half is None else half * half
        return whole * value if half is not None and int(exponent) % 2 else whole
    return Expr("pow", (value,), float(exponent), value.dtype)
