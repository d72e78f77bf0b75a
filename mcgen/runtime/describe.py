"""An op's signature, its docstring, and the text of its package's `__init__.py`, in the spec's own names."""
from __future__ import annotations

import inspect

from .manifest import Field, Manifest, parse_manifest
from .plan import words


class _Required:
    """Stands where Python wants a default after an optional input, for an input that has none."""

    def __repr__(self) -> str:
        return "required"


def signature(manifest: Manifest) -> inspect.Signature:
    """The op's call: inputs by position or name, learned starts and the call's keywords by name."""
    parameters, optional = [], False
    for field in manifest.inputs:
        default = inspect.Parameter.empty if field.default is None else field.default
        optional = optional or field.default is not None
        if optional and default is inspect.Parameter.empty:
            default = _Required()
        parameters.append(inspect.Parameter(field.name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation="Tensor"))
    parameters += [_keyword(f.name, inspect.Parameter.empty, "Tensor") for f in manifest.fields if f.keyword]
    parameters += [_keyword("memory", None, "dict | None"), _keyword("return_memory", None, "bool | None")]
    if manifest.cache:
        parameters.append(_keyword("return_weights", False, "bool"))
    parameters.append(_keyword("cu_seqlens", None, "Tensor | None"))
    return inspect.Signature(parameters)


def _keyword(name: str, default: object, annotation: str) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def document(manifest: Manifest) -> str:
    """The docstring: a line an input with shape, domain and meaning; what comes back; the cache; where it is from."""
    blank = inspect.Parameter.empty
    bare = inspect.Signature([p.replace(annotation=blank) for p in signature(manifest).parameters.values()])
    lines = [f"{manifest.name}{bare}", ""]
    if manifest.summary:
        lines += [manifest.summary, ""]
    rows = [(f.name, words(f), _meaning(f)) for f in manifest.fields]
    rows.append(("y", "[" + ", ".join(str(e) for e in ("B", "T", "H", *manifest.output)) + "]", "the result, in the dtype of v or else of the first input"))
    wide = [max(len(row[i]) for row in rows) for i in (0, 1)]
    lines += [f"    {name:<{wide[0]}}  {shape:<{wide[1]}}  {meaning}".rstrip() for name, shape, meaning in rows]
    derived = manifest.raw.get("derived") or {}
    if derived:
        lines += ["", "Dims: " + ", ".join(f"{name} = {text}" for name, text in derived.items()) + "."]
    lines += ["", "States: " + "; ".join(f"{s.name} [{', '.join(map(str, s.shape))}], {_start(s.init)}" for s in manifest.states) + "."]
    if manifest.cache:
        cache = manifest.cache
        start = "goes on from the last state" if cache.start == "carry" else "starts fresh"
        lines.append(f"Cache: segments of {cache.length} tokens, {cache.growth} growth; a segment {start}.")
    lines += ["An input with fewer heads (a divisor of H) is shared by consecutive heads.",
              "memory: what an earlier call returned; then the result is (y, memory), as with return_memory=True.",
              "cu_seqlens: offsets [S + 1] of S sequences in one row of tokens, B = 1; memory then has a row for each."]
    if manifest.cache:
        lines.append("return_weights: also a dict, `weights` [B, T, H, 1 + N] of the memories, the online one first, and what was `selected`.")
    sizes = ", ".join(f"{dim}=..." for dim in manifest.dims)
    lines += ["step(...): one token, its tensors without T: (y, memory).",
              f"empty_memory({', '.join(filter(None, ('B', 'H', sizes, 'capacity=N' if manifest.cache else '')))}): one to start from, of shapes that stay."]
    if manifest.sources:
        lines += ["", "From " + ", ".join(manifest.sources) + "."]
    return "\n".join(lines)


def _meaning(field: Field) -> str:
    parts = [_domain(field.domain)]
    if field.default is not None:
        parts.append(f"default {field.default:g}")
    return "; ".join(part for part in (*parts, field.doc) if part)


def _domain(domain: tuple) -> str:
    """A domain in words; nothing for the whole line.

    >>> _domain(("interval", None, 0)), _domain(("real", None, None))
    ('in [-inf, 0]', '')
    """
    kind, low, high = domain
    if kind == "unit":
        return "of length 1 along the last axis"
    if low is None and high is None:
        return ""
    return f"in [{'-inf' if low is None else f'{low:g}'}, {'inf' if high is None else f'{high:g}'}]"


def _start(init: str) -> str:
    return {"zeros": "from zero", "learned": "from a learned value"}.get(init, "from an expression of per-head inputs")


def init_text(raw: dict) -> str:
    """The text of a package's `__init__.py` for a manifest in its JSON form."""
    manifest = parse_manifest(raw)
    text = document(manifest).replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    return (f'"""{text}\n"""\nfrom mcgen.runtime import load_package\n\n__all__ = ["{manifest.name}"]\n\n'
            f"{manifest.name} = load_package(__file__)\n")
