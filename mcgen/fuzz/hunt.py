"""Many cases: drawn, examined and counted; what fails is shrunk, saved, and looked for no more in this run."""
from __future__ import annotations

import time
import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable, Iterator, Sequence

import hypothesis
from hypothesis.errors import HypothesisException

from ..diagnostics import EnvironmentLacks, SpecError
from ..spec import load_spec
from .examine import BACKENDS, Outcome, Wrong, examine
from .saved import load, save
from .strategy import Case, cases
from .tally import Failure, Tally, read, source, write

SHRINKING_S = 60.0               # a failure is shrunk this long
Watch = Callable[[Tally], None]


@dataclass(frozen=True)
class Plan:
    """every: back end -> it runs on each so-manieth case. folder: where failures and counts are kept (None: nowhere)."""

    count: int
    seed: int = 0
    every: tuple[tuple[str, int], ...] = (("interpreter", 1), ("torch", 1))
    folder: Path | None = None
    shrinking: float = SHRINKING_S

    def backends(self, index: int) -> tuple[str, ...]:
        return tuple(name for name in BACKENDS for known, n in self.every if name == known and index % n == 0)

    @property
    def path(self) -> Path | None:
        """Of the counts: the same for any count of the same cases."""
        name = "_".join([f"seed{self.seed}", *(name if n == 1 else f"{name}{n}" for name, n in self.every)])
        return self.folder and self.folder / f"{name}.json"


def hunt(plan: Plan, watch: Watch = lambda tally: None, stopped: Callable[[], bool] = lambda: False) -> Tally:
    """Examines `plan.count` cases, less those that an earlier run of the same plan has counted.

    stopped: whether the run was interrupted. The exception alone does not say so: raised inside a callback or while an object is
    deleted, it is lost, or comes out as another one.

    Ensures: a case depends on the seed and its number alone; killed at any time, what was examined is in `plan.path`. Raises
    KeyboardInterrupt, with nothing of an interrupted case counted.
    """
    tally = read(plan.path, plan.count) if plan.path else Tally(plan.count)
    code, began = source(), time.perf_counter() - tally.seconds
    watch(tally)
    while tally.done < plan.count:
        try:
            _One(plan, tally, watch, stopped, began, code).run()
        except Exception:
            if stopped():
                raise KeyboardInterrupt from None
            raise
    return tally


class _One:
    """One run of hypothesis: a case, and its shrinking if it fails for a new reason.

    Left to itself, hypothesis draws more than half of its cases by changing or repeating earlier ones.
    """

    def __init__(self, plan: Plan, tally: Tally, watch: Watch, stopped: Callable[[], bool], began: float, code: str):
        self.plan, self.tally, self.watch, self.stopped, self.began, self.code = plan, tally, watch, stopped, began, code
        self.found: Failure | None = None
        self.deadline = 0.0
        self.simplest = True                     # what hypothesis begins with, whatever the seed
        self.backends = plan.backends(tally.done)

    def run(self) -> None:
        test = hypothesis.given(cases())(self.one)
        test = hypothesis.settings(max_examples=2, database=None, deadline=None, derandomize=False, report_multiple_bugs=False,
                                   phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink],
                                   suppress_health_check=list(hypothesis.HealthCheck), print_blob=False)(test)
        try:
            hypothesis.seed(self.plan.seed * 1_000_003 + self.tally.done)(test)()
        except (_Found, _Enough, HypothesisException):
            if self.found is None:
                raise
        if self.found is not None:
            self.tally.failures[-1] = self.saved(self.found, len(self.tally.failures))
            self.keep()

    def one(self, case: Case) -> None:
        if self.simplest:
            self.simplest = False
        elif self.first(case) if self.found is None else self.shrunk(case):
            raise _Found                         # here alone: one line, one failure

    def first(self, case: Case) -> bool:
        """Examines and counts the case; whether it failed for a new reason."""
        tally, started = self.tally, time.perf_counter()
        failure = attempt(case, self.backends, tally)
        if failure is not None and self.stopped():
            raise KeyboardInterrupt
        new = failure is not None and failure.place not in {f.place for f in tally.failures}
        if failure is not None:
            tally.kinds[failure.kind] += 1
            if new:
                tally.failures.append(self.saved(failure, len(tally.failures) + 1))
        tally.done += 1
        tally.sources[self.code] += 1
        tally.seconds = time.perf_counter() - self.began
        tally.slowest = max(tally.slowest, time.perf_counter() - started)
        self.keep()
        if self.stopped():
            raise KeyboardInterrupt
        if new:
            self.found = failure
            self.deadline = time.perf_counter() + self.plan.shrinking
        return new

    def shrunk(self, case: Case) -> bool:
        """Whether the case fails as the one that was found."""
        assert self.found is not None
        if case == self.found.case:
            return True
        if time.perf_counter() > self.deadline:
            raise _Enough
        failure = attempt(case, self.backends, None)
        if self.stopped():
            raise KeyboardInterrupt
        if failure is None or failure.place != self.found.place:
            return False
        self.found = failure
        return True

    def saved(self, failure: Failure, number: int) -> Failure:
        folder = self.plan.folder
        return replace(failure, path=save(failure, folder / f"{failure.kind}_{self.plan.seed}_{number}.yaml")) if folder else failure

    def keep(self) -> None:
        if self.plan.path:
            write(self.tally, self.plan.path)
        self.watch(self.tally)


class _Found(Exception):
    """A failing case, for hypothesis to shrink."""


class _Enough(BaseException):
    """The time for shrinking is over. No exception that hypothesis would take for a failure: it would go on drawing for minutes."""


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
    for path in files:
        case, failed = load(path), Tally(1)
        load_spec(case.spec)                                             # raises where the file itself is wrong
        outcome = attempt(case, backends, failed)
        yield path, outcome if outcome is not None else Outcome(*next(((k, "") for k in failed.kinds), ("", "")), ran=list(failed.ran), checks=failed.checks)
