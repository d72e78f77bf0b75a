"""The search, on recorded trials: no timing, no kernels."""
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mcgen.diagnostics import EnvironmentLacks, UsageError
from tuner import journal, states
from tuner.journal import open_study
from tuner.space import Knob, Space
from tuner.states import Outcome
from tuner.study import propose, ranked, search, trials_of

ROOT = Path(__file__).resolve().parent.parent.parent
RECORDED = json.loads((Path(__file__).parent / "recorded.json").read_text())
FOREVER = 1e6


def recorded_space():
    """The space that was measured whole. Tiles that it doesn't hold are infeasible."""
    known = [t["config"] for t in RECORDED["trials"]]
    return Space(tuple(Knob(n, tuple(c)) for n, c in RECORDED["knobs"].items()), RECORDED["default"], lambda c: [] if c in known else ["too many registers"])


def recorded(config):
    found = next(t for t in RECORDED["trials"] if t["config"] == config)
    return Outcome(found["state"], {"score": found["score"]} if found["state"] == states.DONE else {}, "as recorded")


SCORES = sorted(t["score"] for t in RECORDED["trials"] if t["score"] is not None)


def test_every_proposal_is_feasible_and_new(tmp_path):
    space = recorded_space()
    trials = search(open_study(tmp_path / "j"), space, recorded, trials=1000, seconds=FOREVER, first=[space.default])
    assert len(trials) == len(RECORDED["trials"]) == len({json.dumps(t.config, sort_keys=True) for t in trials})
    assert trials[0].config == space.default and all(space.holds(t.config) for t in trials)


def test_the_search_beats_chance(tmp_path):
    """In half of the trials, the best found is among the best of all; random order would need as many on average for the median."""
    space = recorded_space()
    ranks = []
    for seed in range(5):
        trials = search(open_study(tmp_path / str(seed)), space, recorded, trials=len(SCORES) // 2, seconds=FOREVER, seed=seed, first=[space.default])
        ranks.append(SCORES.index(ranked(trials)[0].score))
    assert sorted(ranks)[2] <= 1, ranks


def test_proposals_are_a_pure_function(tmp_path):
    space = recorded_space()
    trials = search(open_study(tmp_path / "j"), space, recorded, trials=12, seconds=FOREVER)
    assert propose(space, trials, 3) == propose(space, trials, 3)


def test_a_budget_of_nothing(tmp_path):
    assert search(open_study(tmp_path / "j"), recorded_space(), recorded, trials=5, seconds=0.0) == []


def test_it_goes_on_where_it_stopped(tmp_path):
    space = recorded_space()
    whole = search(open_study(tmp_path / "whole"), space, recorded, trials=14, seconds=FOREVER)
    search(open_study(tmp_path / "parts"), space, recorded, trials=6, seconds=FOREVER)
    parts = search(open_study(tmp_path / "parts"), space, recorded, trials=14, seconds=FOREVER)
    assert [t.config for t in parts] == [t.config for t in whole]


def test_ctrl_c_ends_the_trial_by_name_and_its_configuration_comes_again(tmp_path):
    space = recorded_space()

    def stop(config):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(open_study(tmp_path / "j"), space, stop, trials=5, seconds=FOREVER, first=[space.default])
    study = open_study(tmp_path / "j")
    assert [t.state for t in trials_of(study, space)] == [states.INTERRUPTED]
    trials = search(study, space, recorded, trials=2, seconds=FOREVER, first=[space.default])
    assert [t.state for t in trials] == [states.INTERRUPTED, states.DONE, states.DONE] and trials[1].config == space.default


KILLED = """
import sys, time
sys.path[:0] = [{root!r}, {here!r}]
from test_study import *
count = 0
def slow(config):
    global count
    count += 1
    if count == 4:
        print("now", flush=True)
        time.sleep(600)
    return recorded(config)
search(open_study(Path({path!r})), recorded_space(), slow, trials=20, seconds=FOREVER)
"""


def test_a_killed_tuner_goes_on(tmp_path):
    path = tmp_path / "j"
    process = subprocess.Popen([sys.executable, "-c", KILLED.format(root=str(ROOT), here=str(Path(__file__).parent), path=str(path))], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "now\n"
    running = trials_of(open_study(path), recorded_space())
    assert [t.state for t in running] == [states.DONE] * 3 + ["running"]               # another worker may look at it meanwhile
    process.send_signal(signal.SIGKILL)
    process.wait()
    with open(path, "ab") as file:
        file.write(b'{"op_code": 4, "worker')                                           # what a kill during a write leaves
    trials = search(open_study(path), recorded_space(), recorded, trials=6, seconds=FOREVER)
    assert [t.state for t in trials] == [states.DONE] * 3 + [states.INTERRUPTED] + [states.DONE] * 3


def worker(path):
    def slow(config):
        time.sleep(0.02)
        return recorded(config)

    search(open_study(path), recorded_space(), slow, trials=16, seconds=FOREVER, seed=os.getpid() % 97)


def test_workers_share_a_study(tmp_path):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=worker, args=(tmp_path / "j",)) for _ in range(2)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
        assert w.exitcode == 0
    trials = trials_of(open_study(tmp_path / "j"), recorded_space())
    assert 16 <= len(trials) <= 17 and all(t.state in (states.DONE, states.TIMEOUT) for t in trials)
    assert [t.number for t in trials] == list(range(len(trials)))


def test_a_trial_has_its_owner_from_its_first_event(tmp_path, monkeypatch):
    """Another worker that opens the study at whatever moment doesn't take a trial that just begins for abandoned."""
    space, mine = recorded_space(), open_study(tmp_path / "j")
    append = type(mine._storage._backend).append_logs
    looks = []

    def look_after(backend, logs):
        append(backend, logs)
        monkeypatch.undo()
        looks.append([t.state for t in trials_of(open_study(tmp_path / "j"), space)])
        monkeypatch.setattr(type(backend), "append_logs", look_after)

    monkeypatch.setattr(type(mine._storage._backend), "append_logs", look_after)
    search(mine, space, recorded, trials=2, seconds=FOREVER)
    assert set(sum(looks, [])) == {"running", states.DONE} and looks[-1] == [states.DONE] * 2


@pytest.mark.parametrize("text, words", [(b"\x00\xff not a line\n", "line 1"), (b'{"a": 1}\n[]\n', "line 2"), (b'{"a": 1}\n', "damaged")])
def test_a_damaged_journal_is_named(tmp_path, text, words):
    (tmp_path / "j").write_bytes(text)
    with pytest.raises(UsageError, match=words) as wrong:
        open_study(tmp_path / "j")
    assert "--fresh" in str(wrong.value)


def test_failures_are_trials_too(tmp_path):
    space = recorded_space()
    names = iter([states.TIMEOUT, states.CRASH, states.OUT_OF_MEMORY, states.WRONG])
    trials = search(open_study(tmp_path / "j"), space, lambda c: Outcome(next(names), detail="why"), trials=4, seconds=FOREVER)
    assert [t.state for t in trials] == [states.TIMEOUT, states.CRASH, states.OUT_OF_MEMORY, states.WRONG]
    assert all(t.score is None and t.detail == "why" for t in trials) and ranked(trials) == []


def test_without_optuna(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(EnvironmentLacks, match="optuna, which is not installed"):
        journal.optuna()
