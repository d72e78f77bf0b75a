"""`mcgen::within_capacity`: the check that a call fits into a memory of fixed capacity, at run time, traced or not."""
from __future__ import annotations

import torch

from mcgen.diagnostics import UsageError

_library = torch.library.Library("mcgen", "FRAGMENT")
_library.define("within_capacity(Tensor position, int tokens, int length, int capacity) -> Tensor", tags=(torch.Tag.pt2_compliant_tag,))


def _within(position: torch.Tensor, tokens: int, length: int, capacity: int) -> torch.Tensor:
    if position.device.type == "cpu":
        _check(position.tolist(), tokens, length, capacity)
    else:
        torch._assert_async(((position + tokens) // length <= capacity).all(), f"past the memory's capacity of {capacity} segments of {length} tokens")
    return position.clone()


def _check(seen: list[int], tokens: int, length: int, capacity: int) -> None:
    ended = (max(seen, default=0) + tokens) // length
    if ended > capacity:
        raise UsageError(f"the call ends segment {ended}, past the memory's capacity of {capacity} segments of {length} tokens", "capacity",
                         "give empty_memory a larger capacity")


_library.impl("within_capacity", _within, "CompositeExplicitAutograd")
torch.library.register_fake("mcgen::within_capacity", lambda position, tokens, length, capacity: torch.empty_like(position), lib=_library)


def within_capacity(position: torch.Tensor, seen: list[int] | None, tokens: int, length: int, capacity: int) -> torch.Tensor:
    """`position` [B] int64, once it is known that after `tokens` more no row has ended over `capacity` segments of `length`.

    `seen`: position as numbers, if they are at hand; then the check is made here and now.
    Raises UsageError that names the capacity; on a device that works ahead, a device-side assertion.
    """
    if seen is not None:
        _check(seen, tokens, length, capacity)
        return position
    return torch.ops.mcgen.within_capacity.default(position, tokens, length, capacity)
