"""From the best trials to a record: measured again beside the default, in turns; the gates; and only what gains more than the noise."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Mapping, Sequence

from . import measure
from .space import Config, Space
from .states import Outcome
from .study import Trial, ranked
from .work import CONTROL

FINALISTS = 3
ENOUGH = 10                     # other configurations measured, before it is said that the default is best
LEAST_NOISE = 0.01              # a gain below one per cent is none


@dataclass(frozen=True)
class Verdict:
    """config: what may be kept, None where the default stays. `why`: in words. times: of the last race, by direction and name.

    no_gain: the study was run to its end, and found nothing that is faster than the default by more than the noise.
    """

    config: Config | None
    why: str
    score: float | None = None
    noise: float | None = None
    name: str | None = None                                  # the winner's in `times`
    times: Mapping[str, Any] = field(default_factory=dict)
    gates: Mapping[str, Any] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)        # finalists that a gate refused: name -> what
    no_gain: bool = False


def judge(space: Space, trials: Sequence[Trial], race: Callable[[Mapping[str, Config]], Outcome], gates: Callable[[Config], Outcome]) -> Verdict:
    """race: measures configurations by name beside the default. gates: whether one is right. Both in processes of their own.

    Among those that beat the default by more than the noise the fastest wins, or a simpler one that is within the noise of it; and only if it
    does so again.
    """
    best = [t for t in ranked(trials) if t.config != space.default and t.score is not None and t.score < 1.0][:FINALISTS]
    if not best:
        tested = len(ranked(trials))
        if not tested:
            return Verdict(None, "no configuration could be measured")
        return Verdict(None, f"none of {tested} configurations was faster than the default", no_gain=True)
    named = {f"trial {t.number}": t.config for t in best}
    outcome = race(named)
    if not outcome.ok:
        return Verdict(None, f"the last measurement ended with: {outcome.state} ({outcome.detail})")
    times = outcome.found["times"]
    floor = floor_of(times)
    scores = {name: measure.score(times, name) for name in named}
    noises = {name: max(floor, measure.noise(times, name)) for name in named}
    order = sorted((n for n in named if gains(times, n, noises[n])), key=lambda n: scores[n])
    if not order:
        first = min(scores, key=lambda n: scores[n])
        return Verdict(None, f"the best, {first}, takes {scores[first]:.3f} of the default's time, with a noise of {noises[first]:.3f}: no gain",
                       scores[first], noises[first], None, times, no_gain=True)
    failed: dict[str, str] = {}
    for name in by_plainness(order, scores, noises, lambda n: space.plainness(named[n])):
        checked = gates(named[name])
        if checked.ok and checked.found.get("ok"):
            return confirmed(name, named[name], race({name: named[name]}), checked, failed)
        failed[name] = ", ".join(checked.found.get("failed", ())) or f"{checked.state}: {checked.detail}"
    return Verdict(None, "every configuration that was faster failed a gate", None, None, None, times, {}, failed)


def confirmed(name: str, config: Config, outcome: Outcome, checked: Outcome, failed: Mapping[str, str]) -> Verdict:
    """The best of several is partly the luckiest of them, so it has to gain once more, alone beside the default; these times are kept."""
    if not outcome.ok:
        return Verdict(None, f"the last measurement ended with: {outcome.state} ({outcome.detail})", failed=failed)
    times = outcome.found["times"]
    score, noise = measure.score(times, name), max(floor_of(times), measure.noise(times, name))
    said = f"{name} takes {score:.3f} of the default's time, with a noise of {noise:.3f}"
    if not gains(times, name, noise):
        return Verdict(None, f"measured once more, {said}: no gain", score, noise, None, times, {}, failed, no_gain=True)
    return Verdict(config, said, score, noise, name, times, checked.found, failed)


def settled(space: Space, trials: Sequence[Trial], verdict: Verdict, race: Callable[[Mapping[str, Config]], Outcome], gates: Callable[[Config], Outcome]) -> Verdict:
    """The default as what is kept, where nothing of a fair number gains and it passes the gates: this device then takes no other's record."""
    if not verdict.no_gain or sum(t.config != space.default for t in ranked(trials)) < ENOUGH:
        return verdict
    checked, outcome = gates(space.default), race({})
    if not (checked.ok and checked.found.get("ok") and outcome.ok):
        return verdict
    times = outcome.found["times"]
    return Verdict(space.default, verdict.why, 1.0, floor_of(times), measure.DEFAULT, times, checked.found, verdict.failed, True)


def floor_of(times: Mapping[str, Any]) -> float:
    """How far the default is from itself, and one per cent at least."""
    return max(LEAST_NOISE, *(max(abs(1.0 - by[CONTROL]["ratio"]), by[CONTROL]["noise"]) for by in times.values()))


def gains(times: Mapping[str, Any], name: str, noise: float) -> bool:
    """Faster by more than the noise over all directions, and in none slower by more."""
    return measure.score(times, name) < 1.0 - noise and all(by[name]["ratio"] < 1.0 + noise for by in times.values())


def by_plainness(order: Sequence[str], scores: Mapping[str, float], noises: Mapping[str, float], plainness: Callable[[str], Any]) -> list[str]:
    """`order` is from the fastest on; those within its noise of it come first, the simplest before the others."""
    near = [n for n in order if scores[n] <= scores[order[0]] + noises[order[0]]]
    return [*sorted(near, key=plainness), *(n for n in order if n not in near)]


