"""What must hold between the parts of a spec, and what is legal but worth a note."""
from __future__ import annotations

from ..diagnostics import NOWHERE, Diagnostic, error
from ..spec.nodes import Spec
from .facts import kinds
from .model import Model
from .scope import Scope
from .terms import Term, walk


def check_dims(spec: Spec, scope: Scope) -> None:
    """Every dim of a shape is bound by an input that every call gives, a learned start, or `dims`."""
    for dim, binds in scope.bound.items():
        if not binds:
            raise error("unbound-dim", f"no required input has the dimension {dim!r}, so a call can't say how large it is",
                        scope.entries[dim].pos, hint=f"derive it, as in dims: {{{dim}: 4*K}}, or write a number")


def check_rule(spec: Spec) -> None:
    rule = spec.rule
    if rule.end and rule.gradient_chunk is None:
        raise error("missing-chunk", "`end` runs after each run of b tokens, and no run length is given",
                    rule.places.get(("end", ""), NOWHERE), hint="add gradient: {chunk: 16}")


def check_cache(spec: Spec) -> None:
    rule, cache = spec.rule, spec.cache
    if cache is None:
        return
    place = cache.places.get(("segments", ""), cache.pos)
    for what, length in [("length", cache.segments.length), *(("search", n) for n in cache.segments.search)]:
        if rule.gradient_chunk and length % rule.gradient_chunk:
            at = cache.places.get(("segments", what), place)
            raise error("segment-length", f"a segment of {length} tokens is not a whole number of runs of "
                        f"{rule.gradient_chunk}", at,
                        hint=f"gradient: {{chunk: {rule.gradient_chunk}}} is part of the model; the segment's length "
                             "must be a multiple of it")
    if cache.top is not None and cache.score is None:
        raise error("missing-score", "select takes the segments of highest score, but the cache has no score",
                    cache.places.get(("select", ""), cache.pos), hint="add a key score, as in score: dot(u, summary)")


def notes(model: Model) -> tuple[Diagnostic, ...]:
    """Notes on a model without errors."""
    out: list[Diagnostic] = []
    cache = model.cache
    if cache is not None and cache.top is not None and "score" not in _online(cache.weight):
        block = model.spec.cache
        at = block.places.get(("select", ""), block.pos) if block else NOWHERE
        out.append(Diagnostic("score-only-selects", "a score used only to select has no gradient", at,
                              hint="use it in the weight too, as in weight: softmax(score)", severity="note"))
    used = {t["name"] for t in walk(*_roots(model)) if t.op == "input"}
    for name, declared in model.inputs.items():
        if name not in used:
            out.append(Diagnostic("unused-input", f"input {name!r} has no effect on the output", declared.pos,
                                  severity="note"))
    if cache is not None and not kinds(model.read) & {"old", "new"}:
        out.append(Diagnostic("nothing-cached", "read uses no state, so there is nothing to cache", model.spec.rule.read.pos,
                              severity="note"))
    return tuple(out)


def _online(t: Term) -> set[str]:
    return {node["name"] for node in walk(t) if node.op == "online"}


def _roots(model: Model) -> list[Term]:
    """Every term of a model that can reach the output, objective included."""
    cache = model.cache
    parts = [*model.inits.values(), *model.update.values(), *model.end.values(), model.read, model.output,
             model.objective]
    if cache is not None:
        parts += [cache.weight, cache.score, cache.summary[1] if cache.summary else None]
    return [p for p in parts if p is not None]
