"""Writing records: atomic, merged, never over something else."""
import json
import threading

import pytest
import torch

from mcgen.diagnostics import EnvironmentLacks, UsageError
from mcgen.runtime.records import read_record
from tuner import record
from tuner.finish import Verdict
from tuner.subject import Subject

SIZES = {"B": 1, "T": 64, "H": 2, "K": 8, "V": 8}
TIMES = {d: {n: {"ms": 1.0, "spread": 0.1, "ratio": r, "noise": 0.01, "rounds": 9} for n, r in (("default", 1.0), ("trial 3", 0.9))}
         for d in ("forward", "forward + backward")}
VERDICT = Verdict({"chunk": 32, "rows": 4}, "why", 0.9, 0.01, "trial 3", TIMES, {"gates": {"forward": {}, "weights": {}}, "skipped": {"weights": "no cache"}})


@pytest.fixture
def subject(tmp_path):
    return Subject(str(tmp_path / "generated" / "an_op"), "an_op", SIZES)


def test_a_row_says_all_that_is_to_be_said(subject):
    row = record.row(subject, VERDICT, 30)
    assert row["chunk"] == 32 and row["options"] == {"rows": 4} and (row["heads"], row["tokens"], row["sizes"]) == (2, 64, {"K": 8, "V": 8})
    assert set(row["versions"]) == {"mcgen", "torch", "apache-tvm"} and row["versions"]["torch"] == torch.__version__.split("+")[0]
    assert row["gates"] == {"forward": "passed", "weights": "skipped"}
    assert row["measured"]["forward"] == {"ms": 1.0, "spread_ms": 0.1, "default_ms": 1.0, "default_spread_ms": 0.1, "ratio": 0.9, "rounds": 9}


def test_rows_of_other_calls_stay_and_of_the_same_are_replaced(subject, tmp_path):
    row = record.row(subject, VERDICT, 30)
    path = record.save(subject, row, tmp_path / "tuned")
    record.save(subject, {**row, "tokens": 4096}, tmp_path / "tuned")
    record.save(subject, {**row, "chunk": 16}, tmp_path / "tuned")
    assert sorted((e.tokens, e.chunk) for e in read_record(path).entries) == [(64, 16), (4096, 32)]
    raw = json.loads(path.read_text())
    assert raw["device"] == path.stem == subject.device_name and raw["architecture"] == subject.architecture
    assert [p.name for p in path.parent.glob("*") if p.name[0] != "."] == [path.name]


def test_writers_at_once_lose_nothing(subject, tmp_path):
    row = record.row(subject, VERDICT, 30)
    threads = [threading.Thread(target=record.save, args=(subject, {**row, "tokens": t}, tmp_path)) for t in range(1, 13)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(e.tokens for e in read_record(tmp_path / f"{subject.device_name}.json").entries) == list(range(1, 13))


def test_a_file_that_is_no_record_is_left_alone(subject, tmp_path):
    path = tmp_path / f"{subject.device_name}.json"
    path.write_text("my notes")
    with pytest.raises(UsageError, match="is no record: it is not JSON"):
        record.save(subject, record.row(subject, VERDICT, 30), tmp_path)
    assert path.read_text() == "my notes"


def test_a_folder_that_can_not_be(subject, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentLacks, match="cannot write"):
        record.save(subject, record.row(subject, VERDICT, 30), tmp_path / "file" / "tuned")


def test_where_records_go(subject, tmp_path, monkeypatch):
    monkeypatch.setenv("MCGEN_CACHE", str(tmp_path / "cache"))
    assert record.home(subject) == tmp_path / "generated" / "an_op" / "tuned"
    assert record.home(subject, tmp_path) == tmp_path
    installed = Subject(str(tmp_path / "mcgen" / "_generated" / "an_op"), "an_op", SIZES)
    assert record.home(installed).parent == tmp_path / "cache" / "tuned"
