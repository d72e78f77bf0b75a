"""An op that runs token by token against the traffic of its states: what reading and writing them once a token takes in the cache."""
from __future__ import annotations

from typing import Any, Callable

import torch

from . import cases
from .cases import Case
from .measure import both, forward, interleaved

SIZES = {"B": 1, "T": 4096, "H": 8}
CHUNK = 32
PASSES = {"forward": 1.0, "forward + backward": 4.0}
"""How often a state is read and written. A backward pass computes states again and keeps each (a pass and a write), then walks back
through them (a read), changing the state's gradient (a pass); a read and a write count as a pass."""


def measure(name: str, rounds: int = 9) -> dict[str, dict[str, float]]:
    """direction -> {'milliseconds', 'floor', 'ratio'}, at 64 of every dim, float32: the op, its states' traffic, and the one over the
    other, measured in turns."""
    case = Case(name, SIZES)
    op = cases.load(case)
    inputs = cases.draw(op, case)
    call = lambda *xs: op(**dict(zip(inputs, xs)))
    states = op.empty_memory(1, 1, **{dim: cases.SIZE for item in op.inputs for dim in item.shape if isinstance(dim, str)})["state"]
    matrices = sum(s.numel() for s in states.values()) / cases.SIZE ** 2
    times = interleaved({"forward": forward(call, list(inputs.values())), "forward + backward": both(call, list(inputs.values())),
                         "traffic": traffic()}, rounds)
    found = {}
    for direction, passes in PASSES.items():
        floor = passes * matrices * times["traffic"].median
        found[direction] = {"milliseconds": times[direction].median, "floor": floor, "ratio": times[direction].median / floor}
    return found


def traffic() -> Callable[[], Any]:
    """A call that reads and writes one matrix a head once a token, on as many threads as an op."""
    from ..runtime.tvm import compile

    kernel = compile(_scaled, {"K": cases.SIZE, "V": cases.SIZE, "#chunk": CHUNK})
    starts = range(0, SIZES["T"], CHUNK)
    table = torch.tensor([[[t, CHUNK, 0, t] for t in starts]], dtype=torch.int32)
    x = torch.zeros(SIZES["B"], SIZES["H"], cases.SIZE, cases.SIZE)
    return lambda: kernel(table, x=x)


def _scaled(k: Any) -> None:
    x = k.memory("x", "K", "V", inout=True)
    with k.sequences():
        S = k.tile("S", "K", "V")
        k.map(S["K", "V"], x["K", "V"])
        with k.rows(), k.loop("c", 0, k.count), k.loop("K", 0, k.sizes["K"]):
            k.map(S["K", "V"], S["K", "V"] * 0.5)
        k.map(x["K", "V"], S["K", "V"])
