"""Cases: a spec, and a call of it. Drawn by hypothesis, so that a failure shrinks."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Mapping, Sequence

import torch
from hypothesis import strategies as st

from .caches import cache
from .draft import Draft
from .reads import read
from .tokens import ROWWISE
from .updates import states

DTYPES = ("float32", "bfloat16")


@dataclass(frozen=True)
class Case:
    """A spec and a call. sizes: of the dims that inputs bind. chunk: tokens of a chunk for the ops; inner: for the interpreter.
    cuts: where the call is split, the memory handed on."""

    spec: Mapping[str, Any]
    sizes: Mapping[str, int]
    tokens: int
    batch: int = 1
    heads: int = 1
    fewer: bool = False
    edge: str | None = None
    dtype: str = "float32"
    start: bool = False
    chunk: int = 16
    inner: int = 4
    cuts: tuple[int, ...] = ()
    seed: int = 0

    @property
    def torch_dtype(self) -> torch.dtype:
        return getattr(torch, self.dtype)

    def call(self) -> dict[str, Any]:
        """All but the spec, as plain data."""
        return {n: dict(v) if n == "sizes" else list(v) if n == "cuts" else v for n, v in vars(self).items() if n != "spec"}


def case_of(spec: Mapping[str, Any], call: Mapping[str, Any]) -> Case:
    return Case(spec, **{n: tuple(v) if n == "cuts" else v for n, v in call.items()})


def drawn(choose: Callable[[Sequence[Any]], Any]) -> Case:
    """A case from choices of one among several."""
    d = Draft(choose)
    states(d)
    read(d)
    cache(d)
    spec = d.spec()
    length = spec["cache"]["segments"]["length"] if "cache" in spec else 5
    sizes = dict(zip((x for x in d.dims if isinstance(x, str) and x not in d.rule["dims"]), sizes_of(d, shortest(str(spec)))))
    tokens = d.pick(1, 2, length, length + 1, 5, 2 * length + 1, 7, 13, 3 * length + 2, 17, 19, 33, 0, max(length - 1, 1))
    cuts = tuple(sorted({min(d.pick(1, 2, length, 5, 0, tokens - 1, 16), tokens) for _ in range(d.pick(0, 0, 1, 3))}))
    return Case(spec, sizes, min(tokens, 40), batch=d.pick(1, 2), heads=d.pick(1, 2, 4), fewer=d.chance(1, 5),
                edge=d.pick(None, None, None, None, "lo", "hi", "far"), dtype=d.pick("float32", "float32", "float32", "bfloat16"), start=d.chance(1, 3),
                chunk=d.pick(16, 16, 1, 32), inner=d.pick(4, 2, 3, 7, 16, 1), cuts=tuple(c for c in cuts if c >= 0), seed=d.pick(*range(8)))


def shortest(spec: str) -> int:
    """The least size of a dim. Functions of a row are nothing but cancellation on rows of one entry, layernorm on two: 1 and -1."""
    return 3 if "layernorm" in spec else 2 if any(f in spec for f in ROWWISE) else 1


def sizes_of(d: Draft, least: int) -> tuple[int, ...]:
    """Of two dims."""
    return d.pick(*(n for n in (3, 2, 4, 5, 1) if n >= least)), d.pick(*(n for n in (2, 3, 5, 4, 1) if n >= least))


@st.composite
def cases(draw: Callable) -> Case:
    return drawn(lambda options: draw(st.sampled_from(options)))
