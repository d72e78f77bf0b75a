"""Shapes of what the programs give, from the tensors that they take: for traced calls and for programs that fill given tensors."""
from __future__ import annotations

from typing import Sequence

import torch

from .dims import sizes_of
from .manifest import LEVELS, SLOTS, Field, Manifest
from .zeros import read_only_zeros

Shape = tuple[int, ...]


class Layout:
    """Result shapes of one op. Reads sizes off program parameters: every dim is found on an input or a state, or is derived."""

    def __init__(self, manifest: Manifest):
        self.manifest = manifest
        params = manifest.forward_params
        self._index = {name: i for i, name in enumerate(params)}
        self._where: dict[str, tuple[int, int]] = {}
        for name, front, shape in _shapes(manifest):
            if name in self._index:
                for axis, entry in enumerate(shape):
                    if isinstance(entry, str):
                        self._where.setdefault(entry, (self._index[name], front + axis))
        slotted = next((leaf for leaf in manifest.leaves if leaf.slots is not None), None)
        if slotted is not None:
            self._where[SLOTS] = (self._index[slotted.param], slotted.slots)
        levelled = next((leaf for leaf in manifest.leaves if leaf.levels is not None), None)
        if levelled is not None:
            self._where[LEVELS] = (self._index[levelled.param], levelled.levels)
        self._derived = [(name, size) for name, size in manifest.derived if name not in self._where]
        tokens = next(f for f in manifest.inputs if f.per == "token" and f.name in self._index)
        self._tokens, self._delay = self._index[tokens.name], tokens.delay
        self._y = self._index["v"] if "v" in manifest.tokens and "v" in self._index else self._tokens

    def sizes(self, params: Sequence) -> dict[str, int]:
        """dim -> size, and the number of cache slots, from the forward parameters or the backward ones, which begin with them."""
        sizes = {dim: params[index].shape[axis] for dim, (index, axis) in self._where.items()}
        for name, size in self._derived:
            sizes[name] = size(sizes)
        return sizes

    def tokens(self, params: Sequence) -> tuple[int, int, int]:
        """B, T and H of a call's token tensors: of packed sequences 1, all tokens, H."""
        packs, tokens, heads = params[self._tokens].shape[:3]
        return packs, tokens - self._delay * (params[self._index["call.table"]].shape[0] // packs), heads

    def forward(self, params: Sequence, save: bool) -> list[Shape]:
        """Shapes of the forward results, the saved tensors after them if `save`."""
        sizes, manifest = self.sizes(params), self.manifest
        (packs, tokens, heads), (batch, rows) = self.tokens(params), params[self._index["call.table"]].shape[:2]
        shapes = []
        for name in manifest.forward_results:
            if name == "y":
                shapes.append((packs, tokens, heads, *sizes_of(manifest.output, sizes)))
            else:
                shapes.append(tuple(params[self._index[name.removeprefix("new.")]].shape))
        if save:
            shapes += [(batch, heads, rows, *sizes_of(shape, sizes)) for _, shape in manifest.saved]
        return shapes

    def backward(self, params: Sequence) -> list[Shape]:
        """Shapes of the gradients, from the backward parameters."""
        index = {name: i for i, name in enumerate(self.manifest.backward_params)}
        return [tuple(params[index[name.removeprefix("d.")]].shape) for name in self.manifest.backward_results]

    def forward_dtypes(self, params: Sequence, save: bool) -> list[torch.dtype]:
        """Dtypes of the forward results, the saved tensors after them if `save`: y like v or the first tokens, all else as it is computed in."""
        wide, manifest = arithmetic(params[0].dtype), self.manifest
        made = [self.y_dtype(params) if name == "y" else wide for name in manifest.forward_results]
        return made + [wide for _ in manifest.saved] if save else made

    def y_dtype(self, params: Sequence) -> torch.dtype:
        return params[self._y].dtype

    def backward_dtypes(self, params: Sequence) -> list[torch.dtype]:
        """Dtypes of the gradients: their parameters'."""
        return [params[self._index[name.removeprefix("d.")]].dtype for name in self.manifest.backward_results]

    def with_zeros(self, params: Sequence[torch.Tensor | None]) -> list[torch.Tensor]:
        """Backward parameters with zeros for the gradients that are absent."""
        if all([x is not None for x in params]):
            return list(params)
        results = self.forward(params[:len(self.manifest.forward_params)], False)
        like = {f"d.{name}": made for name, *made in zip(self.manifest.forward_results, results, self.forward_dtypes(params, False))}
        return [read_only_zeros(*like[name], params[0].device) if x is None else x
                for name, x in zip(self.manifest.backward_params, params)]


def arithmetic(dtype: torch.dtype) -> torch.dtype:
    """What programs compute in, for a parameter of this dtype: all are float64, or none is."""
    return torch.float64 if dtype is torch.float64 else torch.float32


def _shapes(manifest: Manifest) -> list[tuple[str, int, tuple]]:
    """(parameter, axes before its own shape, shape) of all parameters that show dims."""
    found = [(field.name, _front(field), field.shape) for field in manifest.fields]
    for state in manifest.states:
        found += [(f"state.{state.name}", 2, state.shape), (f"init.{state.name}", 1, state.shape)]
    return found


def _front(field: Field) -> int:
    return 3 if field.per == "token" else 1
