"""The study's journal: a file that grows by a line per event, so that a study goes on where it stopped, and several workers share one.

A worker that is killed while it writes leaves half a line: `mend` takes that away. One that is killed during a trial leaves the trial
open: `close_abandoned` ends it.
"""
from __future__ import annotations

import fcntl
import json
import os
import socket
from pathlib import Path
from typing import IO, Any, Mapping, cast

from mcgen.diagnostics import EnvironmentLacks, UsageError

from . import states

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


def close_abandoned(study: Any) -> None:
    """Trials whose worker, on this machine, is gone end as interrupted."""
    package = optuna()
    for trial in study.get_trials(deepcopy=False, states=(package.trial.TrialState.RUNNING,)):
        if not _alive(trial.user_attrs.get(OWNER)):
            study._storage.set_trial_user_attr(trial._trial_id, STATE, states.INTERRUPTED)
            study.tell(trial.number, state=package.trial.TrialState.FAIL, skip_if_finished=True)


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
