"""Many cases: drawn, examined and counted; what fails is shrunk, saved, and looked for no more in this run."""
from __future__ import annotations

import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Iterator, Sequence

import hypothesis
from hypothesis.errors import HypothesisException

from ..diagnostics import EnvironmentLacks, SpecError
from ..spec import load_spec
from .examine import BACKENDS, Outcome, Wrong, examine
from .saved import save
from .strategy import Case, cases

SHRINKING_S = 60.0               # a failure is shrunk this long
ROUND = 400                      # cases of one draw of hypothesis
GOOD = ("chunk form", "scan", "refused")
Watch = Callable[["Tally"], None]


@dataclass(frozen=True)
class Failure:
    """kind: 'wrong', 'rejected' (a legal spec called wrong) or 'traceback'. The case is shrunk; what: the first line of the message."""

    kind: str
    what: str
    case: Case
    place: str
    path: Path | None = None


@dataclass
class Tally:
    """What was found so far."""

    wanted: int
    done: int = 0
    kinds: Counter = field(default_factory=Counter)               # 'chunk form', 'scan', 'refused', 'wrong', 'rejected', 'traceback'
    refusals: Counter = field(default_factory=Counter)            # what was refused
    ran: Counter = field(default_factory=Counter)                 # cases by back end
    checks: int = 0
    blind: int = 0                                                # cases whose reference has nothing finite
    failures: list[Failure] = field(default_factory=list)
    seconds: float = 0.0
    slowest: float = 0.0

    @property
    def wrong(self) -> int:
        return sum(n for kind, n in self.kinds.items() if kind not in GOOD)

    def add(self, outcome: Outcome) -> None:
        self.kinds[outcome.kind] += 1
        self.ran.update(outcome.ran)
        self.checks += outcome.checks
        self.blind += outcome.blind
        if outcome.kind == "refused":
            self.refusals[outcome.detail] += 1


@dataclass(frozen=True)
class Plan:
    """every: back end -> it runs on each so-manieth case. folder: where failures are saved (None: nowhere)."""

    count: int
    seed: int = 0
    every: tuple[tuple[str, int], ...] = (("interpreter", 1), ("torch", 1))
    folder: Path | None = None
    shrinking: float = SHRINKING_S

    def backends(self, index: int) -> tuple[str, ...]:
        return tuple(name for name in BACKENDS for known, n in self.every if name == known and index % n == 0)


def hunt(plan: Plan, watch: Watch = lambda tally: None) -> Tally:
    """Examines `plan.count` cases. The same plan draws the same cases as long as no case fails; interrupted (KeyboardInterrupt), what
    was found stays in `watch`'s tally and on the disk."""
    tally, began, number = Tally(plan.count), time.perf_counter(), 0
    while tally.done < plan.count:
        before = tally.done
        _Round(plan, tally, watch, began).run(plan.seed * 100_003 + number, min(ROUND, plan.count - tally.done))
        number += 1
        if tally.done == before:
            break
    return tally


class _Round:
    """One run of hypothesis: until a case fails for a new reason, and its shrinking."""

    def __init__(self, plan: Plan, tally: Tally, watch: Watch, began: float):
        self.plan, self.tally, self.watch, self.began = plan, tally, watch, began
        self.found: Failure | None = None
        self.backends: tuple[str, ...] = ()
        self.deadline = 0.0
        self.simplest = True                     # hypothesis begins with the simplest case, in every round

    def run(self, seed: int, count: int) -> None:
        test = hypothesis.given(cases())(self.one)
        test = hypothesis.settings(max_examples=count + 1, database=None, deadline=None, derandomize=False, report_multiple_bugs=False,
                                   phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink],
                                   suppress_health_check=list(hypothesis.HealthCheck), print_blob=False)(test)
        try:
            hypothesis.seed(seed)(test)()
        except (_Found, HypothesisException):                           # Flaky: the time for shrinking was over
            if self.found is None:
                raise
        if self.found is not None:
            failure = self.found
            path = save(failure, self.plan.folder, len(self.tally.failures) + 1) if self.plan.folder else None
            self.tally.failures.append(Failure(failure.kind, failure.what, failure.case, failure.place, path))
            self.watch(self.tally)

    def one(self, case: Case) -> None:
        if self.found is not None:
            return self.shrunk(case)
        if self.simplest:
            self.simplest = False
            return
        if self.tally.done >= self.plan.count:
            return
        backends, started = self.plan.backends(self.tally.done), time.perf_counter()
        failure = attempt(case, backends, self.tally)
        self.tally.done += 1
        self.tally.seconds = time.perf_counter() - self.began
        self.tally.slowest = max(self.tally.slowest, time.perf_counter() - started)
        if failure is not None:
            self.tally.kinds[failure.kind] += 1
        self.watch(self.tally)
        if failure is not None and failure.place not in {f.place for f in self.tally.failures}:
            self.found, self.backends = failure, backends
            self.deadline = time.perf_counter() + self.plan.shrinking
            raise _Found

    def shrunk(self, case: Case) -> None:
        if case == self.found.case:
            raise _Found
        if time.perf_counter() > self.deadline:
            return
        failure = attempt(case, self.backends, None)
        if failure is not None and failure.place == self.found.place:
            self.found = failure
            raise _Found


class _Found(Exception):
    """A failing case, for hypothesis to shrink."""


def attempt(case: Case, backends: Sequence[str], tally: Tally | None) -> Failure | None:
    """Examines a case; its failure, or None."""
    try:
        outcome = examine(case, backends)
    except (KeyboardInterrupt, EnvironmentLacks):
        raise
    except Wrong as wrong:
        return Failure("wrong", str(wrong), case, f"{wrong.backend}: {kind_of(wrong.checks[0].what)}")
    except SpecError as error:
        return Failure("rejected", str(error).splitlines()[0], case, error.code)
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        own = next((f for f in reversed(frames) if "/mcgen/" in f.filename.replace("\\", "/")), frames[-1])
        text = str(error).strip().splitlines()
        return Failure("traceback", f"{type(error).__name__}: {text[0] if text else ''}", case,
                       f"{type(error).__name__} in {Path(own.filename).name}:{own.name}")
    if tally is not None:
        tally.add(outcome)
    return None


def kind_of(what: str) -> str:
    """What was wrong, without a name that shrinking changes."""
    return what.split()[0]


def replay(files: Sequence[Path], backends: Sequence[str]) -> Iterator[tuple[Path, Outcome | Failure]]:
    """Saved cases, examined again."""
    from .saved import load

    for path in files:
        case, failed = load(path), Tally(1)
        load_spec(case.spec)                                             # raises where the file itself is wrong
        outcome = attempt(case, backends, failed)
        yield path, outcome if outcome is not None else Outcome(*next(((k, "") for k in failed.kinds), ("", "")), ran=list(failed.ran), checks=failed.checks)
