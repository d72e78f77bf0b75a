"""Timing: candidates take turns, so that a slow moment of the machine hits all of them; the median is what counts."""
from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import Any, Callable, Mapping, Sequence

import torch


@dataclass(frozen=True)
class Time:
    """Milliseconds of one call: the median, the fastest, and the distance between the quartiles."""

    median: float
    least: float
    spread: float
    rounds: int

    def __str__(self) -> str:
        return f"{self.median:.3g}" if self.median < 100 else f"{self.median:.0f}"


def interleaved(candidates: Mapping[str, Callable[[], Any]], rounds: int = 7, seconds: float = 20.0, warm: int = 2) -> dict[str, Time]:
    """Each candidate called in turn, `rounds` times or until `seconds` have passed (at least three rounds)."""
    for call in candidates.values():
        for _ in range(warm):
            call()
    taken: dict[str, list[float]] = {name: [] for name in candidates}
    began = time.perf_counter()
    for done in range(rounds):
        if done >= 3 and time.perf_counter() - began > seconds:
            break
        for name, call in candidates.items():
            taken[name].append(_once(call))
    return {name: _time(values) for name, values in taken.items()}


def _once(call: Callable[[], Any]) -> float:
    _wait()
    began = time.perf_counter()
    call()
    _wait()
    return 1e3 * (time.perf_counter() - began)


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _time(values: Sequence[float]) -> Time:
    quarters = statistics.quantiles(values, n=4) if len(values) > 1 else [values[0]] * 3
    return Time(statistics.median(values), min(values), quarters[2] - quarters[0], len(values))


def forward(call: Callable[..., torch.Tensor], inputs: Sequence[torch.Tensor]) -> Callable[[], Any]:
    """A forward pass that keeps nothing for a backward pass."""
    def go() -> Any:
        with torch.no_grad():
            return call(*inputs)
    return go


def both(call: Callable[..., torch.Tensor], inputs: Sequence[torch.Tensor]) -> Callable[[], Any]:
    """A forward and a backward pass, with gradients of all inputs."""
    leaves = [x.detach().requires_grad_() for x in inputs]
    given: list[torch.Tensor] = []

    def go() -> Any:
        y = call(*leaves)
        if not given:
            given.append(torch.randn_like(y))
        return torch.autograd.grad(y, leaves, given[0], allow_unused=True)
    return go


def exponent(sizes: Sequence[float], times: Sequence[float]) -> float:
    """The slope of log(time) over log(size), by least squares."""
    import numpy as np

    return float(np.polyfit(np.log(sizes), np.log(times), 1)[0])
