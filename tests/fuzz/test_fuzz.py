"""A few dozen random specs on the back ends; a pass broken on purpose is found, shrunk, saved and shown again."""
from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch

from mcgen.cli.main import main
from mcgen.fuzz import examine, spared
from mcgen.fuzz.examine import Outcome
from mcgen.fuzz.hunt import Plan, hunt, replay
from mcgen.fuzz.report import table_of
from mcgen.fuzz.saved import load
from mcgen.fuzz.strategy import Case
from mcgen.fuzz.tally import Failure, Tally, read
from mcgen.passes import pipeline
from mcgen.passes.rewrite import rebuild_program
from mcgen.spec import load_spec
from mcgen.verify.harness import Expected, Lab
from mcgen.verify.report import Gate
from mcgen.verify.tolerance import Allowed

from .found import FOUND


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_random_specs_agree(tmp_path):
    found = hunt(Plan(16, seed=5, folder=tmp_path, shrinking=1.0))
    assert not found.failures, "\n".join(f"{f.kind}: {f.what}\n{f.path.read_text()}" for f in found.failures)
    assert found.done == sum(found.kinds.values()) == 16
    assert found.kinds["chunk form"] and found.kinds["scan"] and found.checks > 150 and not found.wrong


PROGRAMS = (("interpreter", 1),)


def test_a_stopped_run_goes_on_with_the_cases_it_lacks(tmp_path):
    whole = hunt(Plan(6, seed=3, every=PROGRAMS))

    def stop(tally):
        if tally.done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hunt(Plan(6, seed=3, every=PROGRAMS, folder=tmp_path), stop)
    kept = read(Plan(6, seed=3, every=PROGRAMS, folder=tmp_path).path, 6)
    assert kept.done == sum(kept.kinds.values()) == sum(kept.sources.values()) == 4
    seen = []
    found = hunt(Plan(6, seed=3, every=PROGRAMS, folder=tmp_path), lambda tally: seen.append(tally.done))
    assert seen == [4, 5, 6] and (found.kinds, found.refusals, found.checks) == (whole.kinds, whole.refusals, whole.checks)


def test_a_killed_run_prints_its_counts_and_keeps_them(tmp_path):
    run = subprocess.Popen([sys.executable, "-m", "mcgen", "fuzz", "--n", "100000", "--backends", "interpreter", "--out", str(tmp_path)],
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    path = tmp_path / "seed0_interpreter.json"
    until = time.monotonic() + 240
    while not (path.exists() and json.loads(path.read_text())["done"] > 1):
        assert time.monotonic() < until and run.poll() is None
        time.sleep(0.05)
    run.terminate()
    out, err = run.communicate(timeout=60)
    done = json.loads(path.read_text())["done"]
    assert run.returncode == 130 and "interrupted" in err
    assert f"{done} of 100000 specs" in out and "lowered in chunk form" in out and "the same command goes on" in out


@pytest.mark.parametrize("becomes", [None, ValueError("another exception")])
def test_an_interrupt_that_was_lost_stops_the_run(tmp_path, monkeypatch, becomes):
    """Raised inside a callback or a destructor it does not come through; a case that it broke is not counted."""
    examined = []

    def examine(case, backends):
        examined.append(case)
        if becomes and len(examined) == 3:
            raise becomes
        return Outcome("scan", ran=list(backends))
    monkeypatch.setattr("mcgen.fuzz.hunt.examine", examine)
    plan = Plan(6, seed=3, every=PROGRAMS, folder=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        hunt(plan, stopped=lambda: len(examined) == 3)
    assert len(examined) == 3 and read(plan.path, 6).done == (2 if becomes else 3)


def test_counts_that_cannot_be_read(tmp_path, capsys):
    (tmp_path / "seed0_interpreter.json").write_text("{}")
    assert main(["fuzz", "--n", "1", "--backends", "interpreter", "--out", str(tmp_path)]) == 1
    assert "--fresh" in capsys.readouterr().err
    assert main(["fuzz", "--n", "1", "--backends", "interpreter", "--out", str(tmp_path), "--fresh"]) == 0


def broken(program, b):
    """A pass that forgets the sign of what it subtracts."""
    return rebuild_program(program, b, lambda r, v, a: b.map("add", *a) if v.op == "map" and v["fn"] == "sub" and v.dtype == "f" else None)


def test_a_broken_pass_is_caught_shrunk_and_shown_again(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pipeline, "PASSES", (*pipeline.PASSES, ("broken", broken)))
    seen = []
    found = hunt(Plan(6, seed=1, every=PROGRAMS, folder=tmp_path, shrinking=4.0), lambda tally: seen.extend(tally.failures[:1]))
    assert found.failures and found.failures[0].kind == "wrong"
    path = found.failures[0].path
    drawn, shrunk = (len(str(spec)) for spec in (seen[0].case.spec, load(path).spec))
    assert shrunk < 0.5 * drawn, path.read_text()
    (_, again), = replay([path], ["interpreter"])
    assert isinstance(again, Failure) and again.kind == "wrong"
    assert main(["check", str(path)]) == 0
    assert main(["fuzz", str(path), "--backends", "interpreter"]) == 2
    monkeypatch.undo()
    assert main(["fuzz", str(path), "--backends", "interpreter,torch"]) == 0
    assert "right on interpreter, torch" in capsys.readouterr().out


# the layernorm of a state of zeros: its derivative is a thousand for every token, so the cotangent of the start passes 1e38; k meets zeros
DIVERGING = Case({"name": "drawn", "rule": {
    "inputs": {"k": {"shape": ["K"], "domain": "unit"}, "q": ["K"], "v": ["V"]}, "state": {"S": ["K", "V"]},
    "update": {"S": "layernorm(S - 0.5 * outer(k, S.T @ k))"}, "read": "S.T @ q + v"}}, {"K": 4, "V": 2}, tokens=16, start=True)


def test_what_float32_cannot_reach_is_a_class_of_its_own(monkeypatch):
    tally = Tally(1)
    tally.add(examine.examine(DIVERGING, ("interpreter", "torch")))
    assert tally.kinds == {"diverges": 1} and tally.spared == {"diverges: d k, d start S": 1} and not tally.wrong
    assert "1 diverges" in tally.line() and "diverges: d k, d start S" in list(table_of(tally).columns[2].cells)
    honest = examine.compute
    monkeypatch.setattr(examine, "compute", lambda *args, **given: (found := honest(*args, **given)) | {"d q": found["d q"] + 1})
    with pytest.raises(examine.Wrong, match="torch: d q off by"):               # all other gradients are held
        examine.examine(DIVERGING, ("torch",))


# a step along the gradient of a cube: the states are squared with every token in the end, 1e22, 1e43, ..
BEYOND = Case({"name": "drawn", "rule": {
    "inputs": {"k": {"shape": ["K"], "domain": "unit"}, "q": ["V"], "b": {"shape": [], "domain": [0, 1]}, "w": ["K"],
               "g": {"shape": [], "domain": [float("-inf"), 0]}},
    "functions": {"step(X1, x1)": "X1 - sigmoid(0) * outer(x1, X1.T @ x1)"},
    "state": {"S": ["K", "V"], "Z": ["K", "V"]}, "objective": "0.1 * sum(abs(S.T @ k - q)**3)",
    "update": {"Z": "Z - b * grad(S)", "S": "((step(S, softmax(w))) - sigmoid(2) * outer(k, (step(S, softmax(w))).T @ k)) + 0.5 * new(Z)"
                                                " - 0.3 * b * grad(S, at=S + 0.5 * Z)"}, "read": "tanh((Z.T @ delay(w, 2)))"},
    "cache": {"inputs": {"u": {"shape": [], "domain": [0, 1]}}, "segments": {"length": 5}, "weight": "u * exp(after(g))"}},
    {"K": 4, "V": 3}, tokens=33, fewer=True, edge="hi", cuts=(32,), inner=16, seed=3)


def test_a_result_that_float32_cannot_reach_is_told_apart():
    outcome = examine.examine(BEYOND, ("interpreter", "torch"))
    assert outcome.kind == "diverges" and "y" in outcome.detail.split(", ")


# weights tanh(score) near -1: their derivative, 1 - tanh^2, has few digits left
SATURATED = Case({"name": "drawn", "rule": {
    "inputs": {"b": {"shape": [], "domain": [-1, 1]}, "k": ["V"], "v": {"shape": ["K"], "domain": "unit"}},
    "state": {"S": {"shape": ["K", "V"], "init": "learned"}}, "update": {"S": "b * S"}, "read": "S @ k"},
    "cache": {"inputs": {"u": ["K"]}, "segments": {"length": 4}, "summary": "mean(softplus(v))", "score": "-sum((u - summary)**2)",
              "weight": "tanh(score) / count"}}, {"K": 5, "V": 2}, tokens=1, heads=1, inner=4, seed=5)


def test_what_is_made_of_few_digits_is_held_to_those(monkeypatch):
    assert examine.examine(SATURATED, ("interpreter", "torch")).kind == "cancels"
    honest = examine.compute
    monkeypatch.setattr(examine, "compute", lambda *args, **given: (found := honest(*args, **given)) | {"d v": 1.05 * found["d v"]})
    with pytest.raises(examine.Wrong, match="torch: d v off by"):
        examine.examine(SATURATED, ("torch",))


@pytest.mark.parametrize("name", FOUND)
def test_found_and_mended(name):
    outcome = examine.examine(FOUND[name], ("interpreter", "torch", "tvm"))
    assert outcome.kind != "refused" and outcome.ran == ["interpreter", "torch", "tvm"]


# a summary that is the same for every segment: which of them are selected is a matter of rounding
TYING = Case({"name": "drawn", "rule": {
    "inputs": {"q": ["K"], "k": ["K"], "v": ["V"], "p": {"shape": ["V"], "per": "head"}, "w": ["V"]}, "state": {"S": ["K", "V"]},
    "update": {"S": "0.5 * S + outer(k, v)"}, "read": "S.T @ q"},
    "cache": {"inputs": {}, "segments": {"length": 5, "start": "fresh"}, "summary": "sum(p)", "score": "dot(w, summary)", "weight": "softmax(score)",
              "select": {"top": 2}}}, {"K": 5, "V": 3}, tokens=33, batch=2, heads=4, cuts=(0, 2, 5), seed=1)


def test_a_tie_is_a_class_of_its_own():
    assert examine.examine(TYING, ("interpreter", "torch")).kind == "ties"
    apart = replace(TYING, spec={**TYING.spec, "cache": {**TYING.spec["cache"], "summary": "sum(k)", "score": "dot(q, summary)"}})
    assert examine.examine(apart, ("interpreter", "torch")).kind == "chunk form"


# a layernorm of two equal numbers times a thousand: what b adds to both is nothing to it, and a difference of terms of a thousand
CANCELLING = Case({"name": "drawn", "rule": {
    "inputs": {"k": {"shape": ["K"], "domain": "unit"}, "q": {"shape": ["V"], "domain": "unit"}, "b": {"shape": [], "per": "head"}, "p": ["V"]},
    "state": {"S": ["K", "V"], "Z": ["K", "V"], "m": ["K", "V"]}, "objective": "sum((layernorm(S.T @ k) - minimum(q, b))**2)",
    "update": {"Z": "Z - 0.5 * grad(S)", "S": "S + new(Z)", "m": "m + S"}, "read": "m @ p"}}, {"K": 2, "V": 2}, tokens=4, inner=16, seed=2)


def test_what_cancels_is_a_class_of_its_own(monkeypatch):
    tally = Tally(1)
    tally.add(examine.examine(CANCELLING, ("interpreter", "torch")))
    assert tally.kinds == {"cancels": 1} and list(tally.spared) == ["cancels: d b, d k, d p"] and not tally.wrong
    honest = examine.compute
    monkeypatch.setattr(examine, "compute", lambda *args, **given: (found := honest(*args, **given)) | {"d q": found["d q"] + 1e-5})
    with pytest.raises(examine.Wrong, match="torch: d q off by"):               # all other gradients are held
        examine.examine(CANCELLING, ("torch",))


# a layernorm of zeros, whose derivative takes a thousand times what is left of equal numbers less their mean; so, token by token, on
CHAINED = Case({"name": "drawn", "rule": {
    "inputs": {"v": {"shape": ["K"], "domain": "unit"}, "g": [], "h": {"shape": [], "domain": [0, 1]}, "p": ["K"]},
    "state": {"S": ["K", "K"], "Z": ["K", "K"]}, "objective": "0.2 * sum((layernorm(S @ v) - g)**2)",
    "update": {"Z": "(1 - h) * Z - 0.5 * grad(S)", "S": "S + 0.5 * new(Z) - 0.15 * grad(S, at=S + 0.5 * Z)"}, "read": "Z.T @ p"}},
    {"K": 3}, tokens=6, batch=1, heads=1, inner=3)


def test_equal_numbers_are_held_to_what_rounding_leaves_of_them_equal():
    """With noise in them they would have a variance, and none of that."""
    assert examine.examine(CHAINED, ("interpreter", "torch")).kind == "cancels"
    assert examine.examine(replace(CHAINED, tokens=19), ("torch",)).kind == "diverges"


# the first token erases all: what is left is exactly 0 token by token, and something below 1e-30 by chunks, which has a sign
JUMPING = Case({"name": "drawn", "rule": {
    "inputs": {"b": {"shape": [], "domain": [0, 1]}, "v": ["V"], "A": {"shape": ["V"], "per": "head"}}, "state": {"S": {"shape": ["V"], "init": "A"}},
    "update": {"S": "b * S"}, "read": "v / (1 + abs(S))"}}, {"V": 2}, tokens=3, edge="lo")


def test_a_kink_is_a_class_of_its_own(monkeypatch):
    outcome = examine.examine(JUMPING, ("interpreter", "torch"))
    assert (outcome.kind, outcome.detail) == ("jumps", "d b")
    honest = examine.values
    monkeypatch.setattr(examine, "values", lambda *args: (found := honest(*args)) | {"grad v": found["grad v"] + 1e-9})
    with pytest.raises(examine.Wrong, match="interpreter: d v off by"):         # all other gradients are held
        examine.examine(JUMPING, ("interpreter",))


def test_a_wrong_program_does_not_cancel(monkeypatch):
    """Its error is none of its rounding: it does not grow with the unit."""
    honest = examine.values
    monkeypatch.setattr(examine, "values", lambda *args: (found := honest(*args)) | {"grad b": found["grad b"] + 1e-4})
    with pytest.raises(examine.Wrong, match="interpreter: d b off by"):
        examine.examine(CANCELLING, ("interpreter",))


def test_rounding_leaves_what_is_infinite_and_reaches_any_size():
    x = torch.tensor([-torch.inf, torch.inf, 0.0, 1.0, 0.1, -1e300, 1e-300], dtype=torch.float64)
    for rounded in (spared.nearest(x), *(spared.rounding(seed)(x) for seed in range(8))):
        assert torch.equal(rounded[:3], x[:3]) and 0 < float((rounded / x - 1)[4:].abs().max()) < 1e-6
    assert torch.equal(spared.nearest(x[:5]), x[:5].float().double())


def test_the_gates_do_not_excuse_it():
    lab = Lab(None, load_spec(DIVERGING.spec), sizes=DIVERGING.sizes)
    case, gate = lab.case(16), Gate("gradients")
    want = lab.expected(case)
    assert want.beyond == {"d k"} and want.tensors["d k"].isfinite().all()
    lab.check(gate, case, {n: x.float() / (n != "d k") for n, x in want.tensors.items()}, want)
    assert [c.what for c in gate.checks if not c.ok] == ["d k"]


def test_without_hypothesis_the_command_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    assert main(["fuzz", "--n", "1"]) == 3
    assert "pip install 'mcgen[test]'" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [["--backends", "cuda"], ["--backends", "tvm:0"], ["--n", "0"]])
def test_bad_calls(wrong, capsys):
    assert main(["fuzz", *wrong]) == 1
    assert "error[usage]" in capsys.readouterr().err


def test_a_file_without_a_call(tmp_path, capsys):
    path = tmp_path / "spec.yaml"
    path.write_text("rule: {inputs: {q: [K]}, state: {}, read: q}\n")
    assert main(["fuzz", str(path)]) == 1
    assert "no saved case" in capsys.readouterr().err


@pytest.mark.parametrize("moved, kind, bound", [(1e-12, None, 7.45e-9), (1e-5, "jumps", 8e-5), (3.0, "jumps", 4.0)])
def test_chaos_too(moved, kind, bound):
    """What the reference's own roundings make of it in float64 bounds a float64 run, no less than the unit and no more than a float32 run."""
    chaos = spared.Spared({}, moved={"y": moved})
    held = chaos.in_float64(Expected({"y": torch.ones(3)}, {"y": Allowed(4.0, 1.0)}))
    assert chaos.kind == kind and held.allowed["y"].arithmetic_error == pytest.approx(bound, rel=1e-3)
