"""A few dozen random specs on the back ends; a pass broken on purpose is found, shrunk, saved and shown again."""
from __future__ import annotations

import sys

import pytest
import torch

from mcgen.cli.main import main
from mcgen.fuzz.hunt import Failure, Plan, hunt, replay
from mcgen.fuzz.saved import load
from mcgen.passes import pipeline
from mcgen.passes.rewrite import rebuild_program


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


def test_the_same_seed_draws_the_same_cases():
    drawn = []
    for _ in range(2):
        found = hunt(Plan(4, seed=3, every=(("interpreter", 1),)))
        drawn.append((found.kinds, found.refusals, found.checks))
    assert drawn[0] == drawn[1]


def broken(program, b):
    """A pass that forgets the sign of what it subtracts."""
    return rebuild_program(program, b, lambda r, v, a: b.map("add", *a) if v.op == "map" and v["fn"] == "sub" and v.dtype == "f" else None)


def test_a_broken_pass_is_caught_shrunk_and_shown_again(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pipeline, "PASSES", (*pipeline.PASSES, ("broken", broken)))
    found = hunt(Plan(12, seed=1, every=(("interpreter", 1),), folder=tmp_path, shrinking=8.0))
    assert found.failures and found.failures[0].kind == "wrong"
    path = found.failures[0].path
    rule = load(path).spec["rule"]
    assert len(rule["state"]) == 1 and len(str(rule["update"])) < 120, path.read_text()
    (_, again), = replay([path], ["interpreter"])
    assert isinstance(again, Failure) and again.kind == "wrong"
    assert main(["check", str(path)]) == 0
    assert main(["fuzz", str(path), "--backends", "interpreter"]) == 2
    monkeypatch.undo()
    assert main(["fuzz", str(path), "--backends", "interpreter,torch"]) == 0
    assert "right on interpreter, torch" in capsys.readouterr().out


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
