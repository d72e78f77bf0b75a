"""Training: the same numbers after an interruption, files that are whole, and the command from end to end."""
import os
import signal

import pytest
import torch

from mcgen.cli import main
from mcgen.diagnostics import EnvironmentLacks, UsageError
from mcgen.nn import LanguageModel
from mcgen.spec import load_spec
from mcgen.train import Config, train
from mcgen.train.data import folder, standard_library, unigram_entropy
from mcgen.train.report import sample
from mcgen.verify.oracle import reference

CONFIG = Config(steps=4, batch=2, length=12, d_model=8, layers=1, heads=2, short_conv=2, evaluate_every=2, evaluate_windows=2, warmup=1)


@pytest.fixture(scope="module")
def op():
    return reference(load_spec("linear_attention"))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    root = tmp_path_factory.mktemp("text")
    for i in range(3):
        (root / f"{i}.txt").write_text(f"line {i} of some text\n" * 400)
    return folder(root)


def test_a_run_goes_on_where_it_stopped(op, corpus, tmp_path):
    whole, end = train(op, corpus, CONFIG, tmp_path / "whole")

    def stop(progress, *_):
        if progress.step == 3:
            os.kill(os.getpid(), signal.SIGINT)
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(op, corpus, CONFIG, tmp_path / "parts", stop)
    assert signal.getsignal(signal.SIGINT) is handler
    steps = []
    parts, again = train(op, corpus, CONFIG, tmp_path / "parts", lambda p, *_: steps.append(p.step))
    assert steps == [4] and again.step == end.step == 4
    for a, b in zip(whole.state_dict().values(), parts.state_dict().values()):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    assert [row[2] for row in again.log] == [row[2] for row in end.log]
    names = sorted(p.name for p in (tmp_path / "parts").iterdir())
    assert names == ["checkpoint.pt", "log.csv"]                      # no half-written file stays


def test_other_settings_are_refused(op, corpus, tmp_path):
    short = Config(**{**CONFIG.as_dict(), "steps": 1})
    train(op, corpus, short, tmp_path)
    with pytest.raises(UsageError, match="other settings: batch"):
        train(op, corpus, Config(**{**CONFIG.as_dict(), "batch": 3}), tmp_path)
    (tmp_path / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(UsageError, match="can't be read"):
        train(op, corpus, short, tmp_path)


def test_schedule():
    config = Config(steps=100, warmup=10, rate=1.0)
    assert config.rate_at(0) == pytest.approx(0.1) and config.rate_at(9) == 1.0
    assert config.rate_at(100) == pytest.approx(0.1) and config.rate_at(55) == pytest.approx(0.55)


def test_text_is_split_by_file(corpus, tmp_path):
    assert corpus.files == (2, 1)
    assert corpus.batch(3, 5, 0, 7).shape == (3, 6)
    assert torch.equal(corpus.batch(3, 5, 0, 7), corpus.batch(3, 5, 0, 7))
    assert not torch.equal(corpus.batch(3, 5, 0, 7), corpus.batch(3, 5, 0, 8))
    with pytest.raises(EnvironmentLacks, match="too little text"):
        folder(tmp_path)


def test_standard_library_is_there():
    corpus = standard_library()
    assert len(corpus.training) > 1_000_000 and len(corpus.held_out) > 100_000
    assert 4 < unigram_entropy(corpus.held_out) < 6


def test_unigram_entropy():
    assert unigram_entropy(torch.arange(256, dtype=torch.uint8)) == pytest.approx(8.0)
    assert unigram_entropy(torch.zeros(9, dtype=torch.uint8)) == 0.0


def test_sample_is_text(op):
    torch.manual_seed(0)
    text = sample(LanguageModel(op, d_model=8, n_layers=1, heads=1), 10)
    assert text.startswith("def ") and "\x00" not in text


def test_the_command_from_end_to_end(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text("some words to learn from\n" * 3000)
    argv = ["train", "linear_attention", "--text", "text", "--steps", "2", "--batch", "2", "--length", "16", "--d-model", "8",
            "--layers", "1", "--heads", "1", "--no-verify", "--name", "mine"]
    assert main(argv) == 0
    out = capsys.readouterr().out
    assert "held-out bits per byte" in out and "unigram entropy" in out
    names = {p.name for p in (tmp_path / "runs" / "mine").iterdir()}
    assert names == {"checkpoint.pt", "curve.png", "log.csv", "sample.txt", "summary.md"}
    assert main([*argv, "--seed", "1"]) == 1 and "--fresh" in capsys.readouterr().err
    assert main([*argv, "--seed", "1", "--fresh"]) == 0
