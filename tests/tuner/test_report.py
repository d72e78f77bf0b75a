"""The report of a study, and the comparison of segment lengths."""
import json
import re

import pytest
import torch
from test_record import SIZES, VERDICT

from tuner import record, report, segments, states
from tuner.space import Knob, Space
from tuner.study import Trial
from tuner.subject import Subject

SPACE = Space((Knob("chunk", (32, 64)), Knob("rows", (4, 6))), {"chunk": 64, "rows": 6}, lambda c: [])
TRIALS = [Trial(0, SPACE.default, states.DONE, 1.01), Trial(1, {"chunk": 32, "rows": 6}, states.CRASH, None, "<SIGSEGV>"),
          Trial(2, {"chunk": 64, "rows": 4}, states.TIMEOUT, None, "no answer"), Trial(3, {"chunk": 32, "rows": 4}, states.DONE, 0.9, seconds=3.2)]


@pytest.fixture
def subject(tmp_path):
    return Subject(str(tmp_path / "generated" / "an_op"), "an_op", SIZES)


def test_a_picture_and_one_page(subject, tmp_path):
    png, page = report.write(subject, SPACE, TRIALS, tmp_path)
    assert png.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    text = page.read_text()
    assert "No record" in text and "2 done" in text and "&lt;SIGSEGV&gt;" in text and "<SIGSEGV>" not in text
    assert re.findall(r'<tr class="best">.*?>(\d+)<', text) == ["3"] and "timeout" in text and "0.900" in text
    assert not re.findall(r'(?:src|href)="(?!data:)', text)                     # nothing from elsewhere


def test_the_winner_beside_the_default(subject):
    record.save(subject, record.row(subject, VERDICT, 4), record.home(subject))
    found = report.recorded(subject)
    text = report.page(subject, SPACE, TRIALS, b"", found)
    assert "chunk 32, rows 4" in text and "0.900 of the default" in text and "forward passed, weights skipped" in text
    other = Subject(subject.folder, "an_op", {**SIZES, "T": 128})
    assert report.recorded(other) is None


def test_how_a_study_ended(subject):
    verdict = {"why": "no gain & no loss", "times": VERDICT.times, "failed": {"trial 1": "gradients"}}
    text = report.page(subject, SPACE, TRIALS, b"", None, verdict)
    assert "no gain &amp; no loss." in text and "trial 1 was refused by the gates: gradients" in text and text.count(">trial 3<") == 2
    assert "not finished" in report.page(subject, SPACE, TRIALS, b"", None)


def test_a_study_without_a_time(subject):
    assert report.draw(subject, TRIALS[1:3])[:4] == b"\x89PNG" and report.draw(subject, [])[:4] == b"\x89PNG"


def test_the_bytes_of_a_cache():
    memory = {"state": {"S": torch.zeros(100)}, "cache": {"S": torch.zeros(2, 4)}, "summary": torch.zeros(3), "after": {"0": torch.zeros(1)},
              "position": torch.zeros(1, dtype=torch.int64), "capacity": None}
    assert segments.held(memory) == 4 * (8 + 3 + 1)


def test_segments_as_a_picture(subject):
    rows = [segments.Row(n, 1 << 20, {d: {"ms": 1.0, "spread": 0.1} for d in ("forward", "forward + backward")}) for n in (128, 256)]
    assert segments.draw(rows, 256, subject)[:4] == b"\x89PNG"
    assert segments.table(rows, 256, subject).row_count == 2


def test_recorded_trials_are_what_the_fixture_says():
    """The fixture of the simulated study is a whole grid: every configuration once, with the versions that it was measured with."""
    from test_study import RECORDED, recorded_space

    assert json.dumps(sorted(map(str, recorded_space().configs()))) == json.dumps(sorted(str(t["config"]) for t in RECORDED["trials"]))
    assert set(RECORDED["versions"]) == {"mcgen", "torch", "apache-tvm"}
