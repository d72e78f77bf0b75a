"""Candidates against the default in one process, in turns, so that other load on the machine hits all of them alike.

What counts is the ratio of a candidate's time to the default's in the same round: its median, and the distance between its quartiles.
"""
from __future__ import annotations

import math
import statistics
import time
from typing import Any, Callable, Mapping, Sequence

import torch

from mcgen.bench.measure import both, forward

from .states import Wrong

DIRECTIONS: dict[str, Callable] = {"forward": forward, "forward + backward": both}
DEFAULT = "default"
LEAST = 3                               # rounds
HOPELESS = 1.5                          # a candidate that much slower is not measured to the end
SAME = {2: 2e-2, 4: 2e-4}               # of the largest entry, by bytes of a number: finds what is plainly wrong, the gates find the rest


def compare(default: Callable, candidate: Callable, inputs: Mapping[str, torch.Tensor]) -> None:
    """Raises Wrong where the candidate's result or a gradient is not the default's, or is not the same twice."""
    want, got, again = (_results(op, inputs) for op in (default, candidate, candidate))
    for name, x in want.items():
        scale = float(x.abs().max()) or 1.0
        error = float((got[name].float() - x.float()).abs().max()) / scale
        if not error <= SAME[x.element_size()]:
            raise Wrong(f"{name} differs from the default's by {error:.1e} of its largest entry")
        if not torch.equal(got[name], again[name]):
            raise Wrong(f"{name} differs between two runs")


def _results(op: Callable, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    leaves = {name: x.detach().requires_grad_() for name, x in inputs.items()}
    y = op(**leaves)
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(y)
    gradients = torch.autograd.grad(y, list(leaves.values()), weights, allow_unused=True)
    return {"y": y.detach(), **{f"d {name}": g for name, g in zip(leaves, gradients) if g is not None}}


def race(ops: Mapping[str, Callable], inputs: Mapping[str, torch.Tensor], rounds: int, seconds: float, give_up: bool = False) -> dict[str, Any]:
    """{direction: {name: {"ms", "spread", "ratio", "noise", "rounds"}}} for `ops`, of which one is called "default".

    ms: median; spread: distance of the quartiles; ratio: median of the ratios to the default in the same round; noise: half the distance of
    their quartiles. Each direction has `seconds`, three rounds at least. give_up: stop early where all others are far slower.
    """
    names, given = list(inputs), list(inputs.values())
    found = {}
    for direction, wrap in DIRECTIONS.items():
        calls = {name: wrap(_by_name(op, names), given) for name, op in ops.items()}
        for call in calls.values():
            call()
        taken: dict[str, list[float]] = {name: [] for name in calls}
        began = time.perf_counter()
        for done in range(rounds):
            if done >= LEAST and (time.perf_counter() - began > seconds or give_up and _hopeless(taken)):
                break
            order = list(calls) if done % 2 == 0 else list(reversed(calls))
            for name in order:
                taken[name].append(_once(calls[name]))
        found[direction] = {name: _summary(times, taken[DEFAULT]) for name, times in taken.items()}
    return found


def score(found: Mapping[str, Any], name: str) -> float:
    """Below 1 is faster than the default: the geometric mean over directions of the ratios."""
    return math.exp(statistics.fmean(math.log(by[name]["ratio"]) for by in found.values()))


def noise(found: Mapping[str, Any], name: str) -> float:
    """What of a score is chance, at most: the largest over directions."""
    return max(by[name]["noise"] for by in found.values())


def _by_name(op: Callable, names: Sequence[str]) -> Callable:
    return lambda *xs: op(**dict(zip(names, xs)))


def _once(call: Callable[[], Any]) -> float:
    _wait()
    began = time.perf_counter()
    call()
    _wait()
    return 1e3 * (time.perf_counter() - began)


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _hopeless(taken: Mapping[str, Sequence[float]]) -> bool:
    least = min(taken[DEFAULT])
    return all(min(times) > HOPELESS * least for name, times in taken.items() if name != DEFAULT)


def _summary(times: Sequence[float], default: Sequence[float]) -> dict[str, float]:
    low, _, high = statistics.quantiles(times, n=4)
    ratios = [mine / other for mine, other in zip(times, default)]
    least, _, most = statistics.quantiles(ratios, n=4)
    return {"ms": round(statistics.median(times), 4), "spread": round(high - low, 4), "ratio": round(statistics.median(ratios), 5),
            "noise": round((most - least) / 2, 5), "rounds": len(times)}
