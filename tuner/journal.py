"""The study's journal: a file that grows by a line per event, so that a study goes on where it stopped, and several workers share one.

A worker that is killed while it writes leaves half a line: `mend` takes that away. One that is killed during a trial leaves the trial
open: `close_abandoned` ends it.
"""
from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Mapping, cast

from mcgen.diagnostics import EnvironmentLacks, UsageError

from . import states
from .space import Config, Space
from .states import Outcome

OWNER = "owner"                     # attributes of a trial
CONFIG, STATE, DETAIL, FOUND = "config", "state", "detail", "found"


class FileLock:
    """For Optuna's journal. The system lets go of it when its holder dies, however that happens."""

    def __init__(self, journal: Path):
        self.path = journal.with_suffix(".lock")
        self._held: IO[bytes] | None = None

    def acquire(self) -> bool:
        held = open(self.path, "ab")
        fcntl.flock(held, fcntl.LOCK_EX)
        self._held = held
        return True

    def release(self) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None

    def __enter__(self) -> FileLock:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def optuna() -> Any:
    """The package, quiet."""
    try:
        import optuna
    except ModuleNotFoundError:
        raise EnvironmentLacks("tuning needs the package optuna, which is not installed", hint="pip install 'optuna>=5'") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def open_study(path: Path, sampler: Any = None) -> Any:
    """The study in a journal, made where there is none. Raises UsageError for a damaged one."""
    package = optuna()
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    path.parent.mkdir(parents=True, exist_ok=True)
    mend(path)
    try:
        storage = JournalStorage(JournalFileBackend(str(path), lock_obj=cast(Any, FileLock(path))))
        study = package.create_study(study_name="tune", storage=storage, sampler=sampler, direction="minimize", load_if_exists=True)
        study.get_trials(deepcopy=False)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, AssertionError) as reason:
        raise UsageError(f"the journal {path} is damaged ({type(reason).__name__})", "journal", "begin anew with --fresh, or delete it") from None
    close_abandoned(study)
    return study


def mend(path: Path) -> None:
    """Takes away a last line that is not complete. Raises UsageError for a line before it that is no event."""
    if not path.exists():
        return
    with FileLock(path), open(path, "r+b") as file:
        data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                fine = isinstance(json.loads(line), dict)
            except ValueError:
                fine = False
            if not fine:
                raise UsageError(f"the journal {path} is damaged at line {number}", "journal", "begin anew with --fresh, or delete it")
        file.truncate(len(whole))


def distributions(space: Space) -> dict[str, Any]:
    """A space as Optuna sees it: positions among each knob's choices."""
    return {knob.name: optuna().distributions.IntDistribution(0, len(knob.choices) - 1) for knob in space.knobs}


@dataclass(frozen=True)
class Running:
    """A trial that runs."""

    study: Any
    number: int
    key: int

    def end(self, outcome: Outcome) -> None:
        for name, value in ((STATE, outcome.state), (DETAIL, outcome.detail), (FOUND, dict(outcome.found))):
            self.study._storage.set_trial_user_attr(self.key, name, value)
        if outcome.ok:
            self.study.tell(self.number, outcome.found["score"])
        else:
            self.study.tell(self.number, state=optuna().trial.TrialState.FAIL)


def begin(study: Any, space: Space, config: Config) -> Running:
    """A new trial of a configuration, running, with its owner, in one event: nobody sees it without, and takes it for abandoned."""
    package = optuna()
    running = package.trial.TrialState.RUNNING
    mine = {OWNER: me(), CONFIG: dict(config)}
    study.add_trial(package.trial.create_trial(state=running, params=space.positions(config), distributions=distributions(space), user_attrs=mine))
    number, key = next((t.number, t._trial_id) for t in reversed(study.get_trials(deepcopy=False, states=(running,))) if t.user_attrs == mine)
    return Running(study, number, key)


def close_abandoned(study: Any) -> None:
    """Trials whose worker, on this machine, is gone end as interrupted."""
    package = optuna()
    for trial in study.get_trials(deepcopy=False, states=(package.trial.TrialState.RUNNING,)):
        if not _alive(trial.user_attrs.get(OWNER)):
            with contextlib.suppress(package.exceptions.UpdateFinishedTrialError):          # another worker was quicker
                Running(study, trial.number, trial._trial_id).end(Outcome(states.INTERRUPTED))


def me() -> dict[str, Any]:
    return {"host": socket.gethostname(), "pid": os.getpid(), "born": _born(os.getpid())}


def _alive(owner: Mapping[str, Any] | None) -> bool:
    """Workers elsewhere are taken to be alive."""
    if owner is None:
        return False
    return owner.get("host") != socket.gethostname() or _born(int(owner["pid"])) == owner.get("born") is not None


def _born(pid: int) -> str | None:
    """When a process began, in the system's ticks; None where there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        pass
    try:
        os.kill(pid, 0)
        return ""
    except PermissionError:
        return ""
    except OSError:
        return None
