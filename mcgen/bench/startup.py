"""How long a user waits before the first answer: imports, a first build, a first call with a warm cache."""
from __future__ import annotations

import os
import subprocess
import sys
import tempfile

from .cases import Case

FIRST_CALL = """
import gc, time
from mcgen.bench.cases import Case, draw, load
case = Case({op!r}, {sizes!r}, {segment!r})
import mcgen, torch
{imports}
gc.collect()
began = time.perf_counter()
op = load(case)
loaded = time.perf_counter()
inputs = draw(op, case)
drawn = time.perf_counter()
op(**inputs)
print(loaded - began + time.perf_counter() - drawn)
"""
IMPORT = "import time; began = time.perf_counter(); import {name}; print(time.perf_counter() - began)"


def seconds(case: Case) -> dict[str, float]:
    """What each start costs, each in a process of its own: mcgen's modules are imported as they are needed, or all before.

    The warm cache holds Python's bytecode too, whatever the environment says about writing it. What imports leave to Python's garbage
    collector is collected before the clock starts: one full collection takes longer than all else here, and would fall anywhere.
    """
    small = case.at(T=512)
    code, imported = (FIRST_CALL.format(op=small.op, sizes=dict(small.sizes), segment=small.segment, imports=imports)
                      for imports in ("", "import mcgen.runtime.tvm; mcgen.load"))
    out = {"import mcgen": _run(IMPORT.format(name="mcgen")), "import torch": _run(IMPORT.format(name="torch"))}
    with tempfile.TemporaryDirectory(prefix="mcgen-cold-") as empty:
        cold = {"MCGEN_CACHE": empty, "PYTHONPYCACHEPREFIX": os.path.join(empty, "bytecode"), "PYTHONDONTWRITEBYTECODE": ""}
        out["load and first call, nothing cached"] = _run(code, cold)
        out["load and first call, warm cache"] = _run(code, cold)
        out["load and first call, warm cache, beyond imports"] = _run(imported, cold)
    return out


def _run(code: str, environment: dict[str, str] | None = None) -> float:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600,
                          env={**os.environ, **(environment or {})})
    if done.returncode:
        from ..diagnostics import EnvironmentLacks

        raise EnvironmentLacks("a start failed: " + (done.stderr.strip().splitlines() or ["no message"])[-1])
    return float(done.stdout.strip().splitlines()[-1])
