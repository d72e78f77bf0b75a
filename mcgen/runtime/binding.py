"""From the arguments of a call to one value per field, in the manifest's order."""
from __future__ import annotations

from typing import Any, Sequence

from mcgen.diagnostics import UsageError, did_you_mean

from .manifest import Field, Manifest

CALL_KEYWORDS = ("memory", "return_memory", "return_weights", "cu_seqlens")


def bind(manifest: Manifest, args: Sequence[Any], named: dict[str, Any]) -> list[Any]:
    """A value or None for each of `manifest.fields`.

    None is left where an optional input is not given and where a learned start is not given (a memory may hold the state).
    Raises UsageError for a missing, doubled or unknown argument.
    """
    inputs = manifest.inputs
    if not named and len(args) == len(manifest.fields):
        values = list(args)
    else:
        values = _by_name(manifest, args, named)
    for field, value in zip(inputs, values):
        if value is None and field.default is None:
            raise _missing(manifest, field)
    return values


def _by_name(manifest: Manifest, args: Sequence[Any], named: dict[str, Any]) -> list[Any]:
    inputs = manifest.inputs
    if len(args) > len(inputs):
        raise UsageError(f"{manifest.name} takes {len(inputs)} inputs by position, got {len(args)}", "too-many-arguments", _order(manifest))
    names = [field.name for field in manifest.fields]
    values = list(args) + [None] * (len(names) - len(args))
    for name, value in named.items():
        if name not in names:
            raise UsageError(f"{manifest.name} has no argument {name!r}{did_you_mean(name, (*names, *CALL_KEYWORDS))}", "unknown-argument", _order(manifest))
        index = names.index(name)
        if index < len(args):
            raise UsageError(f"{name!r} is given by position and by name", "doubled-argument", _order(manifest))
        values[index] = value
    return values


def _missing(manifest: Manifest, field: Field) -> UsageError:
    return UsageError(f"{manifest.name} needs the input {field.name!r}", "missing-input", _order(manifest))


def _order(manifest: Manifest) -> str:
    named = [f.name for f in manifest.fields if f.keyword]
    text = "inputs in order: " + ", ".join(f.name for f in manifest.inputs)
    return text + (f"; by name: {', '.join(named)}" if named else "")
