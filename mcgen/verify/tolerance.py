"""How far an op may be from the reference. The only place with numbers for that.

An error is allowed up to

    OUT * u(out) * scale  +  u(arithmetic) * (ARITHMETIC * (sqrt(terms) * scale + cancelled + rounding) + exponent * scale)

u            unit roundoff: of the dtype that a result is stored in, and of the arithmetic behind it (float32 for inputs
             of 16 bits too: the reference gets the rounded inputs, so only the stored result is rounded once more). An op that
             says it computes in less than float32 is given that for float32 results; those stored in 16 bits have room enough
scale        the largest entry of the reference tensor.
cancelled    for the gradient of an interval input (a decay) the size of the terms |x . dx| that it may be the
             difference of. A log decay's gradient is sum(q . dq - k . dk) over later tokens: at strong decay pure
             cancellation, so it is held against its terms. Independent errors: the root of the sum over tokens of squares.
terms        how many products one entry adds up: tokens plus sizes of the dims. Rounding errors add like a random walk.
rounding     the largest error of the same token-by-token run in float32, in its roundoffs: the condition of the function. To
             every state, its cotangent, and the derivative of a softmax over memories the run adds the rounding that other
             algorithms have there (`mcgen.verify.rounding`): of what is a difference, a roundoff of its terms.
exponent     how large a cumulative sum of log decays may get before it restarts: its rounding is an absolute error of an
             exponent, so a relative one of what is decayed. RESTART tokens of the largest entry of a half-infinite input,
             which counts as FLOOR at most (exp(-120) is zero in float32). Nothing at usual decays; 2e-4 at infinite ones.
             For the gradient of an input that makes a factor 0, at an end of its domain, a token counts as FLOORED at least: what
             crosses that token alone is all that such a gradient is of, and it is divided by the factor that stands for 0.

The constants: ARITHMETIC 8 leaves correct float32 chunk forms a factor of ten (their ratios are about 0.1); 1e-4 of the
scale of a well-conditioned tensor is refused.
"""
from __future__ import annotations

import math
from dataclasses import dataclass

import torch

OUT = 2.0
ARITHMETIC = 8.0
RESTART = 2 * 16                # blocks of 16 tokens, and a rounding at either end of a difference
FLOOR = 120.0
FLOORED = -math.log(1e-30)      # a factor of 0 may be lowered as exp(log(1e-30))
ABSOLUTE = 1e-24               # where the reference is exactly 0, and a factor of 0 is lowered so
WEIGHTS = 1e-4                  # weights are for looking at: relative to the largest
HALVES = (torch.bfloat16, torch.float16)
UNIT_ROUNDOFF = {"float64": 2.0 ** -53, "float32": 2.0 ** -24, "tf32": 2.0 ** -11, "float16": 2.0 ** -11, "bfloat16": 2.0 ** -8}


def roundoff(dtype: torch.dtype | str) -> float:
    return UNIT_ROUNDOFF[str(dtype).removeprefix("torch.")]


def arithmetic_of(dtype: torch.dtype) -> str:
    """What an op computes in for inputs of a dtype, unless it says otherwise."""
    return "float64" if dtype == torch.float64 else "float32"


@dataclass(frozen=True)
class Allowed:
    """The largest error allowed anywhere in one tensor, before its own rounding; `scale` for that rounding."""

    arithmetic_error: float
    scale: float

    def for_dtype(self, dtype: torch.dtype) -> float:
        return self.arithmetic_error + OUT * roundoff(dtype) * self.scale + ABSOLUTE


def allowed(reference: torch.Tensor, in_float32: torch.Tensor, terms: int, arithmetic: str, *, term_scale: float = 0.0,
            decay: float = 0.0) -> Allowed:
    """From the reference tensor, and the one of the run in float32. `decay`: the largest half-infinite input."""
    finite = torch.isfinite(reference) & torch.isfinite(in_float32)
    here, rounded = reference[finite], in_float32[finite].double()
    scale = float(here.abs().max()) if here.numel() else 0.0
    rounding = float((rounded - here).abs().max()) / roundoff("float32") if here.numel() else 0.0
    exponent = RESTART * min(decay, FLOOR)
    return Allowed(roundoff(arithmetic) * (ARITHMETIC * (math.sqrt(terms) * scale + term_scale + rounding)
                                            + exponent * max(scale, term_scale)), scale)
