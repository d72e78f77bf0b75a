"""Work in a process of its own, with a time limit: whatever happens to it comes back as a named state.

Processes are forked from a server that has torch and the compiler imported already and has never run a kernel, so that one costs
milliseconds and none inherits threads or a GPU. A server that something kills or stops from outside is noticed, and replaced.
"""
from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Callable, Mapping

from . import states
from .states import DONE, LOST, TIMEOUT, Outcome

Work = Callable[[dict[str, Any]], dict[str, Any]]          # plain data in, plain data out
TAIL = 4000
STARTING_S = (300.0, 300.0)      # how long the server may take to start a process, it itself included; tried so often
ENDING_S = 5.0                   # how long a killed process is waited for
UNKNOWN = 255                    # what multiprocessing says of a process when the server that forked it is gone
PRELOADED = [f"{__package__}.work", "tvm.tirx"]
GONE = "the process that trials are forked from was killed or stopped from outside"


def run(work: Work, told: Mapping[str, Any], timeout: float) -> Outcome:
    """work(told) in a new process. Requires a function of a module's top level, and plain data both ways.

    Ensures: when this returns, or raises KeyboardInterrupt, the process and those that it started are gone.
    """
    context = _context()
    ours, theirs = context.Pipe()
    with tempfile.TemporaryDirectory(prefix="mcgen-tune-") as folder:
        log = Path(folder) / "log"
        process = context.Process(target=_child, args=(theirs, work, json.dumps(told), str(log)), daemon=True)
        try:
            if not _start(process):
                return Outcome(LOST, detail=f"{GONE} (tried {len(STARTING_S)} times)")
            theirs.close()
            try:
                return _answer(process, ours, time.monotonic() + timeout, timeout, log)
            finally:
                _end(process)
        finally:
            ours.close()                           # a process that starts late ends by itself


def _start(process: Any) -> bool:
    """Starts a process; False if the server that should fork it is gone each time. An answer from a stopped one would be waited for
    for ever. One that did not fork is ended before the next attempt, which would otherwise find a dying one and ask it again."""
    for limit in STARTING_S:
        problems: list[BaseException] = []

        def begin() -> None:
            try:
                process.start()
            except BaseException as problem:
                problems.append(problem)

        starting = threading.Thread(target=begin, daemon=True)
        starting.start()
        starting.join(limit)
        if starting.is_alive():
            _end_server()
            starting.join(ENDING_S)
            if starting.is_alive():
                return False
        if not problems:
            return True
        if not isinstance(problems[0], (EOFError, ConnectionError)):
            raise problems[0]
        _end_server()
    return False


def _answer(process: Any, ours: Connection, deadline: float, timeout: float, log: Path) -> Outcome:
    while True:
        if ours.poll(min(0.2, max(deadline - time.monotonic(), 0.0))):
            try:
                state, found, detail = json.loads(ours.recv_bytes())
                return Outcome(state, found, detail)
            except EOFError:
                process.join(ENDING_S)
                lost = process.exitcode in (None, UNKNOWN) and _server_gone(within=1.0)
                return Outcome(LOST, detail=GONE) if lost else states.of_exit(process.exitcode, _tail(log))
        if time.monotonic() > deadline:
            return Outcome(TIMEOUT, detail=f"no answer within {timeout:.0f} s")


def _tail(log: Path) -> str:
    try:
        return log.read_bytes()[-TAIL:].decode(errors="replace")
    except OSError:
        return ""


def _end(process: Any) -> None:
    """The whole group: a compiler that a trial started goes with it."""
    if process.exitcode is None or _server_gone():          # only the server knows how a process ended
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            process.kill()
    process.join(ENDING_S)
    if process.exitcode is None:
        _end_server()                                       # a stopped one never says that it ended, and our own exit would wait for it


def _server() -> int | None:
    return getattr(forkserver._forkserver, "_forkserver_pid", None)            # type: ignore[attr-defined]


def _server_gone(within: float = 0.0) -> bool:
    """Whether it ended, or does within so many seconds: what it held open closes a moment before its end can be seen."""
    pid, until = _server(), time.monotonic() + within
    while pid is not None and os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() >= until:
            return False
        time.sleep(0.005)
    return pid is not None


def _end_server() -> None:
    pid = _server()
    if pid is not None and not _server_gone():
        os.kill(pid, signal.SIGKILL)
        _server_gone(within=ENDING_S)


def _context() -> Any:
    """A fork server, with what trials import."""
    if sys.platform == "win32":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def _child(connection: Connection, work: Work, text: str, log: str) -> None:
    """Ensures: exactly one answer, unless the process dies."""
    os.setpgid(0, 0)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    _prefer_to_die()
    threading.Thread(target=_die_with_the_tuner, args=(connection,), daemon=True).start()
    try:
        outcome = Outcome(DONE, work(json.loads(text)))
    except BaseException as reason:
        outcome = states.of_exception(reason)
    connection.send_bytes(json.dumps((outcome.state, dict(outcome.found), outcome.detail)).encode())
    os._exit(0)                                # no clean-up that a broken kernel could hang in


def _die_with_the_tuner(connection: Connection) -> None:
    """The tuner never writes: the pipe becomes readable when its process is gone."""
    connection.poll(None)
    os.killpg(0, signal.SIGKILL)


def _prefer_to_die() -> None:
    """When memory runs out, the system ends the trial and not the tuner."""
    try:
        Path("/proc/self/oom_score_adj").write_text("1000")
    except OSError:
        pass
