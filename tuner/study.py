"""The search: ask for a configuration, have it measured, tell what came of it, until enough trials or seconds.

Proposals come from TPE over the trials so far. They are drawn until one is feasible and new: what can't work costs nothing and teaches
nothing. Where draws only repeat themselves, an untried configuration is taken.
"""
from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import Any, Callable, Mapping, Sequence

from . import journal, states
from .space import Config, Space
from .states import Outcome

STARTUP = 8                 # random proposals before the model is believed
DRAWS = 64
SMALL = 1 << 14             # spaces up to this size are gone through to the end
PENALTY = 1.0               # added to the worst score: what a configuration that failed counts as


@dataclass(frozen=True)
class Trial:
    """A finished or running one. score: below 1 is faster than the default; None where it gave no time."""

    number: int
    config: Config
    state: str
    score: float | None = None
    detail: str = ""
    found: Mapping[str, Any] | None = None
    seconds: float = 0.0


def search(study: Any, space: Space, evaluate: Callable[[Config], Outcome], *, trials: int, seconds: float, seed: int = 0,
           first: Sequence[Config] = (), say: Callable[[Sequence[Trial]], None] = lambda _: None) -> list[Trial]:
    """Goes on until `trials` trials are finished, earlier runs' included, or `seconds` have passed, or nothing feasible is untried.

    first: configurations to begin with. say: called with all trials after each. Gives all trials.
    """
    began = time.monotonic()
    while True:
        done = trials_of(study, space)
        say(done)
        if sum(t.state != states.INTERRUPTED for t in done) >= trials or time.monotonic() - began >= seconds:
            return done
        config = next((c for c in first if space.holds(c) and not tried(c, done)), None) or propose(space, done, seed)
        if config is None:
            return done
        one_trial(study, space, config, evaluate)


def one_trial(study: Any, space: Space, config: Config, evaluate: Callable[[Config], Outcome]) -> None:
    """Measures a configuration as a trial of its own. A KeyboardInterrupt ends the trial as interrupted and goes on up."""
    trial = journal.begin(study, space, config)
    try:
        outcome = evaluate(config)
    except BaseException:
        trial.end(Outcome(states.INTERRUPTED))
        raise
    trial.end(outcome)


def trials_of(study: Any, space: Space) -> list[Trial]:
    """All trials of a study that have a state, and the running ones."""
    found = []
    for t in study.get_trials(deepcopy=False):
        config = t.user_attrs.get(journal.CONFIG)
        if config is None or not space.holds(config):
            continue
        state = t.user_attrs.get(journal.STATE, "running")
        spent = (t.datetime_complete - t.datetime_start).total_seconds() if t.datetime_complete and t.datetime_start else 0.0
        found.append(Trial(t.number, config, state, t.value if state == states.DONE else None, t.user_attrs.get(journal.DETAIL, ""),
                           t.user_attrs.get(journal.FOUND), spent))
    return found


def tried(config: Config, trials: Sequence[Trial]) -> bool:
    return any(t.config == config and t.state != states.INTERRUPTED for t in trials)


def propose(space: Space, trials: Sequence[Trial], seed: int) -> Config | None:
    """A feasible configuration that is in no trial; None where there is none left. A pure function of its arguments."""
    package = journal.optuna()
    scratch = package.create_study(sampler=package.samplers.TPESampler(seed=seed + len(trials), n_startup_trials=STARTUP))
    distributions = journal.distributions(space)
    worst = max((t.score for t in trials if t.score is not None), default=1.0)
    for t in trials:
        if t.state in ("running", states.INTERRUPTED):
            continue
        value = t.score if t.score is not None else worst + PENALTY
        scratch.add_trial(package.trial.create_trial(params=space.positions(t.config), distributions=distributions, value=value))
    for _ in range(DRAWS):
        config = space.settle(space.at(scratch.ask(distributions).params))
        if not space.feasible(config) and not tried(config, trials):
            return config
    chance = random.Random(seed + len(trials))
    if space.size > SMALL:
        drawn = (space.settle({k.name: chance.choice(k.choices) for k in space.knobs}) for _ in range(DRAWS))
        return next((c for c in drawn if not space.feasible(c) and not tried(c, trials)), None)
    left = [c for c in space.configs() if not tried(c, trials)]
    return chance.choice(left) if left else None


def ranked(trials: Sequence[Trial]) -> list[Trial]:
    """Those with a time, the fastest first."""
    return sorted((t for t in trials if t.score is not None), key=lambda t: (t.score, t.number))
