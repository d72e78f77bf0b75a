"""Spec -> plain dicts -> YAML: the spec with `use` and overrides resolved, in one canonical form."""
from __future__ import annotations

import re
from typing import Any

import yaml

from .build import CACHE_KEYS, RULE_KEYS
from .nodes import Spec
from .tree import List, Map, Node, Text

_INTEGER = re.compile(r"-?(0|[1-9]\d{0,14})")
_FLOAT = re.compile(r"-?\d+\.\d+(e[+-]?\d+)?")
_LINE = 100


def plain(spec: Spec, rule: Map, cache: Map | None) -> dict[str, Any]:
    """What `spec.raw` holds: dicts, lists, text and numbers that load to the same spec."""
    out: dict[str, Any] = {"name": spec.name}
    if spec.summary:
        out["summary"] = spec.summary
    if spec.sources:
        out["sources"] = list(spec.sources)
    out["rule"] = _block(rule, RULE_KEYS)
    if cache is not None:
        out["cache"] = _block(cache, CACHE_KEYS)
    return out


def _block(block: Map, order: tuple[str, ...]) -> dict[str, Any]:
    found = {key.value: _value(value) for key, value in block}
    return {key: found[key] for key in order if key in found}


def _value(node: Node) -> Any:
    if isinstance(node, Map):
        return {key.value: _value(value) for key, value in node}
    if isinstance(node, List):
        return [_value(item) for item in node.items]
    assert isinstance(node, Text)
    text = node.value.strip()
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text) and repr(float(text)) == text:
        return float(text)
    return " ".join(text.split())


def dump_spec(spec: Spec) -> str:
    """Canonical YAML: declarations on one line each, everything else in blocks. Loads to the same spec."""
    node = _node(spec.raw, 0)
    return yaml.serialize(node, Dumper=_Dumper, width=10_000, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    """Lists indented below their key, no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def anchor_node(self, node: yaml.Node) -> None:      # equal scalars are never shared
        self.anchors[node] = None
        for child in getattr(node, "value", ()) if not isinstance(node, yaml.ScalarNode) else ():
            for part in child if isinstance(child, tuple) else (child,):
                self.anchor_node(part)


def _node(value: Any, depth: int) -> yaml.Node:
    """Depth 0: the spec; 1: rule, cache; 2: a key's value; 3: a declaration, which stands on one line if it fits."""
    if isinstance(value, dict):
        pairs = [(_node(k, depth), _node(v, depth + 1)) for k, v in value.items()]
        flow = not pairs or (depth >= 2 and (depth > 2 or set(value) & {"length", "chunk", "top"} != set()))
        if flow and len(str(value)) > _LINE:
            flow = False
        return yaml.MappingNode("tag:yaml.org,2002:map", pairs, flow_style=flow)
    if isinstance(value, (list, tuple)):
        return yaml.SequenceNode("tag:yaml.org,2002:seq", [_node(v, depth + 1) for v in value], flow_style=True)
    if isinstance(value, bool) or value is None:
        raise TypeError(f"not part of a spec: {value!r}")
    kind = {int: "int", float: "float"}.get(type(value), "str")
    return yaml.ScalarNode(f"tag:yaml.org,2002:{kind}", str(value))
