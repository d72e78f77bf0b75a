"""Schedules: what a record says, and that a call computes the same under each of them."""
import json
import pickle
import warnings

import pytest
import torch

import mcgen
from mcgen.bench.cases import Case, draw
from mcgen.diagnostics import UsageError
from mcgen.runtime import records
from mcgen.runtime.devices import architecture, device_name, likeness, processor, slug
from mcgen.runtime.records import BadRecord, entries_for, parse_record, read_record
from mcgen.runtime.schedule import Schedule, Schedules, look_up, options_of
from mcgen.runtime.tvm import Options

CPU = torch.device("cpu")
VERSIONS = {name: records.version(name) for name in ("mcgen", "torch", "apache-tvm")}
SPEC = {"name": "scheduled", "rule": {"inputs": {"q": ["K"], "k": ["K"], "v": ["V"], "g": {"shape": [], "domain": ["-inf", 0]}}, "state": {"S": ["K", "V"]},
                                      "update": {"S": "exp(g) * S + outer(k, v)"}, "read": "S.T @ q"}}


@pytest.fixture(autouse=True)
def unseen():
    """Each test reads its files anew and may be warned."""
    entries_for.cache_clear()
    records._warned = False
    yield
    entries_for.cache_clear()


def entry(**changes):
    return {"dtype": "float32", "sizes": {"K": 8, "V": 8}, "heads": 2, "tokens": 64, "chunk": 32, "options": {"rows": 4}, "versions": VERSIONS, **changes}


def write(folder, name=None, arch=None, entries=(), **changes):
    folder.mkdir(exist_ok=True)
    raw = {"format": 1, "device": "?", "architecture": arch or architecture(CPU), "entries": entries or [entry()], **changes}
    path = folder / f"{name or device_name(CPU)}.json"
    path.write_text(json.dumps(raw))
    return path


def inputs():
    chance = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, 100, 2, 8, generator=chance) for _ in range(3))
    return {"q": q, "k": k, "v": v, "g": -torch.rand(1, 100, 2, generator=chance)}


def results(op, given=None):
    given = {n: x.detach().requires_grad_() for n, x in (given or inputs()).items()}
    y = op(**given)
    return [y, *torch.autograd.grad(y.square().sum(), list(given.values()))]


@pytest.mark.parametrize("options", [{}, {"lanes": 8}, {"lanes": 16}, {"rows": 4, "columns": 8}, {"opt_level": 3, "backward.opt_level": 1}, {"unroll": 1, "forward.rows": 1}])
def test_a_schedule_changes_nothing_beyond_rounding(options):
    op = mcgen.load(SPEC)
    other = op.with_schedule(Schedule.of(32, options))
    assert other.chunk_at("cpu", {"K": 256, "V": 4}) == 32 and op.chunk_at("cpu", {"K": 256, "V": 4}) == 64
    for mine, usual in zip(results(other), results(op)):
        torch.testing.assert_close(mine, usual, rtol=2e-5, atol=2e-5 * float(usual.detach().abs().max()))


@pytest.mark.parametrize("name", ["gated_delta+grm", "longhorn", *(pytest.param(name, marks=pytest.mark.slow) for name in ("kda", "mesa", "mamba1+ssc"))])
def test_vectors_of_either_width(name):
    """As far as sizes are whole vectors, and where they are not."""
    op = mcgen.load(name, segment_length=32 if "+" in name else None)
    given = draw(op, Case(name, {"B": 1, "T": 150, "H": 2, "K": 24, "V": 37}))
    narrow, wide = (results(op.with_schedule(Schedule.of(64, {"lanes": lanes})), given) for lanes in (8, 16))
    for one, other in zip(narrow, wide):
        torch.testing.assert_close(one, other, rtol=2e-5, atol=2e-5 * float(one.detach().abs().max()))


def test_kernels_are_made_with_the_options(monkeypatch):
    from mcgen.runtime import tvm
    made, real = [], tvm.compile

    def compile(build, sizes, name, options, **more):
        made.append((name.split("_", 1)[1], sizes["#chunk"], options))
        return real(build, sizes, name, options, **more)

    monkeypatch.setattr(tvm, "compile", compile)
    results(mcgen.load(SPEC).with_schedule(Schedule.of(16, {"rows": 5, "backward.rows": 2, "opt_level": 1})))
    assert made == [("forward_save", 16, Options(rows=5, opt_level=1)), ("backward", 16, Options(rows=2, opt_level=1))]


def test_forced_schedules_are_their_own_ops():
    op = mcgen.load(SPEC)
    one, two = op.with_schedule(Schedule.of(32, {"rows": 4})), op.with_schedule(Schedule.of(32, {"rows": 5}))
    assert one is not two and one is op.with_schedule(Schedule.of(32, {"rows": 4})) and pickle.loads(pickle.dumps(one)) is one
    with pytest.raises(UsageError, match="no chunks of 48"):
        op.with_schedule(Schedule(48))
    with pytest.raises(UsageError, match="no option 'warps'"):
        results(op.with_schedule(Schedule.of(32, {"warps": 9})))
    for options in ({"columns": 9}, {"lanes": 4}):
        with pytest.raises(UsageError, match="no kernel has"):
            results(op.with_schedule(Schedule.of(32, options)))


def test_an_op_takes_what_its_record_says(tmp_path, monkeypatch):
    """Chunk and options, and only for calls of the record's sizes."""
    write(tmp_path / "tuned")
    found = Schedules(64, (tmp_path / "tuned",))
    assert found.find(CPU, torch.float32, {"K": 8, "V": 8}, 2, 100) == Schedule.of(32, {"rows": 4})
    assert found.find(CPU, torch.float32, {"K": 16, "V": 8}, 2, 100) == found.find(CPU, torch.float64, {"K": 8, "V": 8}, 2, 100) == Schedule(64)
    monkeypatch.setenv("MCGEN_CACHE", str(tmp_path / "cache"))
    op = mcgen.load({**SPEC, "name": "recorded"})
    write(op.folder / "tuned")
    results(op)
    assert {(k[1], k[2]) for k in op._backends.tvm._kernels} == {(32, (("rows", 4),))}


def test_traced_calls_take_the_chunk_that_all_rows_agree_on(tmp_path):
    write(tmp_path, entries=[entry(chunk=32), entry(chunk=32, tokens=9), entry(dtype="bfloat16", chunk=16), entry(dtype="bfloat16", chunk=128)])
    found = Schedules(64, (tmp_path,))
    assert [found.traced_chunk("cpu", d, found.marks({})) for d in ("float32", "bfloat16", "float64")] == [32, 64, 64]
    assert Schedules(64, (tmp_path,), Schedule(16)).traced_chunk("cpu", "float32", (True,)) == 16


@pytest.mark.parametrize("sides, device, sizes, expected", [
    (("K", "V"), "cpu", {"K": 64, "V": 64}, 32), (("K", "V"), "cpu", {"K": 64, "V": 128}, 64), (("K", "V"), "cuda", {"K": 64, "V": 64}, 64),
    ((), "cpu", {"K": 64}, 64), (("K", 256), "cpu", {"K": 64}, 64), (("K", 4), "cpu", {"K": 64}, 32)])
def test_the_usual_chunk_is_shorter_on_a_cpu_for_small_states(sides, device, sizes, expected):
    found = Schedules(64, sides=sides)
    assert found.usual(device, sizes) == expected
    assert device != "cpu" or found.traced_chunk(device, "float32", found.marks(sizes)) == expected
    assert Schedules(16, sides=sides).usual(device, sizes) == 16


def test_the_usual_chunk_is_what_a_gpus_registers_hold():
    """At 64 tokens of a chunk they are full at K = 192, and V alone never fills them."""
    found = Schedules(64, loads={"K": (0.5, 0.75), "V": (0.25, 0.25)})
    assert [found.usual("cuda", {"K": k, "V": v}) for k, v in ((64, 64), (192, 1024), (193, 64), (448, 64), (1024, 64))] == [64, 64, 32, 32, 16]
    assert found.usual("cpu", {"K": 256, "V": 64}) == 64
    assert Schedules(64, loads={"K": (1.25, 2.0)}).usual("cuda", {"K": 16}) == 64 and Schedules(64, loads={"K": (1.25, 1.25)}).usual("cuda", {"K": 64}) == 32


def test_a_traced_call_with_a_schedule():
    torch._dynamo.reset()
    op = mcgen.load(SPEC).with_schedule(Schedule.of(32, {"rows": 4}))
    given = inputs()
    traced = torch.compile(lambda *xs: op(**dict(zip(given, xs))), fullgraph=True, backend="aot_eager", dynamic=True)
    for length in (100, 90, 70):
        cut = {n: x[:, :length].contiguous() for n, x in given.items()}
        torch.testing.assert_close(traced(*cut.values()), op(**cut))


def test_look_up_takes_the_nearest():
    rows = parse_record({"format": 1, "entries": [entry(heads=h, tokens=t, chunk=c) for h, t, c in ((4, 512, 16), (64, 512, 32), (4, 8192, 64))]}).entries
    sizes = {"K": 8, "V": 8}
    assert [look_up(rows, "float32", sizes, h, t).chunk for h, t in ((8, 600), (100, 600), (100, 100000))] == [16, 32, 64]
    assert look_up(rows, "float32", {**sizes, "derived": 16}, 8, 600).chunk == 16
    assert look_up(rows, "float64", sizes, 8, 600) is None and look_up(rows, "float32", {"K": 8}, 8, 600) is None


def test_options_of_a_kernel():
    options = (("backward.rows", 4), ("rows", 6), ("unroll", 2))
    assert options_of(options, "forward") == {"rows": 6, "unroll": 2} and options_of(options, "backward") == {"rows": 4, "unroll": 2}


@pytest.mark.parametrize("change, words", [
    ({"format": 2}, "format 2"), ({"entries": 3}, "no list"), ({"entries": [{}]}, "entry 0 is damaged"),
    ({"entries": [entry(chunk=0)]}, "entry 0"), ({"entries": [entry(), entry(options={"rows": None})]}, "entry 1"),
    ({"entries": [entry(options={"__import__": 1})]}, "entry 0"), ({"entries": [entry(options={"rows": "a b"})]}, "entry 0"), ({"entries": [entry(sizes=[8])]}, "entry 0"), ({"entries": [entry(heads=True)]}, "entry 0"),
])
def test_bad_records_are_named(tmp_path, change, words):
    path = write(tmp_path, **({"entries": [entry()]} | change))
    with pytest.raises(BadRecord, match=words):
        read_record(path)
    with pytest.warns(UserWarning, match=words):
        assert entries_for((tmp_path,), CPU) == ()


def test_a_file_that_is_no_json(tmp_path):
    path = write(tmp_path)
    path.write_text("{")
    with pytest.warns(UserWarning, match=r"not JSON.*the default is taken.*mcgen tune .*spec.yaml --device cpu"):
        assert entries_for((tmp_path,), CPU) == ()
    with warnings.catch_warnings():
        warnings.simplefilter("error")                                       # once a process
        entries_for.cache_clear()
        entries_for((tmp_path,), CPU)


@pytest.mark.parametrize("name", ["mcgen", "apache-tvm"])
def test_a_record_of_another_version_is_not_taken(tmp_path, name):
    write(tmp_path, entries=[entry(versions={**VERSIONS, name: "0.0.1"})])
    with pytest.warns(UserWarning, match=f"made with {name} 0.0.1"):
        assert entries_for((tmp_path,), CPU) == ()


def test_another_torch_made_the_same_kernels(tmp_path):
    write(tmp_path, entries=[entry(versions={**VERSIONS, "torch": "2.11.0"})])
    assert len(entries_for((tmp_path,), CPU)) == 1


def test_the_nearest_device_of_the_same_architecture(tmp_path):
    mine = device_name(CPU).split("-")
    near = "-".join([*mine[:2], "x", *mine[3:]])
    write(tmp_path, near, entries=[entry(chunk=16)])
    write(tmp_path, "cpu-other", entries=[entry(chunk=128)])
    write(tmp_path, "-".join(mine[:-1]) + "-z", arch="sm_90", entries=[entry(chunk=32)])
    with pytest.warns(UserWarning, match=f"that of {near} is taken"):
        assert [e.chunk for e in entries_for((tmp_path,), CPU)] == [16]


def test_no_record_at_all_is_silent_on_a_cpu_and_not_on_a_gpu(tmp_path, monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert entries_for((tmp_path,), CPU) == ()
    for module in (records,):
        monkeypatch.setattr(module, "device_name", lambda d: "nvidia-fake")
        monkeypatch.setattr(module, "architecture", lambda d: "sm_90")
    with pytest.warns(UserWarning, match="no tuned record for nvidia-fake; the default is taken. To make one: mcgen tune .* --device cuda"):
        assert entries_for((tmp_path,), torch.device("cuda")) == ()


def test_names_of_devices():
    assert device_name(CPU).startswith("cpu-") and device_name(CPU).endswith(architecture(CPU))
    intel = "processor : 0\nvendor_id : GenuineIntel\ncpu family : 6\nmodel : 143\nflags : sse avx avx2 avx512f\n\nprocessor : 1\nmodel : 9"
    assert processor(intel) == ("intel", "6", "143", "avx512")
    assert processor("CPU implementer : 0x41\nCPU architecture: 8\nCPU part : 0xd40\nFeatures : fp asimd") == ("0x41", "8", "0xd40", "neon")
    assert processor("")[-1] == "generic"
    assert slug("NVIDIA H100 80GB HBM3") == "nvidia-h100-80gb-hbm3" and slug("../../etc") == "etc"
    assert likeness("nvidia-h100-pcie", "nvidia-h100-80gb-hbm3") == 2
