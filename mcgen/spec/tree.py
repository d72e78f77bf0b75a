"""YAML text -> a tree of mappings, lists and text, each with its place. Nothing is constructed, all scalars stay text.

What YAML would do beyond that is refused or bounded: tags, duplicate keys, deep nesting, aliases that unfold into
more than a spec can need. `no`, `on`, `yes`, `off` are plain words.
"""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Iterator

import yaml
from yaml.composer import Composer
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

from ..diagnostics import Pos, error, quote
from .positions import Source, align

MAX_TEXT = 200_000     # characters in one file
MAX_NODES = 20_000     # nodes after aliases are unfolded
MAX_DEPTH = 24         # nesting of mappings and lists


@dataclass(frozen=True)
class Node:
    pos: Pos


@dataclass(frozen=True)
class Text(Node):
    """A scalar. `offsets` are the places of its characters in `source`; `plain` if it is unquoted."""

    value: str
    plain: bool = True
    source: Source | None = field(default=None, repr=False, compare=False)
    offsets: tuple[int, ...] = field(default=(), repr=False, compare=False)

    def span(self, start: int, end: int) -> Pos:
        """The place of value[start:end]."""
        if self.source is None:
            return self.pos
        start = min(start, len(self.offsets) - 1)
        last = min(max(end - 1, start), len(self.offsets) - 1)
        return self.source.pos(self.offsets[start], self.offsets[last] + 1)

    @property
    def empty(self) -> bool:
        return self.plain and self.value in ("", "~", "null")


@dataclass(frozen=True)
class List(Node):
    items: tuple[Node, ...]


@dataclass(frozen=True)
class Map(Node):
    """A mapping, in the file's order. `flow` if written with braces."""

    entries: tuple[tuple[Text, Node], ...]
    flow: bool = False

    def __iter__(self) -> Iterator[tuple[Text, Node]]:
        return iter(self.entries)

    def get(self, name: str) -> Node | None:
        return next((value for key, value in self.entries if key.value == name), None)

    def key(self, name: str) -> Text | None:
        return next((key for key, _ in self.entries if key.value == name), None)

    def without(self, *names: str) -> Map:
        return Map(self.pos, tuple(e for e in self.entries if e[0].value not in names), self.flow)


class _Loader(Reader, Scanner, Parser, Composer, BaseResolver):
    """PyYAML without constructors and without implicit types."""

    def __init__(self, source: Source):
        Reader.__init__(self, source.text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        BaseResolver.__init__(self)
        self.source = source
        self.depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.depth += 1
        event = self.peek_event()
        place = self.source.pos(event.start_mark.index, event.end_mark.index)
        if self.depth > MAX_DEPTH:
            raise error("too-deep", f"nested more than {MAX_DEPTH} levels deep", place)
        if getattr(event, "tag", None) is not None:
            raise error("yaml-tag", f"tags are not part of the language: {quote(event.tag)}", place,
                        hint="remove it; every value is text, a number, a list or a mapping")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def parse_yaml(text: str, name: str) -> Node:
    """The tree of one YAML document. Raises SpecError, whatever the text holds."""
    source = Source(name, text.replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff"))
    if len(text) > MAX_TEXT:
        raise error("too-large", f"{len(text)} characters; a spec has at most {MAX_TEXT}", Pos(name, 1, 1))
    try:
        loader = _Loader(source)
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as e:
        mark = e.problem_mark or e.context_mark
        place = source.pos(mark.index, mark.index + 1) if mark else source.pos(0, 1)
        problem = " ".join((e.problem or e.context or "not YAML").split())
        if "quoted scalar" in (e.context or "") and "end of stream" in problem and e.context_mark:
            place, problem = source.pos(e.context_mark.index, e.context_mark.index + 1), "the quote is never closed"
        raise error("yaml-syntax", problem[:200], place, hint=_yaml_hint(problem)) from None
    except yaml.reader.ReaderError as e:
        place = source.pos(e.position, e.position + 1)
        raise error("yaml-syntax", f"character U+{ord(source.text[e.position]):04X} is not allowed", place) from None
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as e:
        raise error("yaml-syntax", f"not YAML ({type(e).__name__})", source.pos(0, 1)) from None
    if node is None:
        raise error("yaml-syntax", "the file is empty", source.pos(0, 1), hint="a spec has at least a rule")
    return _Converter(source).convert(node, 0)


def _yaml_hint(problem: str) -> str | None:
    if "expected ',' or" in problem or "flow" in problem or "mapping values" in problem:
        return "put an expression that holds any of , : [ ] { } in quotes"
    if "block end" in problem:
        return "what belongs together begins in one column; a spec has no '- ' before its keys"
    if "tab" in problem or r"'\t'" in problem:
        return "YAML is indented with spaces"
    return None


class _Converter:
    """PyYAML nodes -> our tree, counting."""

    def __init__(self, source: Source):
        self.source = source
        self.count = 0

    def convert(self, node: yaml.Node, depth: int) -> Node:
        start, end = node.start_mark.index, node.end_mark.index
        place = self.source.pos(start, max(end, start + 1))
        self.count += 1
        if self.count > MAX_NODES:
            raise error("too-large", f"more than {MAX_NODES} values, aliases unfolded", place)
        if depth > MAX_DEPTH:
            raise error("too-deep", f"nested more than {MAX_DEPTH} levels deep", place)
        if isinstance(node, yaml.ScalarNode):
            return self.text(node, start, end)
        if isinstance(node, yaml.SequenceNode):
            return List(place, tuple(self.convert(item, depth + 1) for item in node.value))
        return self.mapping(node, place, depth)

    def text(self, node: yaml.ScalarNode, start: int, end: int) -> Text:
        raw = self.source.text[start:end]
        offsets = tuple(align(raw, start, node.value, node.style))
        stop = start + len(raw.rstrip())
        if node.style in ("|", ">") and node.value.strip():
            start, stop = offsets[0], offsets[len(node.value.rstrip()) - 1] + 1
        return Text(self.source.pos(start, stop), node.value, node.style is None, self.source, offsets)

    def mapping(self, node: yaml.MappingNode, place: Pos, depth: int) -> Map:
        entries: list[tuple[Text, Node]] = []
        seen: dict[str, Text] = {}
        for key_node, value_node in node.value:
            key = self.convert(key_node, depth + 1)
            if not isinstance(key, Text):
                raise error("wrong-kind", "a key must be a word", key.pos,
                            hint="put an expression that holds any of , : [ ] { } in quotes")
            value = self.convert(value_node, depth + 1)
            if node.flow_style and isinstance(value, Text) and value.plain and not value.value:
                raise error("missing-value", f"key {quote(key.value)} has no value", key.pos,
                            hint="inside {} YAML splits at commas: put the expression in quotes, "
                                 "as in {S: \"S + outer(k, v)\"}")
            if key.value in seen:
                raise error("duplicate-key", f"key {quote(key.value)} is given twice", key.pos,
                            notes=[f"first given at {seen[key.value].pos}"])
            seen[key.value] = key
            entries.append((key, value))
        return Map(place, tuple(entries), bool(node.flow_style))
