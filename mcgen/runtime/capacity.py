"""`mcgen::within_capacity`: the check that a call fits into a memory of fixed capacity, at run time, traced or not."""
from __future__ import annotations

import torch

from mcgen.diagnostics import UsageError

from .plan import Plan

_library = torch.library.Library("mcgen", "FRAGMENT")
_library.define("within_capacity(Tensor after, int length, SymInt capacity) -> Tensor", tags=(torch.Tag.pt2_compliant_tag,))


def _within(after: torch.Tensor, length: int, capacity: int) -> torch.Tensor:
    if after.device.type == "cpu":
        _check(after.tolist(), length, capacity)
    else:
        torch._assert_async((after // length <= capacity).all(), f"past the memory's capacity of {capacity} segments of {length} tokens")
    return after.clone()


def _check(after: list[int], length: int, capacity: int) -> None:
    ended = max(after, default=0) // length
    if ended > capacity:
        raise UsageError(f"the call ends segment {ended}, past the memory's capacity of {capacity} segments of {length} tokens", "capacity",
                         "give empty_memory a larger capacity")


_library.impl("within_capacity", _within, "CompositeExplicitAutograd")
torch.library.register_fake("mcgen::within_capacity", lambda after, length, capacity: torch.empty_like(after), lib=_library)


def reached(seen: list[int], plan: Plan) -> list[int]:
    """How many tokens each row has seen after the call, from those before it."""
    counts = None if plan.packed is None else plan.packed.counts
    return [n + plan.tokens for n in seen] if counts is None else [n + m for n, m in zip(seen, counts)]


def within_capacity(position: torch.Tensor, seen: list[int] | None, plan: Plan, length: int, capacity: int) -> torch.Tensor:
    """`position` [B] int64, once it is known that the call of this plan ends no segment over `capacity` of `length` tokens.

    `seen`: position as numbers, if they are at hand; then the check is made here and now.
    Raises UsageError that names the capacity; on a device that works ahead, a device-side assertion.
    """
    if seen is not None:
        _check(reached(seen, plan), length, capacity)
        return position
    return torch.ops.mcgen.within_capacity.default(position + plan.lengths, length, capacity) - plan.lengths
