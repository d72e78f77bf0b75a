"""How the calls of one plan find their programs' parameters: some are the call's own tensors, the rest the same each time."""
from __future__ import annotations

from typing import Any, Mapping, NamedTuple, Sequence

import torch

from .backends import Backends
from .direct import Passes
from .zeros import SMALL


class Recipe(NamedTuple):
    """`fields`: which of a call's values the passes take; then come the tensors of its memory, its position and table."""

    fields: tuple[int, ...]
    others: tuple[int, ...]
    passes: Passes

    def tensors(self, values: Sequence[Any], others: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """What the passes take, contiguous."""
        taken = [*[values[i] for i in self.fields], *[others[i] for i in self.others]]
        return taken if all([x.is_contiguous() for x in taken]) else [x.contiguous() for x in taken]


def recipe(backends: Backends, params: Mapping[str, torch.Tensor], values: Mapping[str, torch.Tensor | None], others: Mapping[str, torch.Tensor],
           chunk: int, keep: bool, one: bool) -> Recipe | None:
    """The recipe that a call followed, from its parameters, values and other tensors by name, each in the order in which later calls have them.

    one: later calls have tokens without T. None where the call took more than handing tensors on. Requires that what it made itself is the same in every such call, and never written.
    """
    own = {**{name: x for name, x in values.items() if x is not None}, **others}
    own = {name: x for name, x in own.items() if name in params}
    rest = {name: x for name, x in params.items() if name not in own}
    if any(params[name] is not x for name, x in own.items()) or sum(x.numel() for x in rest.values()) > SMALL:
        return None
    with torch.inference_mode(False):
        kept = [x.clone() if name in rest and x.is_inference() else x for name, x in params.items()]
    names = list(params)
    return Recipe(tuple(i for i, name in enumerate(values) if name in own), tuple(i for i, name in enumerate(others) if name in own),
                  backends.for_params(kept).passes(kept, [names.index(name) for name in own], chunk, keep, one))
