"""Tree -> Rule, Cache: every key of the language, read in the file's order. Names and types are checked later."""
from __future__ import annotations

import re
from typing import Callable, TypeVar

from ..diagnostics import Pos, error, quote
from . import fields
from .nodes import Cache, Call, Domain, Expr, Function, Input, Num, Rule, Segments, State, Summary
from .tree import List, Map, Node, Text

T = TypeVar("T")
TOP_KEYS = ("name", "summary", "sources", "rule", "cache")
RULE_KEYS = ("use", "inputs", "dims", "constants", "let", "state", "functions", "objective", "gradient", "update",
             "end", "read", "output")
CACHE_KEYS = ("use", "inputs", "constants", "let", "segments", "summary", "score", "weight", "select", "mix")
INPUT_KEYS = ("shape", "per", "domain", "default", "doc")
STATE_KEYS = ("shape", "init", "domain")
SEGMENT_KEYS = ("length", "start", "growth", "search")


def build_rule(block: Map) -> Rule:
    """The `rule` block, `use` already resolved."""
    fields.check_keys(block, "a rule", RULE_KEYS)
    for key in ("inputs", "state", "read"):
        _only(block, key, "the rule")
    inputs = _table(block, "inputs", build_input)
    if not any(i.per == "token" for i in inputs.values()):
        raise error("missing-key", "a rule needs an input per token", _only(block, "inputs", "the rule").pos)
    objective, output = block.get("objective"), block.get("output")
    return Rule(
        inputs=inputs,
        state=_table(block, "state", build_state),
        read=fields.expression(_only(block, "read", "the rule"), "read"),
        dims=_expressions(block, "dims"),
        constants=_expressions(block, "constants"),
        let=_expressions(block, "let"),
        functions=_functions(block.get("functions")),
        objective=None if objective is None else fields.expression(objective, "objective"),
        gradient_chunk=_gradient(block.get("gradient")),
        update=_expressions(block, "update"),
        end=_expressions(block, "end"),
        output=None if output is None else fields.expression(output, "output"),
        places=_places(block),
    )


def build_cache(block: Map) -> Cache:
    """The `cache` block, `use` already resolved."""
    fields.check_keys(block, "a cache", CACHE_KEYS)
    score, weight, mix = block.get("score"), block.get("weight"), block.get("mix")
    return Cache(
        inputs=_table(block, "inputs", build_input),
        constants=_expressions(block, "constants"),
        let=_expressions(block, "let"),
        segments=_segments(block.get("segments")),
        summary=_summary(block.get("summary")),
        score=None if score is None else fields.expression(score, "score"),
        weight=Num(1, pos=block.pos) if weight is None else fields.expression(weight, "weight"),
        top=_select(block.get("select")),
        mix="reads" if mix is None else fields.choice(mix, "mix", ("reads", "states")),
        pos=block.pos,
        places=_places(block),
    )


def _places(block: Map) -> dict[tuple[str, str], Pos]:
    """(key, name) -> where the name is written; (key, '') -> where the key is written."""
    out = {(key.value, ""): key.pos for key, _ in block}
    for key, value in block:
        if isinstance(value, Map):
            out |= {(key.value, name.value): name.pos for name, _ in value}
    return out


def _table(block: Map, key: str, read: Callable[[str, Node, Text], T]) -> dict[str, T]:
    node = block.get(key)
    return {} if node is None else fields.table(node, key, read)


def _expressions(block: Map, key: str) -> dict[str, Expr]:
    return _table(block, key, lambda name, node, _: fields.expression(node, f"{key} {name}"))


def build_input(name: str, node: Node, key: Text) -> Input:
    """`[K]`, or a mapping with `shape` and more."""
    what = f"input {name!r}"
    if isinstance(node, List):
        return Input(name, fields.shape(node, what), pos=key.pos)
    shape, block = _shaped(node, what, INPUT_KEYS)
    per, domain, default, doc = (block.get(k) for k in ("per", "domain", "default", "doc"))
    where = Domain() if domain is None else fields.domain(domain, what, len(shape))
    value = None if default is None else float(fields.number(default, f"the default of {what}"))
    if value is not None and default is not None and (where.kind == "unit" or not where.lo <= value <= where.hi):
        raise error("bad-value", f"the default {value:g} of {what} lies outside its domain", default.pos)
    return Input(
        name=name, shape=shape, domain=where, default=value, pos=key.pos,
        per="token" if per is None else fields.choice(per, f"'per' of {what}", ("token", "head")),
        doc="" if doc is None else " ".join(fields.as_text(doc, f"the doc of {what}").value.split()),
    )


def build_state(name: str, node: Node, key: Text) -> State:
    """`[K, V]`, or a mapping with `shape` and more."""
    what = f"state {name!r}"
    if isinstance(node, List):
        return State(name, fields.shape(node, what), pos=key.pos)
    shape, block = _shaped(node, what, STATE_KEYS)
    init, domain = block.get("init"), block.get("domain")
    start: str | Expr = "zeros"
    if init is not None:
        word = fields.as_text(init, f"the init of {what}").value
        start = word if word in ("zeros", "learned") else fields.expression(init, f"the init of {what}")
    if domain is not None and start != "learned":
        raise error("bad-value", f"only a learned start has a domain; {what} starts otherwise", domain.pos,
                    hint="add init: learned, or remove the domain")
    return State(name, shape, start, Domain() if domain is None else fields.domain(domain, what, len(shape)),
                 pos=key.pos)


def _shaped(node: Node, what: str, keys: tuple[str, ...]) -> tuple[tuple[str | int, ...], Map]:
    if not isinstance(node, Map):
        raise error("wrong-kind", f"{what} must be a shape such as [K, V], or a mapping with a shape", node.pos,
                    hint="a scalar's shape is []")
    fields.check_keys(node, what, keys)
    shape = node.get("shape")
    if shape is None:
        raise error("missing-key", f"{what} has no key 'shape'", node.pos, hint="a scalar's shape is []")
    return fields.shape(shape, what), node


def _functions(node: Node | None) -> dict[str, Function]:
    out: dict[str, Function] = {}
    for key, body in () if node is None else fields.as_map(node, "functions"):
        head = re.fullmatch(r"\s*([A-Za-z]\w*)\s*\(([^()]*)\)\s*", key.value)
        if not head:
            raise error("bad-name", f"{quote(key.value)} is not the head of a function", key.pos,
                        hint="write it as M(x): ..., or A(): ...")
        name = fields.identifier(Text(key.pos, head[1]), "a function")
        params = [p.strip() for p in head[2].split(",")] if head[2].strip() else []
        for param in params:
            fields.identifier(Text(key.pos, param), "a parameter")
        if len(set(params)) < len(params):
            raise error("name-clash", f"function {name!r} has two parameters of one name", key.pos)
        if name in out:
            raise error("duplicate-key", f"function {name!r} is declared twice", key.pos,
                        notes=[f"first declared at {out[name].pos}"])
        out[name] = Function(name, tuple(params), fields.expression(body, f"function {name}"), pos=key.pos)
    return out


def _gradient(node: Node | None) -> int | None:
    if node is None or isinstance(node, Text):
        if node is not None:
            fields.choice(node, "gradient", ("token",), "{chunk: b}")
        return None
    block = fields.as_map(node, "gradient")
    fields.check_keys(block, "gradient", ("chunk",))
    return fields.positive(_only(block, "chunk", "gradient"), "chunk")


def _select(node: Node | None) -> int | None:
    if node is None or isinstance(node, Text):
        if node is not None:
            fields.choice(node, "select", ("all",), "{top: n}")
        return None
    block = fields.as_map(node, "select")
    fields.check_keys(block, "select", ("top",))
    return fields.positive(_only(block, "top", "select"), "top")


def _only(block: Map, key: str, what: str) -> Node:
    value = block.get(key)
    if value is None:
        raise error("missing-key", f"{what} has no key {key!r}", block.pos)
    return value


def _segments(node: Node | None) -> Segments:
    if node is None:
        return Segments()
    block = fields.as_map(node, "segments")
    fields.check_keys(block, "segments", SEGMENT_KEYS)
    length, start, growth, search = (block.get(k) for k in SEGMENT_KEYS)
    plain = Segments()
    return Segments(
        plain.length if length is None else fields.positive(length, "the length of a segment"),
        plain.start if start is None else fields.choice(start, "start", ("carry", "fresh")),
        plain.growth if growth is None else fields.choice(growth, "growth", ("constant", "logarithmic")),
        () if search is None else tuple(fields.positive(item, "a length to search")
                                        for item in fields.as_list(search, "search").items),
    )


def _summary(node: Node | None) -> Summary | None:
    if node is None:
        return None
    call = fields.expression(node, "summary")
    if not isinstance(call, Call) or call.fn not in ("mean", "sum") or len(call.args) != 1:
        raise error("bad-value", "summary must be mean(...) or sum(...) over the tokens of a segment", call.pos)
    return Summary(call.fn, call.args[0])
