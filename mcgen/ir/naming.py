"""Names in generated text. A program's own names have dots (`new.state.S`), which no name of a spec has; identifiers don't."""
from __future__ import annotations


def fresh(stem: str, taken: set[str]) -> str:
    """The stem as an identifier, with a number where it is taken; taken from now on."""
    stem = stem.replace(".", "_")
    name, i = stem, 1
    while name in taken:
        i += 1
        name = f"{stem}{i}"
    taken.add(name)
    return name
