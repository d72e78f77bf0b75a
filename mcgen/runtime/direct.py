"""The forward and backward passes of calls that nothing but kernels sees, without torch's dispatcher.

What all calls with tensors of the same shapes share is worked out once, in a `Passes`. `Direct` is its gradient.
"""
from __future__ import annotations

from typing import Any, Callable, Sequence

import torch

from .manifest import Manifest
from .unseen import unseen


class Passes:
    """The passes of calls by one back end's programs.

    `params`: the forward parameters of such a call; those at `places` are the call's own, the others are the same in every call.
    keep: whether calls want all forward results, or y alone. one: tokens and y have no T, and no gradient. The tensors of a call are contiguous.
    """

    def __init__(self, manifest: Manifest, backend: Any, params: Sequence[torch.Tensor], places: Sequence[int], chunk: int, keep: bool, one: bool = False):
        self.manifest, self.backend, self.chunk, self.keep, self.one = manifest, backend, chunk, keep, one
        self.params: list[Any] = list(params)
        for place in places:
            self.params[place] = None
        self.places = tuple(places)
        self.results = manifest.forward_results if keep else ("y",)
        # what the backward pass takes of the forward pass: of its results, and beside them
        self.again = tuple(self.results.index(name) for name in manifest.made if name in self.results)
        self.saved = tuple(name for name in manifest.made if name not in self.results)

    def forward(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """The results."""
        made = dict(zip(self.manifest.forward_results, self.backend.forward(self.full(tensors), self.chunk, False)))
        return [made[name].squeeze(1) if self.one and name == "y" else made[name] for name in self.results]

    def save(self, tensors: Sequence[torch.Tensor]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """The results, and what the backward pass needs beside `tensors`."""
        m = self.manifest
        made = dict(zip((*m.forward_results, *(name for name, _ in m.saved)), self.backend.forward(self.full(tensors), self.chunk, True)))
        return [made[name] for name in self.results], [made[name] for name in m.made]

    def backward(self, tensors: Sequence[torch.Tensor], kept: Sequence[torch.Tensor], grads: Sequence[torch.Tensor | None],
                 needed: Sequence[bool]) -> list[torch.Tensor | None]:
        """The gradients of `tensors`, at least those that are needed. grads: of the results, None for zeros."""
        m = self.manifest
        given = dict(zip((f"d.{name}" for name in self.results), grads))
        named = dict(zip((*m.forward_params, *m.made), (*self.full(tensors), *self.made(kept))))
        made = dict(zip(m.backward_results, self.backend.backward([named[n] if n in named else given.get(n) for n in m.backward_params], self.chunk)))
        return [made.get(f"d.{m.forward_params[place]}") for place in self.places]

    def fit(self, saved: Sequence[torch.Tensor]) -> bool:
        """Whether what was saved came back as it was: hooks for saved tensors may give others."""
        return True

    def full(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """All forward parameters."""
        params = self.params.copy()
        for place, x in zip(self.places, tensors):
            params[place] = x.unsqueeze(1) if self.one and self.manifest.forward_params[place] in self.manifest.tokens else x
        return params

    def made(self, kept: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        """What the backward pass takes of the forward pass, in the order of `manifest.made`."""
        return kept


class Direct(torch.autograd.Function):
    """apply(passes, watched, *tensors) -> the results. watched: the backward pass where something sees it; see `autograd.Gradients`."""

    @staticmethod
    def forward(ctx: Any, passes: Passes, watched: Callable, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:  # type: ignore[override]
        results, kept = passes.save(tensors)
        ctx.passes, ctx.watched = passes, watched
        ctx.save_for_backward(*tensors, *kept)
        ctx.set_materialize_grads(False)
        return tuple(results)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor | None) -> tuple:
        passes, saved = ctx.passes, ctx.saved_tensors
        tensors, kept = saved[:len(passes.places)], saved[len(passes.places):]
        if not torch.is_grad_enabled() and unseen([*saved, *[g for g in grads if g is not None]]) and passes.fit(saved):
            grads = [g if g is None or g.is_contiguous() else g.contiguous() for g in grads]
            return None, None, *passes.backward(tensors, kept, grads, ctx.needs_input_grad[2:])
        given = dict(zip(passes.results, grads))
        made = ctx.watched(passes.chunk, [*passes.full(tensors), *passes.made(kept)], [given.get(name) for name in passes.manifest.forward_results])
        return None, None, *[made[place] for place in passes.places]


apply = super(torch.autograd.Function, Direct).apply         # without an inspection of signatures for transforms, which are not there
