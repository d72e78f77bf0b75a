"""From the arguments of a call to one value per field, in the manifest's order."""
from __future__ import annotations

from typing import Any, Sequence

from mcgen.diagnostics import UsageError, did_you_mean

from .manifest import Manifest

CALL_KEYWORDS = ("memory", "return_memory", "return_weights", "cu_seqlens")


def bind(manifest: Manifest, args: Sequence[Any], named: dict[str, Any]) -> list[Any]:
    """A value or None for each of `manifest.fields`.

    None is left where an argument is not given (see `require`; in place of a learned start, a memory may hold the state).
    Raises UsageError for a doubled or unknown argument.
    """
    if not named and len(args) == len(manifest.fields):
        return list(args)
    if len(args) <= len(manifest.inputs) and named.keys() <= manifest.names_after[len(args)]:
        return [*args, *map(named.get, manifest.names[len(args):])]
    raise _misnamed(manifest, args, named)


def require(manifest: Manifest, values: Sequence[Any]) -> None:
    """Raises UsageError for an input that is not given and has no default."""
    for field, value in zip(manifest.inputs, values):
        if value is None and field.default is None:
            raise UsageError(f"{manifest.name} needs the input {field.name!r}", "missing-input", _order(manifest))


def _misnamed(manifest: Manifest, args: Sequence[Any], named: dict[str, Any]) -> UsageError:
    """What is wrong with the arguments."""
    if len(args) > len(manifest.inputs):
        return UsageError(f"{manifest.name} takes {len(manifest.inputs)} inputs by position, got {len(args)}", "too-many-arguments", _order(manifest))
    for name in named:
        if name not in manifest.names:
            said = did_you_mean(name, (*manifest.names, *CALL_KEYWORDS))
            return UsageError(f"{manifest.name} has no argument {name!r}{said}", "unknown-argument", _order(manifest))
    doubled = next(name for name in named if name in manifest.names[:len(args)])
    return UsageError(f"{doubled!r} is given by position and by name", "doubled-argument", _order(manifest))


def _order(manifest: Manifest) -> str:
    named = [f.name for f in manifest.fields if f.keyword]
    text = "inputs in order: " + ", ".join(f.name for f in manifest.inputs)
    return text + (f"; by name: {', '.join(named)}" if named else "")
