"""Kernels compiled for GPUs that are not here: they fit, use tensor cores, do not spill. And what is refused, and how."""
from __future__ import annotations

import os
import subprocess
import sys

import pytest

import mcgen
from mcgen.codegen.package import build
from mcgen.diagnostics import UsageError
from mcgen.runtime.manifest import read_manifest
from mcgen.runtime.schedule import Schedules
from mcgen.runtime.triton import compile as compiling
from mcgen.runtime.triton.compile import STACK, DoesNotCompile, compile_one, kernels, parse_target
from mcgen.runtime.triton.options import FEW, PRECISIONS, default, knobs
from mcgen.spec import library_names

pytest.importorskip("triton")
SIZES = {"K": 64, "V": 64}
LARGE = {"K": 128, "V": 128}
UNLOWERED = {"atlas", "dla", "lact", "memora", "moneta", "titans_mlp", "ttt_linear", "ttt_mlp", "yaad"}        # no kernels on any device
SPILL = {("comba", 128): 208, ("rwkv7", 128): 264}       # bytes of a kernel each; with products in TF32 no more than STACK
TARGETS = {"cuda:sm_80": "HMMA", "cuda:sm_90": "HGMMA", "hip:gfx942": "MFMA"}


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return build(mcgen.load_spec("simple_gla"), tmp_path_factory.mktemp("packages") / "simple_gla")


def options(kernel, sizes, target, **given):
    backend = target.split(":")[0]
    base = default(kernel, sizes, backend)
    return {"num_warps": base.num_warps, **({"precision": "tf32"} if backend == "cuda" else {}), **given}


@pytest.mark.parametrize("target", TARGETS)
def test_what_a_forward_pass_takes(package, target):
    for kernel in compiling.load(package).forward["kernels"]:
        found = compile_one(kernel, target, SIZES, 64, 1, options(kernel, SIZES, target))
        assert found.fits and found.stack <= STACK and found.tensor.get(TARGETS[target], 0) > 0, found


def test_what_a_backward_pass_takes(package):
    for kernel in compiling.load(package).backward["kernels"]:
        found = compile_one(kernel, "cuda:sm_90", SIZES, 64, 1, options(kernel, SIZES, "cuda:sm_90"))
        assert found.fits and found.stack <= STACK and found.tensor.get("HGMMA", 0) > 0, found


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_tokens_of_16_bits(package, precision):
    """Loaded and stored as they are."""
    dtypes = compiling.narrow(read_manifest(package / "manifest.json"), "bfloat16")
    assert dtypes == dict.fromkeys(["q", "k", "v", "g", "d.q", "d.k", "d.v", "d.g", "y", "d.y"], "bfloat16")
    kernel = compiling.load(package).backward["kernels"][-1]
    found = compile_one(kernel, "cuda:sm_90", SIZES, 64, 1, options(kernel, SIZES, "cuda:sm_90", precision=precision, num_warps=8), dtypes)
    assert found.fits and found.stack <= STACK and found.tensor.get("HGMMA", 0) > 0, found


@pytest.mark.parametrize("target", ["cuda:sm_90", "hip:gfx942"])
def test_a_scan_over_tokens_stays_in_registers(tmp_path, target):
    for kernel in kernels(compiling.load(build(mcgen.load_spec("mamba1"), tmp_path / "op"))):
        found = compile_one(kernel, target, SIZES, 64, 1)
        assert found.fits and found.stack <= STACK and not found.tensor, found


def chunk_of(folder, sizes):
    manifest = read_manifest(folder / "manifest.json")
    return Schedules(manifest.chunk, sides=manifest.sides, loads=manifest.loads).usual("cuda", sizes)


def of_default(folder, sizes):
    """What every kernel takes on a Hopper GPU where nothing was tuned, its side of 64 in tensor cores that take it."""
    for kernel in kernels(compiling.load(folder)):
        yield compile_one(kernel, "cuda:sm_90", sizes, chunk_of(folder, sizes), 32)


def test_the_default_does_not_spill(package, tmp_path):
    """Products as accurate as float32, K = V = 64; with wgmma where a chunk has 64 tokens."""
    for folder in (package, build(mcgen.load_spec("mamba2"), tmp_path / "mamba2")):
        for found in of_default(folder, SIZES):
            assert found.fits and found.stack <= STACK and not found.tensor.get("HMMA"), found


@pytest.mark.parametrize("target, tensor", [("cuda:sm_80", "HMMA"), ("cuda:sm_100", "UTCHMMA"), ("cuda:sm_120", "HMMA")])
def test_nor_on_other_gpus(package, target, tensor):
    """Of all three products at once before Hopper none fits beside their operands; on Blackwell the loop of them does not compile."""
    for kernel in kernels(compiling.load(package)):
        found = compile_one(kernel, target, SIZES, 64, 1)
        assert found.fits and found.stack <= STACK and found.tensor.get(tensor, 0) > 0, found


@pytest.mark.slow
@pytest.mark.parametrize("size", [64, 128])
@pytest.mark.parametrize("name", [n for n in library_names("rules") if n not in UNLOWERED])
def test_no_default_spills(tmp_path, name, size):
    """But for the kernels in SPILL, which take no more than what is said there, and no less than what counts."""
    folder = build(mcgen.load_spec(name), tmp_path / "op")
    sizes = {**dict.fromkeys(read_manifest(folder / "manifest.json").dims, 64), "K": size, "V": size}
    found = list(of_default(folder, sizes))
    assert all(r.fits for r in found)
    over = {r.kernel: r.stack for r in found if r.stack > STACK}
    assert over == {} if (name, size) not in SPILL else len(over) == 1 and max(over.values()) <= SPILL[name, size], over


@pytest.mark.slow
def test_levels_do_not_spill(tmp_path):
    sizes = {**SIZES, "L": 16}
    for kernel in kernels(compiling.load(build(mcgen.load_spec("simple_gla+log_linear"), tmp_path / "op"))):
        found = compile_one(kernel, "cuda:sm_90", sizes, 64, 64, options(kernel, sizes, "cuda:sm_90", num_warps=8))
        assert found.fits and found.stack <= STACK, found


@pytest.mark.slow
@pytest.mark.parametrize("name", ["longhorn+grm", "mesa", "simple_gla", "mlstm+grm", "swla+ssc", "retnet+residual"])
def test_every_kernel_has_a_configuration_without_spills(tmp_path, name):
    folder = build(mcgen.load_spec(name), tmp_path / "op")
    for sizes, targets in ((SIZES, TARGETS), (LARGE, ["cuda:sm_90"])):
        for target in targets:
            for kernel in kernels(compiling.load(folder)):
                tried = []
                for given in ({}, {"num_warps": 8}, {"num_stages": 1, "num_warps": 8}):
                    found = compile_one(kernel, target, sizes, 64, 32, options(kernel, sizes, target, **given))
                    tried.append(found)
                    if found.fits and found.stack <= STACK:
                        break
                else:
                    pytest.fail(f"{target} {sizes}: {tried}")


def test_kernels_of_both_forms(package):
    names = [compiling.name_of(kernel) for kernel in kernels(*compiling.forms(package))]
    assert names == ["forward_0", "forward_1", "backward_0", "backward_1", "backward_2", "backward_3", "fused_forward_0", "fused_backward_0"]


def test_knobs_and_defaults(package):
    for kernel in kernels(compiling.load(package)):
        choices, base = knobs(kernel, SIZES), default(kernel, SIZES)
        assert base.num_warps in choices["num_warps"] and base.num_stages in choices["num_stages"] and base.precision in choices["precision"]
        assert {f"block_{d}" for d in base.blocks} == {n for n in choices if n.startswith("block_")}
        assert all(side in (32, 64) for side in base.blocks.values())
        assert base.precision == "tf32x3-serial" or (base.precision == "tf32x3" and kernel["products"] <= FEW)
    assert all(default(k, SIZES, arch="sm_80").precision == "tf32x3-serial" and default(k, SIZES, arch="sm_100").precision == "tf32x3"
               for k in kernels(compiling.load(package)))
    assert all(default(k, SIZES, "hip").precision == "ieee" for k in kernels(compiling.load(package))) and PRECISIONS["hip"][0] == "ieee"


@pytest.mark.parametrize("record, words", [({"precision": "half"}, "precision = 'half'"), ({"warps": 4}, "no option 'warps'"),
                                           ({"num_warps": 3}, "num_warps = 3"), ({"block_V": 256}, "block_V = 256")])
def test_refuses_options(package, record, words):
    kernel = compiling.load(package).forward["kernels"][0]
    with pytest.raises(UsageError, match=words):
        compile_one(kernel, "cuda:sm_90", SIZES, 64, 1, record)


def test_refuses_targets_and_sizes(package):
    for text in ("cuda:sm_91", "sm_90", "hip:sm_90", "cuda:gfx942", ""):
        with pytest.raises(UsageError, match="no target"):
            parse_target(text)
    assert parse_target("rocm:gfx942") == parse_target("hip:gfx942") == ("hip", "gfx942")
    with pytest.raises(UsageError, match="no size for V"):
        compile_one(compiling.load(package).forward["kernels"][0], "cuda:sm_90", {"K": 64}, 64, 1)
    with pytest.raises(DoesNotCompile, match="cannot compile"):
        compile_one({**compiling.load(package).forward["kernels"][0], "run": broken()}, "cuda:sm_90", SIZES, 64, 1)


def broken():
    """A kernel with the arguments of another one and a body that no compiler takes."""
    import triton

    def kernel(k_ptr, v_ptr, g_ptr, table_ptr, T, H, R, N, C, SLOTS, PRECISION, EXACT, PACKED, size_K, size_V, block_K, block_V):
        return k_ptr + "no"

    return triton.jit(kernel)


def test_does_not_compile_where_it_interprets(package):
    code = ("from mcgen.runtime.triton.compile import resources\nfrom mcgen.diagnostics import EnvironmentLacks\nimport sys\n"
            f"try:\n    resources({str(package)!r}, 'cuda:sm_90', {SIZES!r})\nexcept EnvironmentLacks as e:\n    sys.exit('unset' not in str(e))\nsys.exit(1)")
    assert subprocess.run([sys.executable, "-c", code], env={**os.environ, "TRITON_INTERPRET": "1"}).returncode == 0


def test_the_command(tmp_path, capsys):
    from mcgen.cli import main

    assert main(["build", "linear_attention", "--target", "cuda:sm_99", "-q"]) == 1
    assert main(["build", "linear_attention", "--target", "cuda:sm_90", "--size", "Q=3", "-q"]) == 1
    assert "no dimension 'Q'" in capsys.readouterr().err
