"""What no run with rounding can be held to. Such cases are counted apart; the gates of an op know none of this.

Scores *tie* where rounding decides which memories are selected: all results hang on that. The rest is asked for when a result is wrong. It
*diverges* where the reference itself has no number for it in float32, token by token. A gradient *cancels* where it is 0, exactly token by
token, and by chunks a difference of terms, of which each precision leaves a roundoff of its own; or where it is made of such a difference,
as the derivative of a tanh near 1 is, and off by a hundredth or so at most. The programs say which, with all that their operations take
rounded to float32, and at random: a roundoff grows by the ratio of the units, and what is wrong stays as it is. A result *jumps* where the
reference in float64, with roundings of its own, is farther off than float64's share of what float32 may be: it is on one side of a kink,
say abs(x) at x = 0, and a program's on the other, or the recurrence is chaotic and float32's roundings have long been as large as the
result. A float64 run is held there to what those roundings make of the reference.
"""
from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Callable, Mapping

import torch

from ..verify.draw import Case
from ..verify.harness import Expected, Lab, Tensors, compute
from ..verify.oracle import Reference
from ..verify.tolerance import ARITHMETIC, FLOORED, RESTART, roundoff

Rounded = Callable[[torch.Tensor], torch.Tensor]
FINER = roundoff("float64") / roundoff("float32")
TEETH = 2.0 ** -6                # of a gradient: the largest roundoff that it is held to
SAMPLES = 4


@dataclass
class Spared:
    """left: what a run in float32 may leave of gradients that are 0; infinite where rounding leaves no number, which says nothing. moved: see
    `moved`."""

    left: Mapping[str, float]
    diverging: set[str] = field(default_factory=set)
    cancelling: set[str] = field(default_factory=set)
    jumping: set[str] = field(default_factory=set)
    moved: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, program: Callable[[Rounded], Tensors], moved: Mapping[str, float]) -> Spared:
        """program: the gradients in float64, with what operations take rounded."""
        exact = program(lambda x: x)
        runs = [program(rounded) for rounded in (nearest, *map(rounding, range(SAMPLES)))]
        off = {n: [_largest(run[n] - x) for run in runs] for n, x in exact.items() if n.startswith("d ")}
        return cls({n: ARITHMETIC * max((e for e in each if e < torch.inf), default=torch.inf) for n, each in off.items()}, moved=moved)

    @property
    def kind(self) -> str | None:
        return "diverges" if self.diverging else "cancels" if self.cancelling else "jumps" if self.jumping else None

    @property
    def names(self) -> set[str]:
        """The results that the kind is of."""
        return self.diverging or self.cancelling or self.jumping

    def bounds(self, want: Expected) -> Expected:
        """What a float32 result is held to: where it cancels, to what may be left of it, or to what its roundoff may be."""
        allowed = dict(want.allowed)
        for name, left in self.left.items():
            largest = _largest(want.tensors[name])
            if allowed[name].arithmetic_error < left < torch.inf and (largest <= FINER * left or left <= TEETH * largest):
                self.cancelling.add(name)
                allowed[name] = replace(allowed[name], arithmetic_error=left)
        return replace(want, allowed=allowed)

    def in_float64(self, want: Expected) -> Expected:
        """What a float64 result is held to: see `in_float64`, or to what the reference's own roundings may make of it, if that is more."""
        bounded = self.bounds(want)
        held = dict(in_float64(bounded).allowed)
        for name, far in self.moved.items():
            if name in held and far > held[name].arithmetic_error:
                self.jumping.add(name)
                held[name] = replace(held[name], arithmetic_error=min(bounded.allowed[name].arithmetic_error, ARITHMETIC * far))
        return replace(want, allowed=held)


def in_float64(want: Expected) -> Expected:
    """What a float64 result is held to: to as much less as the unit is. Sums of log decays are float64 for a float32 result too: here
    their rounding counts, a factor of 0 among them."""
    exponent = roundoff("float64") * RESTART * FLOORED
    return replace(want, allowed={n: replace(a, arithmetic_error=a.arithmetic_error * FINER + exponent * a.scale) for n, a in want.allowed.items()})


def ties(lab: Lab, draw: Case) -> bool:
    """Whether the reference selects other memories when it rounds."""
    if lab.spec.cache is None or lab.spec.cache.top is None:
        return False
    with torch.no_grad():
        exact, *others = (run(**{n: x.to(run.dtype) for n, x in lab.plain(draw).items()}, return_weights=True)[-1]["selected"]
                          for run in (lab.reference, *lab.rounding))
    return any(not torch.equal(exact, other) for other in others)


def moved(lab: Lab, draw: Case) -> dict[str, float]:
    """How far off the reference in float64 has each result, at most, with roundings of its own."""
    inputs, want = {n: x.double() for n, x in lab.plain(draw).items()}, lab.expected(draw)
    runs = [compute(Reference(lab.spec, torch.float64, rounding=seed), inputs, draw) for seed in range(SAMPLES)]
    return {n: max(_largest((run[n] - x)[x.isfinite()]) for run in runs) for n, x in want.tensors.items()}


def nearest(x: torch.Tensor) -> torch.Tensor:
    """The nearest number with float32's digits, of any size: what is equal stays so, and a variance of 0 with it."""
    digits, exponent = torch.frexp(x)
    return torch.ldexp((digits / roundoff("float32")).round() * roundoff("float32"), exponent)


def rounding(seed: int) -> Rounded:
    """To each number a normal one of float32's unit, times its size. Tensors of whole numbers alone are exact: positions, counts, masks."""
    generator = torch.Generator().manual_seed(seed)

    def rounded(x: torch.Tensor) -> torch.Tensor:
        noise = roundoff("float32") * torch.randn(x.shape, generator=generator, dtype=x.dtype)
        return x if torch.equal(x, x.round()) else torch.where(x.isfinite(), x + x * noise, x)
    return rounded


def _largest(x: torch.Tensor) -> float:
    """Infinite where an entry is no number."""
    return float(x.abs().nan_to_num(torch.inf, torch.inf).max()) if x.numel() else 0.0
