"""A model as formulas, the way its source prints them: for the heads of generated files."""
from __future__ import annotations

from ..symbolic.model import Model


def formulas(model: Model) -> str:
    """The spec's own lines for what is computed, indented."""
    raw = model.spec.raw
    rule, cache = raw["rule"], raw.get("cache")
    lines = []
    for block in ("let", "functions", "update", "end"):
        lines += [f"    {name + (': ' if block == 'functions' else ' = ')}{text}" for name, text in rule.get(block, {}).items()]
    lines.append(f"    read = {rule['read']}")
    if cache is not None:
        shown = cache if model.cache.top is None else {**cache, "select": f"top {model.cache.top}"}
        lines += [f"    {key} = {shown[key]}" for key in ("summary", "score", "weight", "select", "mix") if key in shown]
        lines.append(f"    segments of {model.cache.segments.length} tokens, {model.cache.segments.start}")
    if "output" in rule:
        lines.append(f"    y = {rule['output']}")
    return "\n".join(line.replace("\\", "\\\\").replace('"""', "'''") for line in lines)
