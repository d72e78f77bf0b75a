"""A compiled kernel bound to shapes: what calls with such parameters would all work out again."""
from __future__ import annotations

from typing import Iterable, Mapping, NamedTuple, Sequence

import torch

from .tvm.kernel import Kernel


class Bound(NamedTuple):
    """A kernel, and how it takes the parameters of a program and makes its results."""

    kernel: Kernel
    order: tuple[int, ...]                       # each of the kernel's tensors among (*params, *results)
    table: int
    extents: tuple[int, ...]
    dtypes: list[torch.dtype]                    # of the parameters
    likes: tuple[torch.Tensor, ...]              # of the results' shapes, one element each: quicker to copy than a shape to read
    cleared: tuple[int, ...]                     # results that the kernel adds to

    def __call__(self, params: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """New results. Requires contiguous parameters of the shapes that it is bound to."""
        if [x.dtype for x in params] != self.dtypes or not all([x.is_cpu for x in params]):
            raise ValueError(f"{self.kernel.name}: parameters of {[(x.dtype, x.device.type) for x in params]}, expected {self.dtypes} on the CPU")
        results = [torch.empty_like(like) for like in self.likes]
        for i in self.cleared:
            results[i].zero_()
        tensors = (*params, *results)
        self.kernel.run([tensors[i].data_ptr() for i in self.order], params[self.table].data_ptr(), *self.extents)
        return results


def bind(kernel: Kernel, params: Mapping[str, torch.Tensor], shapes: Mapping[str, tuple[int, ...]], cleared: Iterable[str]) -> Bound:
    """Binds a kernel to parameters like these, and to results of these shapes, of which those in `cleared` start as zeros.

    Raises ValueError or TypeError for parameters that the kernel does not take.
    """
    with torch.inference_mode(False):
        likes = [torch.empty((), dtype=torch.float32, device="cpu").expand(shape) for shape in shapes.values()]
    results = {name: torch.empty_like(like) for name, like in zip(shapes, likes)}
    extents = kernel.extents(params["call.table"], {**params, **results})
    names = [*params, *results]
    return Bound(kernel, tuple(names.index(name) for name in kernel.names), names.index("call.table"), extents, [x.dtype for x in params.values()],
                 tuple(likes), tuple(i for i, name in enumerate(shapes) if name in cleared))
