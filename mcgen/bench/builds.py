"""How long one op takes to compile, from its spec to kernels that have run: each in a fresh process with an empty cache."""
from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile

from ..diagnostics import EnvironmentLacks
from .cases import Case

CODE = """
import json, time, torch, mcgen
from mcgen.runtime.tvm import llvm
llvm.require()
from mcgen.bench.cases import Case, draw
torch.set_num_threads(1)
began = time.perf_counter()
op = mcgen.load({op!r})
loaded = time.perf_counter()
inputs = {{name: x.requires_grad_() for name, x in draw(op, Case({op!r}, {sizes!r})).items()}}
drawn = time.perf_counter()
y = op(**inputs)
forward = time.perf_counter()
y.sum().backward()
print(json.dumps([loaded - began, forward - drawn, time.perf_counter() - forward]))
"""
SIZES = {"B": 1, "T": 128, "H": 1}


def seconds(op: str) -> tuple[float, float, float]:
    """Of the analysis and the package's text, of the forward kernel, of the backward kernel, at 64 of every dim, one thread.

    Raises EnvironmentLacks where the op does not build.
    """
    with tempfile.TemporaryDirectory(prefix="mcgen-build-") as empty:
        done = subprocess.run([sys.executable, "-c", CODE.format(op=op, sizes=Case(op, SIZES).sizes)], capture_output=True, text=True,
                              timeout=600, env={**os.environ, "MCGEN_CACHE": empty})
    if done.returncode:
        raise EnvironmentLacks("it does not build: " + message(done.stderr))
    package, forward, backward = json.loads(done.stdout.strip().splitlines()[-1])
    return package, forward, backward


def message(traceback: str) -> str:
    """What a traceback ends with, in a line.

    >>> message("Traceback (most recent call last):\\n  File\\nmcgen.diagnostics.NotLowered: error[not-lowered]: why\\n  --> a.yaml:1\\n   ^^^")
    'error[not-lowered]: why'
    """
    lines = [line for line in traceback.splitlines() if line[:1].strip() and ": " in line]
    return lines[-1].partition(": ")[2] if lines else "no message"
