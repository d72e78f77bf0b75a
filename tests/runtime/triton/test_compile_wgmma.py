"""Every kernel of these ops can be launched so that a Hopper GPU multiplies with warpgroup instructions and spills nothing: options that
`mcgen tune` may propose, those for tokens in float32 before the one for 16 bits."""
from __future__ import annotations

import itertools

import pytest

import mcgen
from mcgen.codegen.package import build
from mcgen.runtime.manifest import read_manifest
from mcgen.runtime.triton import compile as compiling
from mcgen.runtime.triton.compile import STACK, compile_one, kernels
from mcgen.runtime.triton.options import default, knobs, precisions

pytest.importorskip("triton")
CHUNK = 64                       # a warpgroup's products have 64 rows
NAMES = ("linear_attention", "simple_gla", "retnet", "mamba2", "mlstm", "gla", "rwkv6", "hgrn2", "deltanet", "gated_delta", "comba", "kda", "gdn2", "rwkv7",
         "titans_linear", "delta_product", "linear_attention_normalised", "swla", "mesa", "simple_gla+grm", "mlstm+grm", "gla+grm", "deltanet+grm",
         "gated_delta+grm", "kda+grm")
SIZES, LARGE = ({"K": side, "V": side} for side in (64, 128))


def choices(kernel, sizes):
    """Options of a kernel, the longest tiles first, the default's precision before the others."""
    known, usual = knobs(kernel, sizes), default(kernel, sizes)
    sides = [name for name in known if name.startswith("block_")]
    exact = [*sorted(precisions("cuda", "float32"), key=lambda p: p != usual.precision), "tf32"]
    tiles = sorted(itertools.product(*([x for x in known[name] if x <= 64] for name in sides)), key=sum, reverse=True)
    for tile, precision in itertools.product(tiles, exact):
        yield {"num_warps": 8, "precision": precision, **dict(zip(sides, tile))}


def with_wgmma(kernel, sizes):
    """What the first such choice takes; None if there is none."""
    found = (compile_one(kernel, "cuda:sm_90", sizes, CHUNK, 32, options) for options in choices(kernel, sizes))
    return next((r for r in found if r.fits and r.stack <= STACK and r.tensor.get("HGMMA")), None)


def multiplying(folder):
    assert CHUNK in read_manifest(folder / "manifest.json").chunks
    found = [kernel for kernel in kernels(compiling.load(folder)) if kernel["products"]]
    assert found
    return found


@pytest.fixture(scope="module")
def deltanet(tmp_path_factory):
    return multiplying(build(mcgen.load_spec("deltanet"), tmp_path_factory.mktemp("packages") / "op"))


def test_a_loop(deltanet):
    assert with_wgmma(next(kernel for kernel in deltanet if kernel["grid"] == "loop"), SIZES)


def test_a_gradient_at_128(deltanet):
    """It reads what all pairs of tokens have, and is cut along K."""
    assert with_wgmma(next(kernel for kernel in deltanet if "d.q" in kernel["tensors"]), LARGE)


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [SIZES, LARGE], ids=["64", "128"])
@pytest.mark.parametrize("name", NAMES)
def test_every_kernel(tmp_path, name, sizes):
    folder = build(mcgen.load_spec(name), tmp_path / "op")
    assert not [compiling.name_of(kernel) for kernel in multiplying(folder) if not with_wgmma(kernel, sizes)]
