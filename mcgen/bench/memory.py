"""Peak memory of one call, measured in a process of its own: the highest resident size less the size before the call.

`python -m mcgen.bench.memory CASE` prints JSON. Beside the peak stands the floor: tensors that any implementation of the
forward and backward pass holds at once, and those that this method keeps for the backward pass.
"""
from __future__ import annotations

import json
import math
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

from ..diagnostics import EnvironmentLacks
from .cases import Case, draw, load
from .measure import both, forward

MIB = 2 ** 20


def measured(case: Case, direction: str, subject: str = "mcgen") -> dict[str, Any]:
    """{'peak': MiB, 'floor': {name: MiB}} from a fresh process. subject: 'mcgen' or 'peer', the torch form."""
    told = json.dumps({"op": case.op, "sizes": dict(case.sizes), "segment": case.segment, "peer": case.peer,
                       "direction": direction, "subject": subject})
    # Large blocks are given back to the system when freed, so that the resident size says what is in use.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "131072"}
    done = subprocess.run([sys.executable, "-m", "mcgen.bench.memory", told], capture_output=True, text=True, env=environment,
                          timeout=600)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise EnvironmentLacks(f"the memory measurement stopped: {last}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def floor(case: Case, op: Any, backward: bool) -> dict[str, float]:
    """MiB of the tensors that have to be there, float32."""
    inputs = draw(op, case)
    size = {"inputs": sum(x.numel() for x in inputs.values())}
    batch, tokens, heads = (case.sizes[a] for a in "BTH")
    sizes = {n: s for n, s in case.sizes.items() if n not in "BTH"}
    for name, derived in op.manifest.derived:
        sizes[name] = derived(sizes)
    count = lambda shape: math.prod(sizes.get(d, d) for d in shape)
    size["output"] = batch * tokens * heads * count(op.manifest.output)
    segments = math.ceil(tokens / case.segment) if case.segment else 0
    states = {s.name: count(s.shape) for s in op.manifest.states}
    size["cached states"] = batch * heads * segments * sum(states[n] for n in (op.manifest.cache.states if segments else ()))
    if backward:
        size["gradients"] = size["inputs"] + size["output"]
        size["chunk starts"] = batch * heads * math.ceil(tokens / op.chunk_at("cpu", sizes)) * sum(states.values())
        size["weights [T, N]"] = batch * heads * tokens * (segments + 1 if segments else 0)
    return {name: 4 * count / MIB for name, count in size.items() if count}


def peer(case: Case, inputs: dict[str, Any]) -> Any:
    """The torch form of a case, the first of several."""
    from .peer_forms import NAMES, forms_of
    from .peers import attention

    if case.peer in NAMES:
        return next(iter(forms_of(case.peer, case.segment or 256).values()))(**inputs)
    return attention(*(inputs[n] for n in "qkv"))


def _child(told: dict[str, Any]) -> dict[str, Any]:
    case = Case(told["op"], told["sizes"], told["segment"], told["peer"])
    op = load(case)
    wrap = both if told["direction"] == "forward + backward" else forward
    names = list(draw(op, case.at(T=1)))

    def call(*xs: Any) -> Any:
        by = dict(zip(names, xs))
        return op(**by) if told["subject"] == "mcgen" else peer(case, by)

    small = case.at(T=2 * (case.segment or 128))
    wrap(call, list(draw(op, small).values()))()           # kernels built, pools filled
    inputs = list(draw(op, case).values())
    ready = wrap(call, inputs)
    held = sum(x.numel() * x.element_size() for x in inputs) / MIB
    before = _resident("VmRSS")
    _reset_peak()
    kept = ready()
    peak = _resident("VmHWM") - before + held              # the inputs are there already: counted as the floor counts them
    del kept
    return {"peak": peak, "floor": floor(case, op, wrap is both)}


def _resident(key: str) -> float:
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(key + ":"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _reset_peak() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass


if __name__ == "__main__":
    print(json.dumps(_child(json.loads(sys.argv[1]))))
