"""Names in generated text. A program's own names have dots (`new.state.S`), which no name of a spec has; identifiers don't."""
from __future__ import annotations

from .nodes import Value

_WORDS = {"dot": "product", "sum": "total", "max": "largest", "cumsum": "running", "collect": "cached", "expose": "at_end", "keep": "kept",
          "solve": "solved", "cumprod": "factors", "decayed": "decayed", "pair": "P", "papply": "spread", "pfactor": "by_factor",
          "topk": "chosen", "dense_solve": "solved", "where": "masked", "choose": "masked", "div": "ratio", "sub": "difference", "add": "added", "neg": "minus", "mul": "scaled",
          "float": "number", "maximum": "at_least", "minimum": "at_most"}


def stem(value: Value) -> str:
    """What to call a value: its name, or a word for its operation."""
    op = value["fn"] if value.op == "map" else value.op
    return value.name or ("mask" if value.dtype == "b" and op != "topk" else _WORDS.get(op, op))


def fresh(stem: str, taken: set[str]) -> str:
    """The stem as an identifier, with a number where it is taken; taken from now on."""
    stem = stem.replace(".", "_")
    name, i = stem, 1
    while name in taken:
        i += 1
        name = f"{stem}{i}"
    taken.add(name)
    return name
