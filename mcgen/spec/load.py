"""load_spec: a name, a path or a dict -> Spec."""
from __future__ import annotations

import math
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Mapping

import yaml

from ..diagnostics import NOWHERE, McgenError, UsageError, did_you_mean, error, quote
from . import fields
from .build import build_cache, build_rule
from .dump import plain
from .library import NAME, find, library_names, read_text
from .nodes import Spec
from .resolve import Sources, describe, named_block, parse_file, resolve
from .tree import MAX_DEPTH, MAX_NODES, Map, Text

_OP = re.compile(r"[^+/\\.\s]+(\+[^+/\\.\s]+)?")


def load_spec(source: str | os.PathLike[str] | Mapping[str, Any], *,
              constants: Mapping[str, float | str] | None = None, segment_length: int | None = None) -> Spec:
    """The spec of an op.

    source: a name of the library (`rule`, `rule+cache`, or a whole op), the path of a YAML file, or a dict of the
    same form. `constants` and `segment_length` override what the spec says.
    Raises SpecError if the spec is wrong, UsageError if the call is.
    """
    sources = Sources()
    if isinstance(source, Mapping):
        top, file, stem = parse_file(_dict_text(source), "<dict>", sources), "<dict>", ""
    elif not isinstance(source, (str, os.PathLike)):
        raise UsageError(f"a spec is a name, a path or a dict, not {type(source).__name__}", "bad-source")
    elif isinstance(source, str) and _OP.fullmatch(source):
        top, file, stem = _named(source, sources)
    else:
        file = os.fspath(source)
        if isinstance(file, bytes):
            file = os.fsdecode(file)
        stem = Path(file).stem if "\0" not in file else ""
        top = parse_file(read_text(Path(file), file), file, sources)
    return _build(top, file, stem, sources, constants, segment_length)


def load_text(text: str, file: str = "<text>") -> Spec:
    """The spec in a YAML text."""
    sources = Sources()
    return _build(parse_file(text, file, sources), file, "", sources, None, None)


def _named(name: str, sources: Sources) -> tuple[Map, str, str]:
    rule, plus, cache = name.partition("+")
    if plus:
        parts = (("rule", named_block(rule)), ("cache", named_block(cache)))
        return Map(NOWHERE, tuple((Text(NOWHERE, k), v) for k, v in parts)), f"<{name}>", ""
    if rule in library_names("ops"):
        kind = "ops"
    elif rule in library_names("rules") or not NAME.fullmatch(rule):
        kind = "rules"
    else:
        known = library_names("ops") + library_names("rules")
        hint = "a path is told from a name by a '/' or a '.'; `mcgen list` shows all names"
        if rule in library_names("caches"):
            hint = f"{rule!r} is a cache: name it with a rule, as in RULE+{rule}"
        raise error("not-found", f"no rule or op named {quote(name)} in the library" + did_you_mean(rule, known),
                    hint=hint)
    path, shown = find(kind, rule)
    return parse_file(read_text(path, shown), shown, sources), shown, rule


def _build(top: Map, file: str, stem: str, sources: Sources,
           constants: Mapping[str, float | str] | None, segment_length: int | None) -> Spec:
    rule_node, cache_node = top.get("rule"), top.get("cache")
    if rule_node is None:
        hint = "a cache is named together with a rule, as in RULE+CACHE" if cache_node is not None else None
        raise error("missing-key", "the spec has no key 'rule'", top.pos, hint=hint)
    rule_block = resolve(fields.as_map(rule_node, "rule"), "rule", sources)
    cache_block = None
    if cache_node is not None:
        cache_block = resolve(fields.as_map(cache_node, "cache"), "cache", sources)
    if segment_length is not None:
        cache_block = _with_length(cache_block, segment_length)
    if constants:
        rule_block, cache_block = _with_constants(rule_block, cache_block, constants)
    rule = build_rule(rule_block)
    cache = None if cache_block is None else build_cache(cache_block)
    own = Sources()
    describe(top, own)
    spec = Spec(
        name=_name(top, stem, sources.used),
        rule=rule,
        cache=cache,
        summary=" ".join(own.summaries or sources.summaries),
        sources=tuple(own.sources if top.get("sources") is not None else sources.sources),
        file=file,
        text=sources.text,
    )
    return replace(spec, raw=plain(spec, rule_block, cache_block))


def _name(top: Map, stem: str, used: list[str]) -> str:
    node = top.get("name")
    if node is not None:
        return fields.identifier(fields.as_text(node, "name"), "an op")
    if used:
        return "_".join(used)
    return stem if fields.IDENTIFIER.fullmatch(stem) else "op"


def _with_length(block: Map | None, length: Any) -> Map:
    if block is None:
        raise UsageError("segment_length is given, but the spec has no cache", "bad-override")
    if isinstance(length, bool) or not isinstance(length, int) or not 0 < length <= fields.MAX_INTEGER:
        raise UsageError(f"segment_length must be a positive integer, not {length!r}", "bad-override")
    return _set(block, "segments", {"length": str(length)})


def _with_constants(rule: Map, cache: Map | None, constants: Mapping[str, Any]) -> tuple[Map, Map | None]:
    """Each constant replaced in the block that declares it."""
    known = [k.value for b in (rule, cache) if b for k, _ in getattr(b.get("constants"), "entries", ())]
    for name, value in constants.items():
        if name not in known:
            raise UsageError(f"the spec has no constant {quote(name)}" + did_you_mean(str(name), known),
                             "bad-override", "constants: " + (", ".join(known) or "none"))
        if isinstance(value, bool) or not isinstance(value, (int, float, str)) or (
                not isinstance(value, str) and not math.isfinite(value)):
            raise UsageError(f"constant {name!r} must be a finite number or an expression", "bad-override")
        in_rule = rule.get("constants")
        if isinstance(in_rule, Map) and in_rule.get(name) is not None:
            rule = _set(rule, "constants", {name: str(value)})
        else:
            assert cache is not None
            cache = _set(cache, "constants", {name: str(value)})
    return rule, cache


def _set(block: Map, key: str, values: Mapping[str, str]) -> Map:
    """The block with entries of one of its mappings replaced or added."""
    old = block.get(key)
    entries = list(old.entries) if isinstance(old, Map) else []
    for name, value in values.items():
        new = (Text(NOWHERE, name), Text(NOWHERE, value))
        at = next((i for i, (k, _) in enumerate(entries) if k.value == name), len(entries))
        entries[at:at + 1] = [new]
    table = Map(old.pos if old else block.pos, tuple(entries))
    if old is None:
        return Map(block.pos, (*block.entries, (Text(NOWHERE, key), table)), block.flow)
    return Map(block.pos, tuple((k, table if k.value == key else v) for k, v in block), block.flow)


def _dict_text(source: Mapping[str, Any]) -> str:
    """A dict as YAML, so that its errors have lines to point at."""
    count = 0

    def clean(value: Any, depth: int) -> Any:
        nonlocal count
        count += 1
        if depth > MAX_DEPTH or count > MAX_NODES:
            raise UsageError("the dict is too deep or too large to be a spec", "bad-source")
        if isinstance(value, Mapping):
            return {clean(k, depth + 1): clean(v, depth + 1) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return [clean(v, depth + 1) for v in value]
        if value is None or isinstance(value, (str, bool)):
            return str(value) if isinstance(value, str) else value
        if isinstance(value, (int, float)):
            return value if abs(value) <= 2 ** 53 else repr(value)
        raise UsageError(f"a spec holds text, numbers, lists and dicts, not {type(value).__name__}", "bad-source")

    try:
        return yaml.safe_dump(clean(source, 0), sort_keys=False, width=10_000, allow_unicode=True)
    except (yaml.YAMLError, TypeError, ValueError, OverflowError) as e:
        if isinstance(e, McgenError):
            raise
        raise UsageError(f"the dict is not a spec: {e}", "bad-source") from None
