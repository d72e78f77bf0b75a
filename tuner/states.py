"""How a trial can end."""
from __future__ import annotations

import signal
from dataclasses import dataclass, field
from typing import Any, Mapping

DONE = "done"
INFEASIBLE = "infeasible"            # the device lacks registers, shared memory, ... : found before or while it was launched
TIMEOUT = "timeout"                  # a hang, or hopelessly slow
CRASH = "crash"                      # a signal such as SIGSEGV, or an exit without an answer
KILLED = "killed"                    # SIGKILL or SIGTERM from outside; on Linux often the kernel, out of memory
OUT_OF_MEMORY = "out of memory"
WRONG = "wrong"                      # another result or gradient than the default's, or a gate that failed
ERROR = "error"                      # any other exception
LOST = "lost"                        # the process that trials are forked from was killed or stopped from outside
INTERRUPTED = "interrupted"          # the tuner itself was stopped

ALL = (DONE, INFEASIBLE, TIMEOUT, CRASH, KILLED, OUT_OF_MEMORY, WRONG, ERROR, LOST, INTERRUPTED)


@dataclass(frozen=True)
class Outcome:
    """What came of a piece of work in its own process: a state, what it found, and in words why not."""

    state: str
    found: Mapping[str, Any] = field(default_factory=dict)
    detail: str = ""

    @property
    def ok(self) -> bool:
        return self.state == DONE


class Wrong(Exception):
    """A schedule that computes something else."""


def of_exception(reason: BaseException) -> Outcome:
    """The state that an exception inside a trial means.

    >>> of_exception(MemoryError()).state, of_exception(RuntimeError("CUDA out of memory.")).state, of_exception(Wrong("d_g")).state
    ('out of memory', 'out of memory', 'wrong')
    """
    text = str(reason).strip().splitlines()
    detail = f"{type(reason).__name__}: {text[0][:300]}" if text else type(reason).__name__
    if isinstance(reason, Wrong):
        return Outcome(WRONG, detail=str(reason))
    if isinstance(reason, MemoryError) or "out of memory" in detail.lower() or "can't allocate memory" in detail:
        return Outcome(OUT_OF_MEMORY, detail=detail)
    if type(reason).__name__ == "OutOfResources":
        return Outcome(INFEASIBLE, detail=detail)
    return Outcome(ERROR, detail=detail)


def of_exit(code: int | None, log: str = "") -> Outcome:
    """The state of a process that ended without an answer. `log`: the end of what it wrote.

    >>> of_exit(-11).state, of_exit(-9).state, of_exit(3).detail
    ('crash', 'killed', 'exit code 3')
    """
    last = (log.strip().splitlines() or [""])[-1][:300]
    if code is not None and code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        state = KILLED if name in ("SIGKILL", "SIGTERM") else CRASH
        return Outcome(state, detail=name + (" (from outside; perhaps the system ran out of memory)" if name == "SIGKILL" else ""))
    return Outcome(CRASH, detail=f"exit code {code}" + (f": {last}" if last else ""))
