"""Random inputs from a spec's own domains, at their ends too."""
from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from typing import Mapping

import torch

from ..spec.nodes import Domain, Spec
from .world import all_inputs, all_numbers, sized

DIM_SIZES = (16, 32, 24, 8)     # distinct, so that a swapped pair of dims can't go unseen
HALF_INFINITE_MEAN = 0.3        # finite end +- Exp(0.3)
FAR = (20.0, 80.0)              # how far from its finite end a half-infinite input is drawn under the edge 'far'
EDGES = ("lo", "hi", "far")


@dataclass(frozen=True)
class Case:
    """One draw. `edge` puts half of the entries of interval inputs at an end ('lo', 'hi') or far out ('far');
    `only` names the one input that does so. `fewer`: vector inputs but `all_heads` come with fewer heads. `amount` in
    (0, 1] shrinks what could make a rule unstable: real inputs and finite intervals around or from 0.
    """

    length: int
    batch: int = 2
    heads: int = 2
    dtype: torch.dtype = torch.float32
    seed: int = 0
    edge: str | None = None
    only: str | None = None
    fewer: bool = False
    all_heads: str | None = None
    amount: float = 1.0

    def __str__(self) -> str:
        parts = [f"T={self.length}", f"B={self.batch}", f"H={self.heads}", str(self.dtype).removeprefix("torch.")]
        parts += [f"{self.only or 'inputs'} at {self.edge}"] if self.edge else []
        return " ".join(parts + (["fewer heads"] if self.fewer else []))


def dim_sizes(spec: Spec, given: Mapping[str, int] | None = None) -> dict[str, int]:
    """A size for every dim that inputs and states bind; `given` ones as they are."""
    shapes = [i.shape for i in all_inputs(spec).values()] + [s.shape for s in spec.rule.state.values()]
    names = [d for shape in shapes for d in shape if isinstance(d, str) and d not in spec.rule.dims]
    sizes = dict(given or {})
    free = [n for n in dict.fromkeys(names) if n not in sizes]
    for i, name in enumerate(free):
        sizes[name] = DIM_SIZES[min(i, len(DIM_SIZES) - 1)]
    return sizes


def draw(spec: Spec, case: Case, sizes: Mapping[str, int]) -> dict[str, torch.Tensor]:
    """Every input and every `<state>_init` by name, in the case's dtype."""
    numbers, out = all_numbers(spec, sizes), {}
    for name, i in all_inputs(spec).items():
        heads = _heads(name, len(i.shape), case)
        lead = (case.batch, case.length, heads) if i.per == "token" else (heads,)
        edge = case.edge if case.only in (None, name) else None
        out[name] = entries((*lead, *sized(i.shape, numbers)), i.domain, generator(name, case.seed), edge, case.amount)
    for name, s in spec.rule.state.items():
        if s.init == "learned":
            shape = (case.heads, *sized(s.shape, numbers))
            fan_in = math.sqrt(shape[-1]) if len(s.shape) == 2 and s.domain.kind == "real" else 1.0
            key = f"{name}_init"
            edge = case.edge if case.only in (None, key) else None
            out[key] = entries(shape, s.domain, generator(key, case.seed), edge, case.amount) / fan_in
    return {n: x.to(case.dtype) for n, x in out.items()}


def generator(name: str, seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(zlib.crc32(name.encode()) + 1_000_003 * seed)


def _heads(name: str, rank: int, case: Case) -> int:
    """All heads, or under `fewer` a divisor that differs from input to input."""
    if not case.fewer or rank == 0:
        return case.heads
    if name == case.all_heads:
        return case.heads
    divisors = [d for d in range(1, case.heads) if case.heads % d == 0] or [1]
    return divisors[zlib.crc32(name.encode()) % len(divisors)]


def entries(shape: tuple[int, ...], domain: Domain, g: torch.Generator, edge: str | None = None,
            amount: float = 1.0) -> torch.Tensor:
    """float64 entries from a domain; with an edge, half of them there."""
    normal = torch.randn(shape, generator=g, dtype=torch.float64)
    if domain.kind == "unit":
        return torch.nn.functional.normalize(normal, dim=-1)
    if domain.kind == "real" or (math.isinf(domain.lo) and math.isinf(domain.hi)):
        return normal * amount
    away = torch.empty(shape, dtype=torch.float64).exponential_(1 / HALF_INFINITE_MEAN, generator=g)
    uniform = torch.rand(shape, generator=g, dtype=torch.float64)
    far = FAR[0] + (FAR[1] - FAR[0]) * torch.rand(shape, generator=g, dtype=torch.float64)
    half = torch.rand(shape, generator=g) < 0.5
    if math.isinf(domain.lo):
        inside, beyond = domain.hi - away, domain.hi - far
    elif math.isinf(domain.hi):
        inside, beyond = domain.lo + away * amount, domain.lo + far
    else:
        inside = domain.lo + (domain.hi - domain.lo) * uniform
        inside = inside * amount if domain.lo <= 0 <= domain.hi else inside
        beyond = inside
    if edge is None:
        return inside
    at = {"lo": torch.full_like(inside, domain.lo), "hi": torch.full_like(inside, domain.hi), "far": beyond}[edge]
    return torch.where(half, at, inside)


def has_edge(domain: Domain, edge: str) -> bool:
    """Whether a draw from the domain differs under that edge."""
    if domain.kind != "interval" or (math.isinf(domain.lo) and math.isinf(domain.hi)):
        return False
    return edge != "far" or math.isinf(domain.lo) or math.isinf(domain.hi)
