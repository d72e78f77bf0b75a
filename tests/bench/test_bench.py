"""The bench: peers compute what the specs say, tables hold what was measured."""
import json
import sys
from types import SimpleNamespace

import pytest
import torch

import mcgen
from mcgen.bench import cases, peers, peers_fla
from mcgen.bench.cases import Case
from mcgen.bench.measure import both, exponent, forward, interleaved
from mcgen.bench.peer_forms import NAMES, forms_of
from mcgen.bench.report import Findings
from mcgen.bench.scaling import Curve
from mcgen.bench.suite import OURS, Result
from mcgen.bench.suite import run as run_case
from mcgen.cli import main
from mcgen.diagnostics import UsageError
from mcgen.spec import load_spec
from mcgen.verify.oracle import reference


def listed(peer):
    return next(c for c in cases.read()[0] if c.peer == peer)


@pytest.mark.parametrize("peer", NAMES)
def test_torch_peers_are_the_spec(peer, monkeypatch):
    """Every way to write it, against the reference."""
    monkeypatch.setattr(peers, "CHUNK", 32)
    case = Case(listed(peer).op, {"B": 1, "T": 128, "H": 2, "K": 3, "V": 5}, 64)
    spec = load_spec(case.op)
    exact = reference(spec if spec.cache is None else load_spec(case.op, segment_length=64))
    x = {n: v.double() for n, v in cases.draw(exact, case).items()}
    expected = exact(**x)
    for kind, form in forms_of(peer, 64).items():
        torch.testing.assert_close(form(**x), expected, msg=lambda text: f"{kind}: {text}")


def test_an_unknown_peer():
    with pytest.raises(UsageError, match="no peer is called 'nobody'"):
        forms_of("nobody", 64)


def test_every_listed_op_is_in_the_library():
    found, scaling = cases.read()
    for case in [*found, scaling.case]:
        load_spec(case.op)
    named, _ = cases.read(["linear_attention"])
    assert [c.op for c in named] == ["linear_attention"] and named[0].peer == "attention"


def test_candidates_take_turns():
    order: list[str] = []
    times = interleaved({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, rounds=3, warm=1)
    assert order == ["a", "b"] + ["a", "b"] * 3
    assert times["a"].rounds == 3 and times["a"].median >= times["a"].least


def test_both_takes_gradients_of_all_inputs():
    x, y = torch.ones(2), torch.ones(2)
    assert len(both(lambda a, b: a * b, [x, y])()) == 2
    assert not forward(lambda a: a * 2, [x.requires_grad_()])().requires_grad


def test_exponent():
    assert exponent([1, 2, 4], [3, 12, 48]) == pytest.approx(2.0)


def test_findings_are_written_whole(tmp_path):
    case = Case("some_op", {"B": 1, "T": 8, "H": 1})
    times = interleaved({OURS: lambda: None, "peer": lambda: sum(range(20000))}, rounds=3)
    result = Result(case, "forward", times, {"other": "not installed"})
    curve = Curve("some_op", "tokens", [1, 2, 4, 8], {"forward": [1.0, 2.0, 4.0, 8.0]})
    found = Findings("a machine", {"torch": "2"}, [result], [curve], startup={"import": 0.01},
                     memory=[{"case": "some_op", "direction": "forward", "subject": "mcgen", "peak": 3.0, "floor": {"inputs": 2.0}}])
    found.save(tmp_path)
    text = (tmp_path / "results.md").read_text()
    assert "other: not installed" in text and "+1.00" in text and "1.50" in text and "a machine" in text
    data = json.loads((tmp_path / "results.json").read_text())
    assert data["times"][0]["best_peer"] == "peer" and data["times"][0]["ratio"] > 1
    assert (tmp_path / "scaling.png").stat().st_size > 1000


def test_a_library_of_gpu_kernels_as_peer(monkeypatch):
    """Found by the name that the case gives it, called with the op's inputs by name, compared, timed beside the op; left out where it computes something else."""
    case = Case("simple_gla", {"B": 1, "T": 128, "H": 2, "K": 8, "V": 8}, peer="fla:simple_gla", dtype="bfloat16")
    library = SimpleNamespace(chunk_simple_gla=lambda q, k, v, g: (peers.decayed(q.float(), k.float(), v.float(), g).bfloat16(), None))
    monkeypatch.setitem(sys.modules, "fla", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "fla.ops", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "fla.ops.simple_gla", library)
    x = cases.draw(mcgen.load(case.op), case)
    assert {n: v.dtype for n, v in x.items()} == {"q": torch.bfloat16, "k": torch.bfloat16, "v": torch.bfloat16, "g": torch.float32}
    found = run_case(case, rounds=3)
    assert [(r.direction, set(r.times), r.skipped) for r in found] == [(d, {OURS, "flash-linear-attention"}, {}) for d in ("forward", "forward + backward")]
    library.chunk_simple_gla = lambda q, k, v, g: (v + 1, None)
    assert all("computes something else" in r.skipped["flash-linear-attention"] for r in run_case(case, rounds=3))
    monkeypatch.setitem(sys.modules, "fla.ops.simple_gla", None)
    assert all("not installed" in r.skipped["flash-linear-attention"] for r in run_case(case, rounds=3))


def test_cases_on_a_gpu():
    listed = cases.read_gpu()
    assert len(listed) == 24 and {c.device for c in listed} == {"cuda"} and all(c.peer.startswith("fla:") for c in listed)
    with pytest.raises(UsageError, match="no peer is called 'fla:os.path'"):
        peers_fla.form_of("fla:os.path")
    assert main(["bench", "--device", "cuda", "--only", "memory"]) == 1
    if not torch.cuda.is_available():
        assert main(["bench", "--device", "cuda"]) == 3
