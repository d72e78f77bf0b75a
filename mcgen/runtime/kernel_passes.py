"""Passes by compiled CPU kernels: no tensor is made that nobody asks for.

What a call does not return lies in two buffers, one that the backward pass needs and one that goes when the kernel is done.
"""
from __future__ import annotations

import math
from typing import Any, Mapping, Sequence

import torch

from .bound import Bound, Given, Made, Shape, bind
from .direct import Passes

Source = torch.Tensor | Given | Shape


class KernelPasses(Passes):
    """See Passes. Every tensor is float32 on the CPU but the position, the table, and tokens of 16 bits, y and their gradients."""

    def __init__(self, *args: Any):
        super().__init__(*args)
        given = {place: Given(i) for i, place in enumerate(self.places)}
        self._sources: dict[str, Source] = {name: given.get(place, x) for place, (name, x) in enumerate(zip(self.manifest.forward_params, self.params))}
        self._forward: Bound | None = None
        self._save: Bound | None = None
        self._saved: list[tuple] | None = None                       # shapes and dtypes of what is saved
        self._backward: dict[tuple, tuple[Bound, list[int | None], list[int]]] = {}
        self._layout: dict[str, tuple[Shape, int]] = {}             # of what is kept beside the results: shape, and byte in the buffer

    def forward(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        if self._forward is None:
            self._forward = bind_forward(self.backend, self._named(tensors), self._sources, self.chunk, False, self.results, one=self.one)
        return self._forward(tensors)[:len(self.results)]

    def save(self, tensors: Sequence[torch.Tensor]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        if self._save is None:
            shapes = self.backend.shapes(self.full(tensors), True)
            buffer = Made.buffer({name: shapes[name] for name in self.saved})
            self._layout = {name: (shapes[name], at) for name, at in buffer.places.items()}
            self._save = bind_forward(self.backend, self._named(tensors), self._sources, self.chunk, True, self.results, (buffer,) if self.saved else ())
        made = self._save(tensors)
        results = made[:len(self.results)]
        kept = [results[i] for i in self.again]
        if self.saved:
            kept.append(made[len(results)])
        if self._saved is None:
            self._saved = [(x.shape, x.dtype) for x in (*tensors, *kept)]
        return results, kept

    def backward(self, tensors: Sequence[torch.Tensor], kept: Sequence[torch.Tensor], grads: Sequence[torch.Tensor | None],
                 needed: Sequence[bool]) -> list[torch.Tensor | None]:
        key = (*needed, *[g is None for g in grads])
        found = self._backward.get(key)
        if found is None:
            found = self._backward[key] = self._bind_backward(tensors, kept, grads, needed)
        bound, order, summed = found
        made: list[torch.Tensor] = bound([*tensors, *kept, *grads])
        for i in summed:
            made[i] = made[i].sum(0)
        return [None if i is None else made[i] for i in order]

    def fit(self, saved: Sequence[torch.Tensor]) -> bool:
        return [(x.shape, x.dtype) for x in saved] == self._saved and all([x.is_cpu and x.is_contiguous() for x in saved])

    def made(self, kept: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        again = {self.results[i]: x for i, x in zip(self.again, kept)}
        return [again[name] if name in again else _part(kept[-1], *self._layout[name]) for name in self.manifest.made]

    def _named(self, tensors: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        return dict(zip(self.manifest.forward_params, self.full(tensors)))

    def _bind_backward(self, tensors: Sequence[torch.Tensor], kept: Sequence[torch.Tensor], grads: Sequence[torch.Tensor | None],
                       needed: Sequence[bool]) -> tuple[Bound, list[int | None], list[int]]:
        m, params = self.manifest, self.full(tensors)
        like = {**self._named(tensors), **dict(zip(m.made, self.made(kept)))}
        sources = {**self._sources, **{self.results[i]: Given(len(tensors) + k) for k, i in enumerate(self.again)}}
        sources |= {name: Given(len(tensors) + len(kept) - 1, at) for name, (_, at) in self._layout.items()}
        for name, shape in self.backend.shapes(params, False).items():
            i = self.results.index(name) if name in self.results else None
            if i is None or grads[i] is None:
                sources[f"d.{name}"] = shape
            else:
                sources[f"d.{name}"], like[f"d.{name}"] = Given(len(tensors) + len(kept) + i), grads[i]
        names = [f"d.{m.forward_params[place]}" for place in self.places]
        wanted = [name for name, need in zip(names, needed) if need and name in m.backward_results]
        bound = bind_backward(self.backend, like, {name: sources[name] for name in (*m.backward_params, "call.table")}, self.chunk, wanted)
        many = like["call.table"].shape[0] != 1
        return bound, [wanted.index(n) if n in wanted else None for n in names], [i for i, n in enumerate(wanted) if many and n in m.summed]


def bind_forward(backend: Any, params: Mapping[str, torch.Tensor], sources: Mapping[str, Source], chunk: int, save: bool, alone: Sequence[str],
                 buffers: Sequence[Made] = (), one: bool = False) -> Bound:
    """A forward kernel that makes the results in `alone` as tensors, then `buffers`, then a buffer of all else. one: y has no T."""
    given = list(params.values())
    shapes = backend.shapes(given, save)
    dtypes = dict(zip(shapes, backend.layout.forward_dtypes(given, save)))
    made = [Made(shapes[name], {name: 0}, dtypes[name]) for name in alone]
    if one:
        made = [m._replace(shape=(m.shape[0], *m.shape[2:])) if "y" in m.places else m for m in made]
    return bind(backend.kernel("forward", given, chunk, save), sources, params, shapes, dtypes, _with_rest([*made, *buffers], shapes))


def bind_backward(backend: Any, params: Mapping[str, torch.Tensor], sources: Mapping[str, Source], chunk: int, alone: Sequence[str]) -> Bound:
    """A backward kernel that makes the gradients in `alone` as tensors, then a buffer of all else.

    Those in `manifest.summed` have a leading axis of sequences where there are several.
    """
    m, batch = backend.manifest, params["call.table"].shape[0]
    given = [params[name] for name in m.forward_params]
    plain = dict(zip(m.backward_results, backend.layout.backward(given)))
    shapes = {name: (batch, *shape) if name in m.summed else shape for name, shape in plain.items()}
    dtypes = dict(zip(plain, backend.layout.backward_dtypes(given)))
    made = [Made((plain if batch == 1 else shapes)[name], {name: 0}, dtypes[name]) for name in alone]
    return bind(backend.kernel("backward", given, chunk), sources, params, shapes, dtypes, _with_rest(made, shapes),
                {f"d.{f.name}" for f in m.delays})            # a delayed input's gradient is added up over its delays


def _with_rest(made: list[Made], shapes: Mapping[str, Shape]) -> list[Made]:
    rest = {name: shape for name, shape in shapes.items() if not any(name in m.places for m in made)}
    return [*made, Made.buffer(rest)] if rest else made


def _part(buffer: torch.Tensor, shape: Shape, at: int) -> torch.Tensor:
    return buffer.narrow(0, at // 4, math.prod(shape)).view(shape)
