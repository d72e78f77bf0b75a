"""The fused kernel: what it skips, what it shares, and that neither changes a value."""
from __future__ import annotations

import pytest
import torch

import mcgen
from mcgen.codegen.package import files
from mcgen.ir.builder import Builder
from mcgen.passes.triangles import lower_triangular
from mcgen.runtime.tvm import lower


def kernels(name: str) -> str:
    return files(mcgen.load_spec(name))["tvm_kernels.py"]


@pytest.mark.parametrize(("name", "sparse"), [("linear_attention+ssc", True), ("linear_attention+grm", False)])
def test_only_a_selection_skips_rows(name, sparse):
    assert (", rows=" in kernels(name)) is sparse


def test_a_selection_whose_answers_are_not_tame_is_dense():
    """A read with a logarithm of what it read: 0 for a skipped memory would become -inf, and 0 * -inf is no number."""
    spec = {"name": "logs", "rule": {
        "inputs": {"q": ["K"], "k": ["K"], "v": ["V"], "g": {"shape": [], "domain": ["-inf", 0]}},
        "state": {"S": ["K", "V"]}, "update": {"S": "exp(g) * S + outer(exp(k), exp(v))"}, "read": "log(S.T @ exp(q))"},
        "cache": {"use": "ssc", "segments": {"length": 16}}}
    assert ", rows=" not in files(mcgen.load_spec(spec))["tvm_kernels.py"]


def test_memory_is_transposed_once():
    text = kernels("linear_attention+grm")
    before, rows = text[text.index("def backward"):].split("with k.rows(", 1)
    assert 'k.map(new_cache_S_T["n", "V", "K"], new_cache_S["n", "K", "V"])' in before
    assert ", new_cache_S.at(" not in rows


def test_sharing_tiles_changes_no_bit(monkeypatch, tmp_path):
    spec = mcgen.load_spec("mlstm+grm", segment_length=16)
    torch.manual_seed(0)
    inputs = [torch.randn(1, 40, 2, *((8,) if f.shape else ())) for f in mcgen.load(spec).manifest.inputs]

    def results(cache):
        monkeypatch.setenv("MCGEN_CACHE", str(tmp_path / cache))
        op = mcgen.load(spec, backend="tvm").with_chunk(16)
        leaves = [x.clone().requires_grad_() for x in inputs]
        y = op(*leaves)
        return [y, *torch.autograd.grad(y.sum(), leaves)]

    shared = results("shared")
    monkeypatch.setattr(lower, "shared", lambda builder: {})
    for x, y in zip(shared, results("apart")):
        assert torch.equal(x, y)


def test_triangles_are_proved():
    b = Builder()
    below = b.map("ge", b.iota("c"), b.iota("d"))
    x = b.spread(b.spread(b.const(2.0), "c"), "d")
    masked = b.where(below, x)
    assert lower_triangular(masked) and lower_triangular(b.map("mul", x, masked)) and not lower_triangular(x)
    assert not lower_triangular(b.map("add", x, masked))
    assert not lower_triangular(b.where(b.map("le", b.iota("c"), b.iota("d")), x))
    assert lower_triangular(b.map("exp", b.where(below, x, b.const(-1e4)))) and not lower_triangular(b.map("exp", masked))
