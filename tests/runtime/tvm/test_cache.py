"""Compiled kernels on disk: used again, refused when damaged, done without when the directory is no use."""
import os
import subprocess
import sys
import warnings

import pytest
import torch

from mcgen.diagnostics import EnvironmentLacks
from mcgen.runtime.tvm import cache, compile, link
from .helpers import NO_ROWS

module = sys.modules["mcgen.runtime.tvm.compile"]
pytestmark = pytest.mark.skipif(not link.supported(), reason="kernels are kept on x86-64 Linux only")


def double(k):
    x, y = k.memory("x", "K"), k.memory("y", "K", out=True)
    with k.sequences():
        k.map(y["K"], x["K"] * 2.0)


def works() -> bool:
    x, y = torch.randn(1, 1, 9), torch.zeros(1, 1, 9)
    compile(double, {"K": 9, "#chunk": 1})(NO_ROWS, x=x, y=y)
    return torch.equal(y, 2 * x)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MCGEN_CACHE", str(tmp_path / "kernels"))
    monkeypatch.setattr(module, "_entries", {})
    monkeypatch.setattr(cache, "_warned", set())
    return tmp_path / "kernels"


def test_used_again(folder, monkeypatch):
    assert works()
    assert [p.suffix for p in folder.iterdir()] == [".kernel"]
    monkeypatch.setattr(module, "_entries", {})
    monkeypatch.setattr(module, "_build", None)
    assert works()


@pytest.mark.parametrize("damage", [lambda data: data[:-7], lambda data: data[:100] + b"?" + data[101:], lambda data: b""])
def test_damaged(folder, monkeypatch, damage):
    assert works()
    path, = folder.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    monkeypatch.setattr(module, "_entries", {})
    with pytest.warns(UserWarning, match="damaged"):
        assert works()
    monkeypatch.setattr(module, "_entries", {})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert works()


def test_unusable_directory(folder, monkeypatch):
    folder.write_text("a file where the directory should be")
    with pytest.warns(UserWarning, match="cannot be"):
        assert works()


def test_interrupted_write(folder, monkeypatch):
    """An exception between writing and renaming leaves nothing behind."""
    def interrupt(*_):
        raise KeyboardInterrupt
    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        works()
    assert list(folder.iterdir()) == []


def test_two_processes_at_once(folder):
    code = (
        "import torch\nfrom mcgen.runtime.tvm import compile\n"
        "def double(k):\n x, y = k.memory('x', 'K'), k.memory('y', 'K', out=True)\n with k.sequences():\n  k.map(y['K'], x['K'] * 2.0)\n"
        "x, y = torch.randn(1, 1, 9), torch.zeros(1, 1, 9)\n"
        "compile(double, {'K': 9, '#chunk': 1})(torch.zeros(1, 0, 4, dtype=torch.int32), x=x, y=y)\nassert torch.equal(y, 2 * x)\n")
    running = [subprocess.Popen([sys.executable, "-W", "error", "-c", code], env=os.environ.copy()) for _ in range(2)]
    assert [p.wait(120) for p in running] == [0, 0]
    assert len(list(folder.iterdir())) == 1


def test_without_tvm(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "tvm", None)
    monkeypatch.setitem(sys.modules, "tvm.tirx", None)
    with pytest.raises(EnvironmentLacks, match="apache-tvm"):
        compile(double, {"K": 11, "#chunk": 1})


def test_wrong_tensors():
    kernel = compile(double, {"K": 9, "#chunk": 1})
    x, y = torch.randn(1, 1, 9), torch.zeros(1, 1, 9)
    for wrong, kind in (({"x": x.double()}, ValueError), ({"x": torch.randn(1, 1, 8)}, ValueError), ({"x": torch.randn(1, 1, 18)[..., ::2]}, ValueError),
                        ({"x": torch.randn(2, 1, 9)}, ValueError), ({"z": x}, TypeError)):
        with pytest.raises(kind):
            kernel(NO_ROWS, **{"x": x, "y": y, **wrong})
    with pytest.raises(ValueError, match="table is int32"):
        kernel(NO_ROWS.long(), x=x, y=y)
    with pytest.raises(TypeError, match="missing"):
        kernel(NO_ROWS, x=x)


def test_a_machine_that_the_linker_does_not_know(folder, monkeypatch):
    """TVM's own linker and threads do it then, in every process anew."""
    def refuse(*_):
        raise link.CannotLink("only x86-64 Linux")
    monkeypatch.setattr(module, "load", refuse)
    with pytest.warns(UserWarning, match="not kept on this machine"):
        assert works()
    assert not folder.exists()
