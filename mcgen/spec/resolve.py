"""`use`: a named rule or cache from the library, with the keys beside it overriding."""
from __future__ import annotations

from dataclasses import dataclass, field

from ..diagnostics import NOWHERE, error
from . import fields
from .build import TOP_KEYS
from .library import find, read_text
from .tree import Map, Text, parse_yaml

MERGED = ("segments", "constants")     # these merge key by key; any other key is replaced whole
MAX_USES = 8                           # how long a chain of `use` may be
_KIND = {"rule": "rules", "cache": "caches"}


@dataclass
class Sources:
    """What was read on the way: file name -> text, and what the library files say about themselves."""

    text: dict[str, str] = field(default_factory=dict)
    used: list[str] = field(default_factory=list)
    summaries: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)


def parse_file(text: str, shown: str, sources: Sources) -> Map:
    """The top level of a spec file."""
    sources.text[shown] = text
    top = fields.as_map(parse_yaml(text, shown), "a spec")
    fields.check_keys(top, "a spec", TOP_KEYS)
    return top


def describe(top: Map, sources: Sources) -> None:
    """Notes what a file says about itself."""
    summary, listed = top.get("summary"), top.get("sources")
    if summary is not None:
        sources.summaries.append(" ".join(fields.as_text(summary, "summary").value.split()))
    if listed is not None:
        for item in fields.as_list(listed, "sources").items:
            word = fields.as_text(item, "a source").value
            if word not in sources.sources:
                sources.sources.append(word)


def resolve(block: Map, part: str, sources: Sources, depth: int = 0) -> Map:
    """The `rule` or `cache` block without `use`: the named block with this block's keys over it."""
    use = block.get("use")
    if use is None:
        return block
    name = fields.as_text(use, "use")
    if depth >= MAX_USES:
        raise error("use-cycle", f"more than {MAX_USES} blocks use one another", use.pos)
    path, shown = find(_KIND[part], name.value, use.pos)
    top = parse_file(read_text(path, shown), shown, sources)
    base = top.get(part)
    if base is None:
        raise error("missing-key", f"{shown} has no {part}", use.pos)
    if depth == 0:
        sources.used.append(name.value)
    if top.get("summary") is not None or depth == 0:
        describe(top, sources)
    return override(resolve(fields.as_map(base, part), part, sources, depth + 1), block.without("use"))


def override(base: Map, over: Map) -> Map:
    """`over`'s entries over `base`'s, in base's order, new ones last."""
    replaced = {key.value: (key, value) for key, value in over}
    entries = []
    for key, value in base:
        new = replaced.pop(key.value, None)
        if new and key.value in MERGED and isinstance(value, Map) and isinstance(new[1], Map):
            new = (new[0], override(value, new[1]))
        entries.append(new or (key, value))
    entries += replaced.values()
    return Map(over.pos, tuple(entries), over.flow)


def named_block(name: str) -> Map:
    """`{use: name}`, written by nobody."""
    return Map(NOWHERE, ((Text(NOWHERE, "use"), Text(NOWHERE, name)),))
