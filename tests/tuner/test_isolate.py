"""Every way in which a trial's process can end, as a named state."""
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import fakes
import pytest

from tuner import isolate, states

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize("work, state, words", [
    (fakes.raises, states.ERROR, "ValueError: no such thing"), (fakes.wrong, states.WRONG, "d_g differs"),
    (fakes.out_of_memory, states.OUT_OF_MEMORY, "memory"), (fakes.out_of_resources, states.INFEASIBLE, "300000 of 232448"),
    (fakes.segfault, states.CRASH, "SIGSEGV"), (fakes.killed, states.KILLED, "SIGKILL"), (fakes.leaves, states.CRASH, "exit code 3: something"),
])
def test_what_goes_wrong_has_a_name(work, state, words):
    outcome = isolate.run(work, {}, 60)
    assert outcome.state == state and words in outcome.detail and not outcome.found


def test_an_answer():
    outcome = isolate.run(fakes.fine, {"x": 3}, 60)
    assert outcome.ok and outcome.found["score"] == 1.5 and outcome.found["pid"] != os.getpid()


def test_a_hang_ends_with_all_that_it_started(tmp_path):
    outcome = isolate.run(fakes.hangs, {"pids": str(tmp_path / "pids")}, 2)
    assert outcome.state == states.TIMEOUT and "2 s" in outcome.detail
    for pid in (tmp_path / "pids").read_text().split():
        assert gone(int(pid))


def test_trials_die_with_the_tuner(tmp_path):
    code = ("from tuner import isolate; import fakes\nisolate.PRELOADED = []\n"
            f"if __name__ == '__main__': isolate.run(fakes.hangs, {{'pids': {str(tmp_path / 'pids')!r}}}, 600)\n")
    (tmp_path / "main.py").write_text(code)
    tuner = subprocess.Popen([sys.executable, str(tmp_path / "main.py")], env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(Path(__file__).parent)))})
    wait_for(lambda: (tmp_path / "pids").exists() and len((tmp_path / "pids").read_text().split()) == 2)
    tuner.send_signal(signal.SIGKILL)
    tuner.wait()
    wait_for(lambda: all(gone(int(pid)) for pid in (tmp_path / "pids").read_text().split()))


SERVER = """
import os, signal, sys, threading, time
from multiprocessing import forkserver
from pathlib import Path
import fakes
from tuner import isolate

def hit(signal):
    os.kill(forkserver._forkserver._forkserver_pid, signal)

def hit_during_the_next(signal):
    Path(sys.argv[1]).write_text("")
    def wait():
        while not Path(sys.argv[1]).read_text():
            time.sleep(0.01)
        hit(signal)
    threading.Thread(target=wait).start()

if __name__ == "__main__":
    isolate.PRELOADED, isolate.STARTING_S = [], (1.5, 60.0)
    def run(work, seconds=60, **told):
        outcome = isolate.run(work, {"x": 3, "pids": sys.argv[1], **told}, seconds)
        print(outcome.state, outcome.found.get("score", ""), outcome.detail, flush=True)
    run(fakes.fine)
    hit(signal.SIGKILL)
    run(fakes.fine)                                   # killed between trials
    hit(signal.SIGSTOP)
    run(fakes.fine)                                   # stopped: does not answer
    hit_during_the_next(signal.SIGKILL)
    run(fakes.killed_late)                            # killed, and then the trial
    run(fakes.fine)
    hit_during_the_next(signal.SIGSTOP)
    run(fakes.hangs, 3)                               # stopped during a trial: nothing may wait for it, our exit neither
    run(fakes.fine)
    isolate.STARTING_S = (1.0,)
    hit(signal.SIGSTOP)
    run(fakes.fine)
"""


def test_a_server_killed_or_stopped_from_outside(tmp_path):
    (tmp_path / "main.py").write_text(SERVER)
    tuner = subprocess.run([sys.executable, str(tmp_path / "main.py"), str(tmp_path / "pids")], capture_output=True, text=True, timeout=240,
                           env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(Path(__file__).parent)))})
    assert tuner.returncode == 0, tuner.stderr
    assert [line.split(" ", 2) for line in tuner.stdout.splitlines()] == [
        ["done", "1.5", ""], ["done", "1.5", ""], ["done", "1.5", ""], ["lost", "", isolate.GONE],
        ["done", "1.5", ""], ["timeout", "", "no answer within 3 s"], ["done", "1.5", ""], ["lost", "", isolate.GONE + " (tried 1 times)"]]
    assert all(gone(int(pid)) for pid in (tmp_path / "pids").read_text().split())


def test_a_server_that_refuses_is_ended_before_another_attempt():
    """A killed one may take a while to die on a busy machine, and refuse the second attempt as well."""
    class Process:
        def start(self):
            if not isolate._server_gone():
                raise ConnectionRefusedError

    isolate.run(fakes.fine, {"x": 3}, 60)                # so that there is one
    assert isolate._start(Process())


def gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def wait_for(condition, seconds=240):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)
