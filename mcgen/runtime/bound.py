"""A compiled kernel bound to shapes: what calls with such tensors would all work out again."""
from __future__ import annotations

import math
from array import array
from typing import Iterable, Mapping, NamedTuple, Sequence

import torch

from .huge_pages import LARGE, ask_for_huge_pages
from .tvm.kernel import Kernel
from .zeros import SMALL, read_only_zeros

LINE = 64               # bytes: where a tensor inside a buffer may begin
CPU = torch.device("cpu")
Shape = tuple[int, ...]


class Given(NamedTuple):
    """Where a parameter lies: in one of the tensors that a call brings, from a byte on."""

    index: int
    at: int = 0


class Made(NamedTuple):
    """A tensor that a call makes: one result, or a buffer of several, each from a byte on."""

    shape: Shape
    places: Mapping[str, int]
    dtype: torch.dtype = torch.float32

    @classmethod
    def buffer(cls, shapes: Mapping[str, Shape]) -> Made:
        places, size = {}, 0
        for name, shape in shapes.items():
            places[name] = 4 * size
            size += -(-4 * math.prod(shape) // LINE) * LINE // 4
        return cls((size,), places)


class Bound(NamedTuple):
    """A kernel with all its arguments but the addresses that change from call to call."""

    kernel: Kernel
    extents: tuple[int, ...]
    words: array                                                 # see Kernel.words
    given: tuple[tuple[int, int, int], ...]                      # the place of an address in `words`, and what it is the address of
    zeros: tuple[tuple[int, Shape], ...]                         # zeros that are too large to keep
    made: tuple[tuple[torch.Tensor, tuple[tuple[int, int], ...]], ...]       # like each new tensor; places, and bytes from its begin
    large: tuple[tuple[int, int], ...]                           # those that ask for huge pages, and their bytes
    cleared: tuple[int, ...]                                     # which of them the kernel adds to
    kept: tuple[torch.Tensor, ...]                               # what has its address in `words` for good

    def __call__(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """The new tensors. Requires contiguous tensors on the CPU, of the shapes and dtypes that the kernel is bound to."""
        words = self.words[:]
        for place, i, at in self.given:
            words[place] = tensors[i].data_ptr() + at
        made = []
        for like, places in self.made:
            x = torch.empty_like(like)
            begin = x.data_ptr()
            for place, at in places:
                words[place] = begin + at
            made.append(x)
        for i, size in self.large:
            ask_for_huge_pages(made[i].data_ptr(), size)
        for i in self.cleared:
            made[i].zero_()
        zeros = [read_only_zeros(shape, torch.float32, CPU) for _, shape in self.zeros]
        for (place, _), x in zip(self.zeros, zeros):
            words[place] = x.data_ptr()
        self.kernel.start(words, self.extents)
        return made


def bind(kernel: Kernel, sources: Mapping[str, torch.Tensor | Given | Shape], like: Mapping[str, torch.Tensor], results: Mapping[str, Shape],
         dtypes: Mapping[str, torch.dtype], made: Sequence[Made], cleared: Iterable[str] = ()) -> Bound:
    """Binds a kernel to parameters `like` these and to results of these shapes and dtypes (float32 where none is named).

    sources: each parameter's place in a call, or a tensor that is the same in every call, or the shape of zeros. made: what a call makes, all
    results together. cleared: results that the kernel adds to.
    Raises ValueError or TypeError for parameters that the kernel does not take.
    """
    with torch.inference_mode(False):
        fixed = {name: read_only_zeros(s, kernel.dtypes.get(name, torch.float32), CPU) if type(s) is tuple else s for name, s in sources.items() if type(s) is not Given}
        written = {name: torch.empty(shape, dtype=dtypes.get(name, torch.float32), device=CPU) for name, shape in results.items()}
        likes = [torch.empty(m.shape if math.prod(m.shape) <= SMALL else (), dtype=m.dtype, device=CPU).expand(m.shape) for m in made]
    extents = kernel.extents(like["call.table"], {**like, **fixed, **written})
    place = {name: 2 * i + 1 for i, name in enumerate((*kernel.names, "call.table"))}
    words = kernel.words([0] * len(place), extents)
    given = tuple((place[name], *s) for name, s in sources.items() if type(s) is Given and name in place)
    zeros = tuple((place[name], s) for name, s in sources.items() if type(s) is tuple and math.prod(s) > SMALL and name in place)
    kept = {name: x for name, x in fixed.items() if name in place and place[name] not in dict(zeros)}
    for name, x in kept.items():
        words[place[name]] = x.data_ptr()
    added = set(cleared)
    return Bound(kernel, extents, words, given, zeros,
                 tuple((x, tuple((place[name], at) for name, at in m.places.items())) for x, m in zip(likes, made)),
                 tuple((i, size) for i, size in enumerate(m.dtype.itemsize * math.prod(m.shape) for m in made) if size >= LARGE),
                 tuple(i for i, m in enumerate(made) if added & m.places.keys()), tuple(kept.values()))
