"""A bad call is answered with the argument's name, what was expected and what came."""
import pytest
import torch

from mcgen.diagnostics import EnvironmentLacks, UsageError
from mcgen.runtime import backends, load_package

from .helpers import HANDMADE, tensors


def says(call, *parts):
    with pytest.raises(UsageError) as raised:
        call()
    for part in parts:
        assert part in str(raised.value), str(raised.value)


def test_arguments(op):
    q, k, v, g, u = args = tensors()
    says(lambda: op(q, k, v), "needs the input 'u'", "inputs in order: q, k, v, g, u")
    says(lambda: op(*args, q), "takes 5 inputs by position, got 6")
    says(lambda: op(*args, gate=g), "no argument 'gate'")
    says(lambda: op(*args, memry=None), "did you mean 'memory'")
    says(lambda: op(*args, q=q), "'q' is given by position and by name")
    says(lambda: op(*args, S_init=q), "no argument 'S_init'")


def test_tensors(op):
    q, k, v, g, u = tensors()
    says(lambda: op(q, k, v, 0.0, u), "g is a float, expected a tensor [B, T, H]")
    says(lambda: op(q, k[..., :2], v, g, u), "k has shape [2, 11, 2, 2], expected [B, T, H, K] = [2, 11, 2, 3]", "K = 3 comes from q")
    says(lambda: op(q, k, v[:, :10], g, u), "v has shape [2, 10, 2, 5], expected [B, T, H, V] = [2, 11, 2, 5]", "T = 11 comes from q")
    says(lambda: op(q, k, v[0], g, u), "v has shape [11, 2, 5], expected [B, T, H, V]")
    says(lambda: op(q, k.long(), v, g, u), "k has dtype int64, expected a floating one")
    says(lambda: op(q, k, v.to("meta"), g, u), "v is on meta, q on cpu")
    says(lambda: op(q, torch.cat([k, k[:, :, :1]], 2), v, g, u), "q has 2 heads, which does not divide the 3 heads of k")
    says(lambda: op(q[..., :0], k[..., :0], v, g, u[..., :0]), "q has K = 0")
    says(lambda: op.step(q, k, v, g, u), "q has shape [2, 11, 2, 3], expected [B, H, K] for one token")


def test_learned_start(fresh):
    x, a, S = torch.randn(1, 4, 2, 3), torch.randn(2, 3), torch.randn(2, 3)
    says(lambda: fresh(x, a), "needs S_init", "tensor [H, K]")
    says(lambda: fresh(x, a, S_init=S[:, :2]), "S_init has shape [2, 2], expected [H, K] = [2, 3]")
    says(lambda: fresh(x, a, torch.randn(1, 4, 2, 3), S_init=S), "z has shape", "D = 6 comes from the spec")


def test_memories(op):
    args = tensors()
    _, memory = op(*args, return_memory=True)
    says(lambda: op(*args, memory=3), "memory is a int")
    says(lambda: op(*args, memory={"states": {}}), "key 'states'", "did you mean 'state'")
    says(lambda: op(*args, memory={"state": {"Z": args[0]}}), "memory['state'] has 'Z'", "are S")
    says(lambda: op(*args, memory={"state": {"S": args[0]}}), "memory['state']['S'] has shape [2, 11, 2, 3], expected [2, 2, 3, 5]")
    says(lambda: op(*args, memory={k: v for k, v in memory.items() if k != "past"}), "memory lacks memory['past']['v']")
    says(lambda: op(*args, memory={k: v for k, v in memory.items() if k != "position"}), "no 'position'")
    says(lambda: op(*args, memory={**memory, "position": memory["position"] + 4}), "15 tokens", "3 segments of 4", "holds 2")
    says(lambda: op(*(x[:1] for x in args), memory=memory), "expected [1, 2")
    says(lambda: op(*args, memory={**memory, "position": memory["position"].int()}), "expected torch.int64 [2]")
    says(lambda: op.empty_memory(2, 2, K=3), "needs V", "for example V=64")
    says(lambda: op.empty_memory(2, 2, K=3, V=5, W=3), "no dim 'W'")


def test_back_ends(monkeypatch, op, tmp_path):
    says(lambda: load_package(HANDMADE / "decay_softmax", backend="cobol"), "no back end 'cobol'", "torch, tvm")
    with pytest.raises(EnvironmentLacks, match="without TVM kernels"):
        load_package(HANDMADE / "decay_softmax", backend="tvm")
    says(lambda: load_package(tmp_path), "holds no generated op")
    for part in ("manifest.json", "torch_program.py"):
        (tmp_path / part).write_text((HANDMADE / "decay_softmax" / part).read_text())
    (tmp_path / "tvm_kernels.py").write_text("raise AssertionError('loaded')")
    monkeypatch.setattr(backends, "tvm_installed", lambda: False)
    backends._warn_without_tvm.cache_clear()
    with pytest.raises(EnvironmentLacks, match="pip install apache-tvm"):
        load_package(tmp_path, backend="tvm")
    other = load_package(tmp_path)
    args = tensors(dtype=torch.float32)
    with pytest.warns(UserWarning, match="TVM is not installed"):
        other(*args)
