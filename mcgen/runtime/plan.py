"""The checks of a call: every tensor's dtype, device and shape against the manifest, and the sizes that they bind."""
from __future__ import annotations

from typing import Any, NamedTuple, Sequence

import torch

from mcgen.diagnostics import UsageError

from .dims import sizes_of
from .manifest import Field, Manifest
from .packed import Packed


class Plan(NamedTuple):
    """What a call's tensors say. `repeats[i]`: how many consecutive heads share one head of field i."""

    batch: int                       # sequences: rows of the tokens, unless they are packed
    tokens: int
    heads: int
    sizes: dict[str, int]            # dims and derived dims
    dtype: torch.dtype               # of all arithmetic: float32, or float64 when a tensor has it
    device: torch.device
    y_dtype: torch.dtype
    repeats: tuple[int, ...]
    y_shape: tuple[int, ...]         # [B, T, H, *output], B = 1 when packed
    kept: dict[str, Any]             # what the calls of this plan work out once
    packed: Packed | None = None

    @property
    def longest(self) -> int:
        """No sequence has more tokens in this call."""
        return self.tokens if self.packed is None else self.packed.longest

    @property
    def lengths(self) -> int | torch.Tensor:
        """Tokens that this call adds to each sequence: a number, or [B] int64."""
        return self.tokens if self.packed is None else self.packed.lengths


AXES = {"token": ("B", "T", "H"), "head": ("H",)}


def plan_call(manifest: Manifest, values: Sequence[Any]) -> Plan:
    """Checks the values of `manifest.fields` (None: not given) and binds sizes.

    Raises UsageError that names the argument, the expected shape in words and numbers, and what came.
    """
    given = [(field, value) for field, value in zip(manifest.fields, values) if value is not None]
    bound: dict[str, int] = {}
    source: dict[str, str] = {}
    device, dtype, y_dtype = None, torch.float32, None
    for field, x in given:
        _check_kind(field, x)
        if device is None:
            device, first = x.device, field.name
        elif x.device != device:
            raise UsageError(f"{field.name} is on {x.device}, {first} on {device}", "device", "move all tensors to one device")
        if x.dtype is torch.float64:
            dtype = torch.float64
        if field.per == "token" and (y_dtype is None or field.name == "v"):
            y_dtype = x.dtype
        _bind(field, x, bound, source)
    if y_dtype is None:
        raise UsageError(f"{manifest.name} needs at least one input with tokens", "missing-input")
    _derive(manifest, bound, source)
    heads = _heads(given)
    for field, x in given:
        _check_shape(field, x, bound, source, heads)
    sizes = {name: size for name, size in bound.items() if name not in ("B", "T")}
    repeats = tuple(1 if x is None else heads // x.shape[2 if field.per == "token" else 0] for field, x in zip(manifest.fields, values))
    y_shape = (bound["B"], bound["T"], heads, *sizes_of(manifest.output, sizes))
    return Plan(bound["B"], bound["T"], heads, sizes, dtype, device, y_dtype, repeats, y_shape, {})


def _check_kind(field: Field, x: Any) -> None:
    if not isinstance(x, torch.Tensor):
        raise UsageError(f"{field.name} is a {type(x).__name__}, expected a tensor {words(field)}", "type")
    if not x.is_floating_point():
        raise UsageError(f"{field.name} has dtype {_plain(x.dtype)}, expected a floating one", "dtype", f"{field.name}.float()")
    if x.ndim != len(AXES[field.per]) + len(field.shape):
        raise UsageError(f"{field.name} has shape {list(x.shape)}, expected {words(field)}", "shape")


def _bind(field: Field, x: torch.Tensor, bound: dict[str, int], source: dict[str, str]) -> None:
    """Names that this tensor is the first to show. A later tensor that differs is found by `_check_shape`."""
    for axis, entry in enumerate((*AXES[field.per], *field.shape)):
        if isinstance(entry, str) and entry != "H" and entry not in bound:
            bound[entry], source[entry] = x.shape[axis], field.name


def _derive(manifest: Manifest, bound: dict[str, int], source: dict[str, str]) -> None:
    """Adds the derived dims, over what a tensor shows for them. Raises UsageError for a dim that no tensor shows, or of size 0."""
    derived = [name for name, _ in manifest.derived]
    for name in manifest.dims:
        if name not in bound and name not in derived:
            shows = [field.name for field in manifest.fields if name in field.shape]
            raise UsageError(f"nothing says how large {name} is", "missing-input", f"give {' or '.join(shows)}" if shows else None)
        if name in bound and bound[name] < 1:
            raise UsageError(f"{source[name]} has {name} = 0, expected at least 1", "shape")
    for name, size in manifest.derived:
        bound[name], source[name] = size(bound), "the spec"


def _heads(given: Sequence[tuple[Field, torch.Tensor]]) -> int:
    """H: the largest number of heads, which all others divide."""
    counts = [(x.shape[2 if field.per == "token" else 0], field.name) for field, x in given]
    heads, most = counts[0]
    for count, name in counts[1:]:
        if count > heads:
            heads, most = count, name
    for count, name in counts:
        if count < 1 or heads % count:
            raise UsageError(f"{name} has {count} heads, which does not divide the {heads} heads of {most}", "heads",
                             "an input with fewer heads is shared by consecutive heads")
    return heads


def _check_shape(field: Field, x: torch.Tensor, bound: dict[str, int], source: dict[str, str], heads: int) -> None:
    for axis, entry in enumerate((*AXES[field.per], *field.shape)):
        if entry == "H":
            continue
        want = entry if isinstance(entry, int) else bound[entry]
        if x.shape[axis] != want:
            because = f"{entry} = {want} comes from {source[entry]}" if isinstance(entry, str) else None
            shape = [heads if e == "H" else e if isinstance(e, int) else bound[e] for e in (*AXES[field.per], *field.shape)]
            raise UsageError(f"{field.name} has shape {list(x.shape)}, expected {words(field)} = {shape}", "shape", because)


def words(field: Field) -> str:
    """A field's shape in words.

    >>> words(Field("k", ("K",)))
    '[B, T, H, K]'
    """
    return "[" + ", ".join(str(e) for e in (*AXES[field.per], *field.shape)) + "]"


def _plain(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def key_of(values: Sequence[Any]) -> tuple:
    """What a plan depends on, hashable. Raises AttributeError for a value that is not a tensor."""
    return tuple([None if x is None else (x.shape, x.dtype, x.device) for x in values])
