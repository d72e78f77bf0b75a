"""Schedules for GPUs, with invented kernels and resources: nothing here needs Triton or a GPU."""
import sys

import pytest
from rich.console import Console

from mcgen.cli import main
from mcgen.diagnostics import EnvironmentLacks
from tuner import feasibility, work
from tuner.feasibility import Needs
from tuner.gpu import gpu_space, own

KERNELS = {"fwd_rows": ({"block_V": (16, 32, 64), "num_warps": (2, 4, 8), "num_stages": (1, 2), "precision": ("tf32x3", "tf32")},
                        {"block_V": 64, "num_warps": 4, "num_stages": 2, "precision": "tf32x3"}),
           "bwd_loop": ({"num_warps": (4, 8), "num_stages": (1, 2, 3), "precision": ("tf32x3", "tf32")}, {"num_warps": 4, "num_stages": 2, "precision": "tf32x3"})}
CHUNKS = (16, 32, 64, 128)


def resources(limit):
    """Shared memory grows with chunk and stages, spills with tiles over warps. Two warps do not compile."""
    calls = []

    def need(kernel, chunk, options):
        calls.append((kernel, chunk, tuple(sorted(options.items()))))
        if options["num_warps"] == 2:
            raise RuntimeError("PassManager::run failed\nmore")
        return Needs(128, 4 * options.get("block_V", 0) if chunk == 128 else 0, 512 * chunk * options["num_stages"], limit,
                     {"HGMMA" if chunk >= 64 and options["num_warps"] > 2 else "HMMA": 6})

    need.calls = calls
    return need


def test_what_fits_and_why_not():
    need = resources(100_000)
    space = gpu_space(KERNELS, CHUNKS, 64, need)
    assert space.default == {"chunk": 64, "fwd_rows.block_V": 64, "fwd_rows.num_warps": 4, "fwd_rows.num_stages": 2, "fwd_rows.precision": "tf32x3",
                             "bwd_loop.num_warps": 4, "bwd_loop.num_stages": 2, "bwd_loop.precision": "tf32x3"}
    assert not space.feasible(space.default) and space.holds(space.default)
    assert space.feasible({**space.default, "chunk": 128}) == ["fwd_rows: 131072 bytes of shared memory of 100000", "fwd_rows: 256 bytes of registers spilled",
                                                               "bwd_loop: 131072 bytes of shared memory of 100000"]
    assert space.feasible({**space.default, "fwd_rows.num_warps": 2}) == ["fwd_rows: does not compile (RuntimeError: PassManager::run failed)"]
    assert len(need.calls) <= len(set(need.calls)) + 4                  # a kernel is compiled once for each of its choices, its default twice


def test_what_the_default_spills_is_no_reason_against_another():
    def need(kernel, chunk, options):
        return Needs(255, 3000 if kernel == "fwd_rows" and options["num_warps"] < 8 else 0, 1000, 5000)

    space = gpu_space(KERNELS, CHUNKS, 64, need)
    assert not space.feasible(space.default) and not space.feasible({**space.default, "fwd_rows.num_warps": 8})


def test_a_gpu_with_little_shared_memory_gets_a_smaller_default():
    assert gpu_space(KERNELS, CHUNKS, 64, resources(40_000)).default["chunk"] == 32
    small = gpu_space(KERNELS, CHUNKS, 64, resources(10_000)).default
    assert small["chunk"] == 16 and small["fwd_rows.num_stages"] == 1


def test_a_gpu_with_too_little_is_named():
    with pytest.raises(EnvironmentLacks, match="fwd_rows: 65536 bytes of shared memory of 5000"):
        gpu_space(KERNELS, CHUNKS, 64, resources(5_000))


def test_kernels_of_the_form_that_is_chosen():
    knobs, usual = KERNELS["bwd_loop"]
    kernels = {name: (knobs, usual) for name in ("forward_0", "backward_0", "fused_forward_0", "fused_backward_0")}

    def need(kernel, chunk, options):
        need.seen.add(kernel)
        return Needs(128, 0, (4 if kernel == "fused_backward_0" else 1) * 512 * chunk, 100_000)

    need.seen = set()
    space = gpu_space(kernels, CHUNKS, 64, need)
    assert {k.name: k.choices for k in space.knobs if k.name.endswith("fused")} == {"forward.fused": (0, 1), "backward.fused": (0, 1)}
    assert space.default["forward.fused"] == space.default["backward.fused"] == 0
    need.seen.clear()
    assert not space.feasible(space.default) and need.seen == {"forward_0", "backward_0"}
    assert not space.feasible({**space.default, "forward.fused": 1}) and "fused_forward_0" in need.seen and "fused_backward_0" not in need.seen
    assert space.feasible({**space.default, "backward.fused": 1}) == ["fused_backward_0: 131072 bytes of shared memory of 100000"]
    assert not space.feasible({**space.default, "chunk": 32, "backward.fused": 1})
    idle = {**space.default, "forward.fused": 1, "forward_0.num_warps": 8, "fused_forward_0.num_warps": 8}
    assert space.settle(idle) == {**idle, "forward_0.num_warps": 4}


def test_precision_is_searched_like_the_rest():
    space = gpu_space(KERNELS, CHUNKS, 64, resources(100_000))
    assert {k.name: k.choices for k in space.knobs}["bwd_loop.precision"] == ("tf32x3", "tf32")
    assert space.holds({**space.default, "bwd_loop.precision": "tf32"})


def test_the_gates_know_the_precision():
    assert [work.arithmetic(options) for options in ({}, {"a.precision": "tf32x3"}, {"a.precision": "ieee", "b.precision": "bf16"}, {"precision": "tf32"})] \
        == [None, None, "tf32", "tf32"]


def test_inputs_of_16_bits_on_a_gpu_alone(spec, capsys):
    assert main(["tune", str(spec), "--dtype", "bfloat16"]) == 1
    assert "--dtype bfloat16 is for GPUs" in capsys.readouterr().err


def test_options_of_a_kernel():
    assert own({"chunk": 64, "a.num_warps": 4, "ab.num_warps": 8}, "a") == {"num_warps": 4}


def test_the_table_of_a_dry_run():
    console = Console(width=160, color_system=None)
    with console.capture() as text:
        assert feasibility.show(KERNELS, (64, 128), 64, resources(100_000), "cuda:sm_00", 60.0, console) == 0
    shown = text.get()
    assert "HGMMA 6" in shown and "bwd_loop: 6 choices fit, with HGMMA\n" in shown
    assert "fwd_rows: " in shown and "the default" in shown and "131072 bytes of shared memory of 100000" in shown and "does not compile" in shown
    with console.capture() as text:
        assert feasibility.show(KERNELS, (64, 128), 64, resources(100_000), "cuda:sm_00", 0.0, console) == 1
    assert "choices were left out after 0 s" in text.get()


def test_without_triton(spec, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "triton", None)
    assert main(["tune", str(spec), "--target", "cuda:sm_90", "--dry-run"]) == 3
    assert "pip install triton" in capsys.readouterr().err
