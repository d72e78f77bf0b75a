"""How calls of one plan that begin without a memory find their programs' parameters: some are the caller's tensors, the rest the same each time."""
from __future__ import annotations

from typing import Any, NamedTuple, Sequence

import torch

from .backends import Backends
from .direct import Passes
from .manifest import Manifest
from .zeros import SMALL


class Recipe(NamedTuple):
    fields: tuple[int, ...]          # which of a call's values the passes take
    passes: Passes

    def tensors(self, values: Sequence[Any]) -> list[torch.Tensor]:
        """The values that the passes take, contiguous."""
        return [x if x.is_contiguous() else x.contiguous() for x in [values[i] for i in self.fields]]


def recipe(manifest: Manifest, backends: Backends, values: Sequence[Any], params: Sequence[torch.Tensor], chunk: int) -> Recipe | None:
    """The recipe that a call of these values and parameters followed; None where it took more than handing tensors on.

    Requires that what is not made from `values` is the same in every call of the plan, and never written.
    """
    named = dict(zip(manifest.forward_params, params))
    taken = {f.name: i for i, (f, x) in enumerate(zip(manifest.fields, values)) if x is not None and f.name in named}
    rest = [x for name, x in named.items() if name not in taken]
    if any(named[name] is not values[i] for name, i in taken.items()) or sum(x.numel() for x in rest) > SMALL:
        return None
    with torch.inference_mode(False):
        params = [x.clone() if x.is_inference() and name not in taken else x for name, x in named.items()]
    places = [manifest.forward_params.index(name) for name in taken]
    return Recipe(tuple(taken.values()), backends.choose(params[0]).passes(params, places, chunk, False))
