"""`mcgen tune` as it is called: from nothing to a record that the op uses, and every bad call."""
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small import SIZES, SPEC

import mcgen
from mcgen.cli import main
from mcgen.cli.tune import find
from mcgen.runtime.records import read_record
from mcgen.runtime.tvm import Options
from tuner import cli, command, isolate, spaces, states, subject, work
from tuner.space import Knob, Space, schedule_of
from tuner.states import Outcome
from tuner.work import CONTROL

ROOT = Path(__file__).resolve().parent.parent.parent
PASSED = Outcome(states.DONE, {"ok": True, "failed": [], "gates": {"forward": {}, "gradients": {}}, "skipped": {}})


def fake_times(monkeypatch, score, gates=lambda config: PASSED):
    """`score(config)` stands for measuring: every other part is the real one."""
    monkeypatch.setattr(command, "measured", lambda it, config, timeout: score(config) if isinstance(score(config), Outcome) else
                        Outcome(states.DONE, {"score": score(config)}))

    def race(it, configs):
        ratios = {"default": 1.0, CONTROL: 1.0, **{n: score(c) for n, c in configs.items()}}
        by = {n: {"ms": 10 * r, "spread": 0.1, "ratio": r, "noise": 0.005, "rounds": 9} for n, r in ratios.items()}
        return Outcome(states.DONE, {"times": {"forward": by, "forward + backward": by}})

    monkeypatch.setattr(command, "last_race", race)
    monkeypatch.setattr(command, "gated", lambda it, config, shown: gates(config))


def small_is_fast(config):
    return 0.8 if config["chunk"] == 32 else 1.0


def tune(spec, *more):
    return main(["tune", str(spec), "--size", *SIZES, "--threads", "1", *more])


def test_from_nothing_to_a_record_that_the_op_uses(spec, monkeypatch, capsys):
    fake_times(monkeypatch, small_is_fast)
    assert tune(spec, "--trials", "12") == 0
    out = capsys.readouterr().out
    assert "12 trials: 12 done" in out and "kept in " in out and "2 gates passed" in out and "default again" in out
    op = mcgen.load(spec)
    path = next((op.folder / "tuned").glob("cpu-*.json"))
    assert read_record(path).entries[0].chunk == 32
    given = {n: torch.randn(1, 96, 2, 8) for n in "qkv"} | {"g": -torch.rand(1, 96, 2)}
    op(**given)
    assert {key[1] for key in op._backends.tvm._kernels} == {32}
    assert tune(spec, "--trials", "12") == 0                                # nothing is measured twice
    assert "going on after 12 trials" in capsys.readouterr().out
    fake_times(monkeypatch, lambda config: 1.0)
    assert tune(spec, "--trials", "3", "--fresh") == 0
    assert "The record from before stays: none of 3" in capsys.readouterr().out and read_record(path).entries[0].chunk == 32
    assert main(["tune", "report", str(spec), "--size", *SIZES, "--threads", "1", "--out", "drawn"]) == 0
    assert Path("drawn/report.png").stat().st_size > 1000 and "chunk 32" in Path("drawn/report.html").read_text()


def test_no_gain_says_so_and_after_enough_trials_records_the_default(spec, monkeypatch, capsys):
    fake_times(monkeypatch, lambda config: 1.0 if config["chunk"] != 32 else 0.995)
    assert tune(spec, "--trials", "10") == 0
    assert "The default stays" in capsys.readouterr().out
    assert not list(mcgen.load(spec).folder.glob("tuned/*.json"))
    assert tune(spec, "--trials", "14") == 0
    assert "The default stays" in capsys.readouterr().out
    (path,) = mcgen.load(spec).folder.glob("tuned/*.json")
    (entry,) = read_record(path).entries
    assert (entry.chunk, entry.options["rows"]) == (32, Options().rows) and json.loads(path.read_text())["entries"][0]["ratio"] == 1.0


def test_every_failure_is_shown_by_name(spec, monkeypatch, capsys):
    names = [states.TIMEOUT, states.CRASH, states.KILLED, states.OUT_OF_MEMORY, states.WRONG, states.ERROR, states.INFEASIBLE]
    endings = iter(Outcome(name, detail="a [reason]") for name in names)
    monkeypatch.setattr(command, "measured", lambda it, config, timeout: next(endings))
    assert tune(spec, "--trials", "7") == 0
    out = capsys.readouterr().out
    assert all(f"{name}: a [reason]" in out for name in names) and "no configuration could be measured" in out


def test_what_the_gates_refuse_is_not_kept(spec, monkeypatch, capsys):
    fake_times(monkeypatch, small_is_fast, lambda config: Outcome(states.DONE, {"ok": False, "failed": ["gradients"]}))
    assert tune(spec, "--trials", "12") == 0
    out = capsys.readouterr().out
    assert "was refused by the gates: gradients" in out and "kept in" not in out


def test_out_names_another_folder(spec, monkeypatch, tmp_path, capsys):
    fake_times(monkeypatch, small_is_fast)
    assert tune(spec, "--trials", "12", "--out", str(tmp_path / "there")) == 0
    assert list((tmp_path / "there").glob("cpu-*.json")) and not list(mcgen.load(spec).folder.glob("tuned/*.json"))


def test_a_real_trial_and_real_gates(spec):
    """One configuration measured, checked and judged in processes of their own, by what the command calls."""
    from tuner.cli import parser

    it = command.job(parser().parse_args([str(spec), "--size", *SIZES, "--threads", "1"]))
    config = {**it.space.default, "chunk": 32, "rows": 4}
    outcome = command.measured(it, config, 240)
    assert outcome.ok, outcome
    assert outcome.found["score"] > 0 and set(outcome.found["times"]) == {"forward", "forward + backward"}
    told = {**command.told(it), "schedule": schedule_of(config).as_dict(), "level": "quick", "sizes": True, "only": ["forward", "gradients", "weights"]}
    checked = isolate.run(work.gates, told, 240)
    assert checked.ok and checked.found["ok"] and list(checked.found["skipped"]) == ["weights"], checked
    bad = isolate.run(work.trial, {**command.told(it), **command.TRIAL, "schedule": {"chunk": 32, "options": {"rows": 99}}}, 240)
    assert bad.state == states.ERROR and "no kernel has" in bad.detail


def test_ctrl_c_and_on(spec):
    """The real command, stopped after its first trial: no traceback, and the same command goes on from there."""
    call = [sys.executable, "-m", "mcgen", "tune", str(spec), "--size", *SIZES, "--threads", "1", "--trials"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    first = subprocess.Popen([*call, "30"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env,
                             preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))          # a shell may have it ignored
    for line in first.stdout:
        if "trial   0" in line:
            break
    first.send_signal(signal.SIGINT)
    _, err = first.communicate(timeout=240)
    assert first.returncode == 130 and "Traceback" not in err, err
    again = subprocess.run([*call, "1"], capture_output=True, text=True, env=env, timeout=240)
    assert again.returncode == 0 and "going on after 1 trials" in again.stdout, again.stdout + again.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_that_is_lost_stops_the_search_after_the_trial(spec, monkeypatch, capsys, number):
    """What Ctrl-C raises in a callback is printed or dropped there; handlers are as before afterwards."""
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]

    def lost(config):
        try:
            signal.raise_signal(number)
        except KeyboardInterrupt:
            return 1.0

    monkeypatch.setattr(command, "measured", lambda it, config, timeout: Outcome(states.DONE, {"score": lost(config)}))
    assert tune(spec, "--trials", "5") == 130
    shown = capsys.readouterr()
    assert "interrupted" in shown.err and "trial   1" not in shown.out
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.parametrize("more, words, code", [
    (["--size", "Q=3"], "has no size 'Q'", 1), (["--size", "T"], "'T' is not NAME=N", 1), (["--size", "T=-1"], "is not NAME=N", 1),
    (["--device", "tpu"], "no device 'tpu'", 1), (["--device", "cuda"], "sees no GPU", 3), (["--trials", "0"], "not above zero", 1),
    (["--budget", "nan"], "not a number of seconds", 1), (["--target", "cuda:sm_90"], "--target is for --dry-run", 1), (["--segments"], "lists no segment lengths", 1),
])
def test_bad_calls(spec, more, words, code, capsys):
    assert main(["tune", str(spec), *more]) == code
    err = capsys.readouterr().err
    assert words in err and "Traceback" not in err


def test_bad_calls_without_an_op(spec, capsys):
    assert main(["tune", "simple_glue"]) == 1 and "did you mean" in capsys.readouterr().err
    assert main(["tune", "report", str(spec)]) == 1 and "there is no study" in capsys.readouterr().err
    assert main(["tune"]) == 1 and "error[usage]" in capsys.readouterr().err


def test_a_corrupt_journal_or_record_is_named(spec, monkeypatch, capsys):
    fake_times(monkeypatch, small_is_fast)
    assert tune(spec, "--trials", "12") == 0
    op = mcgen.load(spec)
    next((op.folder / "tuned").glob("cpu-*.json")).write_text("{")
    assert tune(spec, "--trials", "12") == 1 and "is no record: it is not JSON" in capsys.readouterr().err
    journal = next(Path(os.environ["MCGEN_CACHE"]).glob("tune/*.journal"))
    journal.write_text("x\n" + journal.read_text())
    assert tune(spec, "--trials", "12") == 1 and "is damaged at line 1" in capsys.readouterr().err
    next((op.folder / "tuned").glob("cpu-*.json")).unlink()
    assert tune(spec, "--trials", "3", "--fresh") == 0


@pytest.mark.parametrize("missing, hint", [("optuna", "pip install 'optuna>=5'"), ("tvm", "apache-tvm")])
def test_what_is_not_installed_is_named(spec, missing, hint, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, missing, None)
    if missing == "tvm":
        monkeypatch.setitem(sys.modules, "tvm.tirx", None)
    assert tune(spec, "--trials", "1") == 3
    assert hint in capsys.readouterr().err


def test_an_op_with_derived_dims(spec):
    """The user gives K; D follows, in what is drawn and in the look-up."""
    from mcgen.runtime.records import Entry
    from mcgen.runtime.schedule import look_up
    from tuner.cli import parser

    spec.write_text(SPEC.replace("rule:", "rule:\n  dims: {D: 2*K}").replace("v: [V]", "v: [D]").replace("S: [K, V]", "S: [K, D]"))
    op, it = command.subject_of(parser().parse_args([str(spec), "--size", "T=20", "H=1", "K=4"]), "cpu")
    assert it.dims == {"K": 4} and it.inputs(op)["v"].shape == (1, 20, 1, 8)
    entry = Entry("float32", tuple(it.dims.items()), 1, 20, 32, {}, {})
    assert look_up([entry], "float32", op._calls._plan([it.inputs(op)[f.name] for f in op.inputs], False).sizes, 1, 20) is entry


def test_a_dry_run_on_the_cpu(spec, capsys):
    assert main(["tune", str(spec), "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "6 x 16" in out and "vector registers of" in out and "feasible configurations" in out


def test_segments_are_compared_and_nothing_is_changed(spec, monkeypatch, capsys):
    text = spec.read_text() + "cache: {use: grm, segments: {length: 32, search: [16, 32]}}\n"
    spec.write_text(text)
    assert main(["tune", str(spec), "--segments", "--size", *SIZES, "--threads", "1", "--out", "drawn"]) == 0, capsys.readouterr().err
    rows = json.loads(Path("drawn/segments.json").read_text())
    assert [r["length"] for r in rows] == [16, 32] and rows[0]["cache"] > rows[1]["cache"] and rows[0]["times"]["forward"]["ms"] > 0
    assert "32 (spec)" in capsys.readouterr().out and Path("drawn/segments.png").stat().st_size > 1000 and spec.read_text() == text


def test_a_gpu_with_one_command(spec, monkeypatch, capsys):
    """A device that is not there: its names, its space and its times are invented, all else is what runs on one."""
    from mcgen.runtime import devices, records

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for module in (subject, devices, records):
        monkeypatch.setattr(module, "device_name", lambda d: "nvidia-fake-80gb" if d.type == "cuda" else "cpu-fake")
        monkeypatch.setattr(module, "architecture", lambda d: "sm_90")
    monkeypatch.setattr("tuner.record.device_in_words", lambda kind: "a GPU of paper")
    space = Space((Knob("chunk", (32, 64)), Knob("fwd.num_warps", (2, 4, 8)), Knob("fwd.precision", ("ieee", "tf32"))),
                  {"chunk": 64, "fwd.num_warps": 4, "fwd.precision": "ieee"}, lambda c: ["shared memory"] if c["chunk"] == 64 and c["fwd.num_warps"] == 8 else [])
    monkeypatch.setattr(spaces, "space_for", lambda op, s: space)
    fake_times(monkeypatch, lambda c: 0.7 if (c["chunk"], c["fwd.num_warps"], c["fwd.precision"]) == (32, 8, "tf32") else 1.0)
    assert main(["tune", str(spec), "--device", "cuda"]) == 0
    out = capsys.readouterr().out
    assert "10 feasible configurations" in out and "10 trials: 10 done" in out and "on nvidia-fake-80gb" in out
    raw = json.loads((mcgen.load(spec).folder / "tuned" / "nvidia-fake-80gb.json").read_text())
    assert raw["architecture"] == "sm_90" and raw["words"] == "a GPU of paper"
    assert raw["entries"][0]["options"] == {"fwd.num_warps": 8, "fwd.precision": "tf32"}


def test_found_in_a_checkout_that_is_not_installed(monkeypatch):
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [])
    assert find() is cli.main
