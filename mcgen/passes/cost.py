"""What programs cost, as formulas of dims, the tokens of a chunk and the number of cached memories."""
from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from typing import Iterable, Iterator

from ..ir.nodes import Program, Value, bodies, dim_of, is_dim
from .clean import WHOLE, products
from .letters import CHUNK, SLOTS, USUAL, Letters
from .token_loops import over_tokens

_SIZES = {"c": CHUNK, "d": CHUNK, "mid": CHUNK, "n": SLOTS, "l": "levels", "m": "units"}


@dataclass(frozen=True)
class Product:
    """One matrix product of a row. loop: 'slots' inside the loop over cached memories, else ''."""

    value: Value
    loop: str = ""

    def text(self, letters: Letters) -> str:
        """The shapes of its operands and its result."""
        left, right = (_axes(a.axes, letters) for a in self.value.args[:2])
        what = {"solve": ", a triangular system", "pair": ", with factors", "papply": ", with factors"}.get(self.value.op, "")
        return f"{left} x {right} -> {_axes(self.value.axes, letters)}" + what + (", for every cached memory" if self.each else "")

    @property
    def each(self) -> bool:
        return self.loop == "slots" or any("n" in a.axes for a in self.value.args)

    def cost(self) -> "Formula":
        """Multiply-adds a token."""
        axes = {a for x in self.value.args for a in x.axes} | ({"n"} if self.loop == "slots" else set())
        return per_token(axes)


Formula = Counter            # monomial (sorted sizes; OVER for a division by the chunk) -> coefficient
OVER = "/" + CHUNK


def all_products(program: Program, loop: str = "") -> Iterator[Product]:
    """The products of a program and of the loops in it."""
    for value in products(program):
        yield Product(value, loop)
    for value in program.order():
        for body in bodies(value):
            yield from _inner(body, value.op)


def _inner(body: Program, loop: str) -> Iterator[Product]:
    """Inside the loop over memories a value has one memory: a product then has a side without tokens."""
    for value in body.order():
        if value.op in WHOLE:
            yield Product(value, loop)
        if value.op == "dot" and {"c", "d"} & {a for x in value.args for a in x.axes} and len(value.axes) > len({"r"} & set(value.axes)) + 1:
            yield Product(value, loop)


def per_token(axes: Iterable[str]) -> Formula:
    """The elements of a row over these axes, divided by the row's tokens."""
    sizes = sorted((_SIZES.get(a) or dim_of(a) for a in axes if a != "r"), key=_rank)
    if CHUNK in sizes:
        sizes.remove(CHUNK)
        return Formula({tuple(sizes): 1})
    return Formula({(*sizes, OVER): 1})


def per_row(axes: Iterable[str]) -> Formula:
    """The elements over dims alone."""
    return Formula({tuple(sorted((dim_of(a) for a in axes), key=_rank)): 1})


def scans(program: Program) -> Formula:
    """Multiply-adds a token of carrying states from row to row, and from token to token."""
    total: Formula = Formula()
    for value in program.order():
        if over_tokens(value):
            total += _each_token(value["body"])
        elif value.op == "scan":
            for param in value["body"].params[: value["carries"]]:
                if any(map(is_dim, param.axes)):
                    total += per_token(param.axes)
            for inner in value["body"].order():
                if inner.op == "scan":
                    total += _each_token(inner["body"])
    return total


def _each_token(body: Program) -> Formula:
    """Arithmetic of a token's step on what has a dimension."""
    total: Formula = Formula()
    for v in body.order():
        axes = {a for x in (v, *v.args) for a in x.axes if is_dim(a)}
        if v.op in ("map", "sum", "dot", "max") and axes:
            total += per_token([*axes, "c"])
        elif v.op == "dense_solve":
            total += per_token([*(a for a in v.axes if is_dim(a)), v["row"], "c"])
            for sizes, count in per_token([v["row"]] * 3 + ["c"]).items():
                total[sizes] += count * Fraction(1, 6 if v["definite"] else 3)
    return total


def spelled(formula: Formula, factor: int = 1, letters: Letters = USUAL) -> str:
    """A formula as text.

    >>> spelled(per_token(["r", "c", "d", "K"]) + per_token(["c", "K", "V"]) + per_token(["c", "K", "V"]))
    'C K + 2 K V'
    >>> spelled(per_token(["c", "C", "C~", "d"]), letters={**USUAL, CHUNK: "L"})
    'L C^2'
    """
    terms = sorted(formula.items(), key=lambda item: (OVER in item[0], SLOTS in item[0], -len(item[0]), item[0]))
    parts = []
    for sizes, count in terms:
        powers = Counter(letters[x] if x in (CHUNK, SLOTS) else x for x in sizes if x != OVER)
        top = " ".join(x if n == 1 else f"{x}^{n}" for x, n in powers.items())
        number = count * factor
        parts.append(((f"{number} {top}" if number != 1 else top) if top else str(number)) + (f" / {letters[CHUNK]}" if OVER in sizes else ""))
    return " + ".join(parts) or "0"


def _rank(size: str) -> tuple[int, str]:
    return ({SLOTS: 0, CHUNK: 1, OVER: 3}.get(size, 2), size)


def _axes(axes: Iterable[str], letters: Letters) -> str:
    return "[" + ", ".join(letters.get(a, a.rstrip(".")) for a in axes if a != "r") + "]"
