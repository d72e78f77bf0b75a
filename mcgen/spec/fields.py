"""Reading single values out of the tree: words, numbers, shapes, domains. One function a kind of value."""
from __future__ import annotations

import keyword
import math
import re
from typing import Callable, Iterable, TypeVar

from ..diagnostics import did_you_mean, error, quote
from .nodes import Domain, Expr
from .expressions import parse_expression
from .tree import List, Map, Node, Text

IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
MAX_INTEGER = 2 ** 31 - 1
_KINDS = {Text: "text", List: "a list", Map: "a mapping"}
_SINGULAR = {"inputs": "an input", "dims": "a dimension", "constants": "a constant", "let": "a let name",
             "state": "a state", "update": "a state", "end": "a state"}
T = TypeVar("T")


def as_map(node: Node, what: str) -> Map:
    if isinstance(node, Map):
        return node
    if isinstance(node, Text) and node.empty:
        return Map(node.pos, ())
    raise error("wrong-kind", f"{what} must be a mapping, not {_KINDS[type(node)]}", node.pos,
                hint="NAME: VALUE for each, without '- ' or [ ] around them" if isinstance(node, List) else None)


def as_text(node: Node, what: str) -> Text:
    if isinstance(node, Text):
        return node
    raise error("wrong-kind", f"{what} must be text, not {_KINDS[type(node)]}", node.pos)


def as_list(node: Node, what: str) -> List:
    if isinstance(node, List):
        return node
    raise error("wrong-kind", f"{what} must be a list, not {_KINDS[type(node)]}", node.pos,
                hint="a list is written [K, V]; a scalar's shape is []" if "shape" in what else None)


def check_keys(block: Map, what: str, known: Iterable[str]) -> None:
    known = list(known)
    for key, _ in block:
        if key.value not in known:
            raise error("unknown-key", f"{what} has no key {quote(key.value)}" + did_you_mean(key.value, known),
                        key.pos, hint="known keys: " + ", ".join(known))


def identifier(key: Text, what: str) -> str:
    """A name that a spec gives."""
    name = key.value
    if not IDENTIFIER.fullmatch(name):
        raise error("bad-name", f"{quote(name)} can't name {what}", key.pos,
                    hint="a name has letters, digits and _, and begins with a letter")
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        raise error("reserved-name", f"{quote(name)} is a word of Python's and can't name {what}", key.pos)
    return name


def expression(node: Node, what: str) -> Expr:
    return parse_expression(as_text(node, what))


def choice(node: Node, what: str, options: Iterable[str], other: str = "") -> str:
    """One of some words; `other` says what may stand there beside a word."""
    text, options = as_text(node, what), list(options)
    if text.value not in options:
        raise error("bad-value", f"{what} can't be {quote(text.value)}" + did_you_mean(text.value, options), text.pos,
                    hint="one of: " + ", ".join([*options, *([other] if other else [])]))
    return text.value


def number(node: Node, what: str, infinite: bool = False) -> float | int:
    """A number; with `infinite` also inf and -inf, in YAML's spelling or Python's."""
    text = as_text(node, what)
    word = text.value.strip().lower().removeprefix("+")
    if infinite and word in ("inf", ".inf", "-inf", "-.inf"):
        return -math.inf if word.startswith("-") else math.inf
    if re.fullmatch(r"-?\d{1,15}", word):
        return int(word)
    if re.fullmatch(r"-?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", word) and len(word) < 64 and math.isfinite(float(word)):
        return float(word)
    raise error("bad-value", f"{what} must be a number, not {quote(text.value)}", text.pos)


def positive(node: Node, what: str) -> int:
    text = as_text(node, what)
    word = text.value.strip()
    if not re.fullmatch(r"\d{1,15}", word) or not 0 < int(word) <= MAX_INTEGER:
        raise error("bad-value", f"{what} must be a positive integer, not {quote(text.value)}", text.pos)
    return int(word)


def shape(node: Node, what: str) -> tuple[str | int, ...]:
    """Names of dims and positive integers."""
    items = as_list(node, f"the shape of {what}").items
    if len(items) > 2:
        raise error("bad-shape", f"{what} has {len(items)} axes; values are scalars, vectors or matrices", node.pos,
                    hint="the axes [B, T, H] are implied")
    out: list[str | int] = []
    for item in items:
        text = as_text(item, f"an entry of the shape of {what}")
        if text.value.lstrip("-").isdigit():
            out.append(positive(text, f"an entry of the shape of {what}"))
        elif not IDENTIFIER.fullmatch(text.value):
            raise error("bad-shape", f"{quote(text.value)} is neither a dimension nor a positive integer", text.pos,
                        hint="a derived dimension is named first: dims: {D: 4*K}")
        else:
            out.append(identifier(text, "a dimension"))
    return tuple(out)


def domain(node: Node, what: str, rank: int) -> Domain:
    if isinstance(node, Text):
        kind = choice(node, f"the domain of {what}", ("real", "unit"), "[lo, hi]")
        if kind == "unit" and rank == 0:
            raise error("bad-value", f"{what} is a scalar and can't have the domain 'unit'", node.pos)
        return Domain(kind)
    items = as_list(node, f"the domain of {what}").items
    if len(items) != 2:
        raise error("bad-value", f"the domain of {what} must be real, unit or [lo, hi]", node.pos)
    lo, hi = (float(number(item, f"a bound of the domain of {what}", infinite=True)) for item in items)
    if not lo < hi:
        raise error("bad-value", f"the domain of {what} is empty: {lo:g} is not below {hi:g}", node.pos)
    return Domain() if math.isinf(lo) and math.isinf(hi) else Domain("interval", lo, hi)


def table(node: Node, what: str, read: Callable[[str, Node, Text], T]) -> dict[str, T]:
    """A mapping from names to something, in order; read(name, value, key)."""
    singular = _SINGULAR.get(what, what)
    return {identifier(key, singular): read(key.value, value, key) for key, value in as_map(node, what)}
