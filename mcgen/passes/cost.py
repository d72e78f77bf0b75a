"""What programs cost, as formulas of dims, the chunk C and the number N of cached memories."""
from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Iterable, Iterator

from ..ir.nodes import Program, Value, bodies, dim_of, is_dim
from .clean import WHOLE, products

_LETTERS = {"c": "C", "d": "C", "mid": "C", "n": "N"}


@dataclass(frozen=True)
class Product:
    """One matrix product of a row. loop: 'slots' inside the loop over cached memories, else ''."""

    value: Value
    loop: str = ""

    def __str__(self) -> str:
        left, right = (_axes(a.axes) for a in self.value.args[:2])
        what = {"solve": ", a triangular system", "pair": ", with factors", "papply": ", with factors"}.get(self.value.op, "")
        return f"{left} x {right} -> {_axes(self.value.axes)}" + what + (", for every cached memory" if self.each else "")

    @property
    def each(self) -> bool:
        return self.loop == "slots" or any("n" in a.axes for a in self.value.args)

    def cost(self) -> "Formula":
        """Multiply-adds a token."""
        axes = {a for x in self.value.args for a in x.axes} | ({"n"} if self.loop == "slots" else set())
        return per_token(axes)


Formula = Counter            # monomial (sorted letters; '/C' for a division by the chunk) -> coefficient


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
    letters = sorted((_LETTERS.get(a) or dim_of(a) for a in axes if a != "r"), key=_rank)
    if "C" in letters:
        letters.remove("C")
        return Formula({tuple(letters): 1})
    return Formula({(*letters, "/C"): 1})


def per_row(axes: Iterable[str]) -> Formula:
    """The elements over dims alone."""
    return Formula({tuple(sorted((dim_of(a) for a in axes), key=_rank)): 1})


def scans(program: Program) -> Formula:
    """Multiply-adds a token of carrying states from row to row, and from token to token."""
    total: Formula = Formula()
    for value in program.order():
        if value.op == "scan":
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
        if v.op in ("map", "sum", "dot", "max", "dense_solve") and axes:
            total += per_token([*axes, "c", *([v["row"] + "'"] if v.op == "dense_solve" else [])])
    return total


def spelled(formula: Formula, factor: int = 1) -> str:
    """A formula as text.

    >>> spelled(per_token(["r", "c", "d", "K"]) + per_token(["c", "K", "V"]) + per_token(["c", "K", "V"]))
    'C K + 2 K V'
    """
    terms = sorted(formula.items(), key=lambda item: ("/C" in item[0], "N" in item[0], -len(item[0]), item[0]))
    parts = []
    for letters, count in terms:
        top = " ".join(x for x in letters if x != "/C")
        number = count * factor
        parts.append(((f"{number} {top}" if number != 1 else top) if top else str(number)) + (" / C" if "/C" in letters else ""))
    return " + ".join(parts) or "0"


def _rank(letter: str) -> tuple[int, str]:
    return ({"N": 0, "C": 1}.get(letter, 3 if letter == "/C" else 2), letter)


def _axes(axes: Iterable[str]) -> str:
    return "[" + ", ".join(a for a in axes if a != "r") + "]"
