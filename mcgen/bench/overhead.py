"""What a call costs beside its arithmetic: on inputs so small that kernels hardly count, in turns with torch.add."""
from __future__ import annotations

from typing import Any, Callable

import torch

from .cases import Case, draw, load
from .measure import both, forward, interleaved

CALLS = 100                                     # of each candidate in one turn
SIZES = {"B": 1, "T": 8, "H": 1}
SIZE = 8                                        # of every dimension


def microseconds(case: Case, rounds: int = 15) -> dict[str, tuple[float, float]]:
    """The median and the fastest turn of each kind of call, in microseconds a call, its small kernels included.

    Without gradient and with forward and backward, each beside torch.add called in the same way; one token by `step`, with a
    memory of fixed capacity where the op has a cache.
    """
    op = load(case)
    small = Case(case.op, {**SIZES, **{dim: SIZE for dim in op.manifest.dims}}, case.segment)
    given = draw(op, small)
    plain = [torch.ones(SIZE), torch.ones(SIZE)]
    candidates = {
        "torch.add": forward(torch.add, plain), "the op": forward(_by_name(op, list(given)), list(given.values())),
        "torch.add, with gradient": both(torch.add, plain), "the op, with gradient": both(_by_name(op, list(given)), list(given.values())),
        "step": _step(op, given),
    }
    times = interleaved({name: _many(call) for name, call in candidates.items()}, rounds)
    return {name: (1e3 * time.median / CALLS, 1e3 * time.least / CALLS) for name, time in times.items()}


def _by_name(op: Any, names: list[str]) -> Callable[..., torch.Tensor]:
    return lambda *tensors: op(**dict(zip(names, tensors)))


def _step(op: Any, given: dict[str, torch.Tensor]) -> Callable[[], Any]:
    token = {f.name for f in op.inputs if f.per == "token"}
    one = {name: x[:, 0].contiguous() if name in token else x for name, x in given.items()}
    room = {"capacity": 4} if op.manifest.cache else {}
    starts = {name: x for name, x in given.items() if name not in token}
    memory = op.empty_memory(SIZES["B"], SIZES["H"], **{dim: SIZE for dim in op.manifest.dims}, **room, **starts)

    def go() -> Any:
        with torch.no_grad():
            return op.step(**one, memory=memory)
    return go


def _many(call: Callable[[], Any]) -> Callable[[], None]:
    def go() -> None:
        for _ in range(CALLS):
            call()
    return go
