"""Operations are counted as kernels execute them."""
import pytest

import mcgen
from mcgen.bench import builds, rates, scans
from mcgen.bench.cases import Case
from mcgen.bench.report import Findings
from mcgen.runtime.tvm import Options


def test_products_of_a_row():
    """Of a row of C tokens: two triangles, in tiles of some rows, the read of the state and its update; a row that is not full counts whole."""
    op = mcgen.load("linear_attention")
    C, K, V, rows = 32, 64, 64, Options().rows
    a_row = C * C * K * (C + rows) / (2 * C) + C * C * V * (C + rows) / (2 * C) + 2 * C * K * V
    assert rates.multiply_adds(op, Case(op.name, {"T": 96})) == 3 * a_row
    assert rates.multiply_adds(op, Case(op.name, {"T": 70})) == 3 * a_row


def test_a_dense_system_of_each_token():
    """Half a matrix eliminated, then substituted twice; as many tokens as there are."""
    op, side = mcgen.load("mesa"), 64
    counts = [rates.multiply_adds(op, Case(op.name, {"T": T})) for T in (33, 40)]
    assert counts[1] - counts[0] == pytest.approx(7 * (side ** 3 / 6 + side ** 2))


def test_a_scan_over_tokens_has_none(monkeypatch):
    """It is measured against its state's traffic: one matrix here, in a backward pass four times."""
    assert rates.measure("longhorn") is None
    monkeypatch.setattr(scans, "SIZES", {"B": 1, "T": 64, "H": 1})
    found = scans.measure("longhorn", rounds=3)
    assert found["forward + backward"]["traffic"] == 4 * found["forward"]["traffic"]
    assert all(r["ratio"] > 0.5 and r["ratio"] == r["milliseconds"] / r["traffic"] and not r["functions"] for r in found.values())


def test_functions_of_entries(monkeypatch):
    """mamba1's decay: an exponential for each, once forward, and once more where a backward pass computes states again."""
    monkeypatch.setattr(scans, "SIZES", {"B": 1, "T": 64, "H": 1})
    found = scans.measure("mamba1", rounds=3)
    assert found["forward + backward"]["functions"] == 2 * found["forward"]["functions"] > 0
    assert all(r["ratio"] == r["milliseconds"] / max(r["traffic"], r["functions"]) for r in found.values())


def test_table():
    found = Findings("a device", {}, rates={"an_op": {"operations": 4e9, "milliseconds": 20.0, "share": 0.625}})
    found.scans["another"] = {"forward": {"milliseconds": 3.0, "traffic": 1.5, "functions": 0.5, "ratio": 2.0}}
    table, scan = found.tables()
    assert scan.rows == [("another", "forward", "3", "1.5", "0.5", "2.0")]
    assert table.rows == [("an_op", "20", "4.00", "200", "0.62")]
    assert found.as_dict()["rates"]["an_op"]["share"] == 0.625


def test_what_does_not_build_says_why():
    """The message, not the last line of the place that is shown below it."""
    assert builds.message("Traceback (most recent call last):\n  File\nmcgen.diagnostics.NotLowered: spec.yaml:1:2: error[not-lowered]: why\n"
                          "    read: q\n          ^") == "spec.yaml:1:2: error[not-lowered]: why"
    assert builds.message("") == "no message"
