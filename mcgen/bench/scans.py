"""An op that runs token by token against a roofline: what reading and writing its states once a token takes in the cache, or computing the
functions that it has of every entry, whichever takes longer."""
from __future__ import annotations

from typing import Any, Callable, Iterator

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
    """direction -> {'milliseconds', 'traffic', 'functions', 'ratio'}, at 64 of every dim, float32: the op, its states' traffic, functions of
    their entries at the rate of as many exponentials, and the first over the larger of these two, measured in turns."""
    case = Case(name, SIZES)
    op = cases.load(case)
    inputs = cases.draw(op, case)
    call = lambda *xs: op(**dict(zip(inputs, xs)))
    sizes = {dim: cases.SIZE for item in op.inputs for dim in item.shape if isinstance(dim, str)}
    matrices = sum(s.numel() for s in op.empty_memory(1, 1, **sizes)["state"].values()) / cases.SIZE ** 2
    counts = dict(zip(PASSES, functions_of(op, sizes)))
    times = interleaved({"forward": forward(call, list(inputs.values())), "forward + backward": both(call, list(inputs.values())),
                         "traffic": once_a_token(_scaled), **({"function": once_a_token(_exponential)} if any(counts.values()) else {})}, rounds)
    found = {}
    for direction, passes in PASSES.items():
        moved = passes * matrices * times["traffic"].median
        functions = counts[direction] * times["function"].median if counts[direction] else 0.0
        median = times[direction].median
        found[direction] = {"milliseconds": median, "traffic": moved, "functions": functions, "ratio": median / max(moved, functions)}
    return found


def functions_of(op: Any, sizes: dict[str, int]) -> tuple[int, int]:
    """How many functions of an entry of a matrix a token takes, forward, and forward and backward."""
    from ..runtime.package import tvm_module
    from ..runtime.tvm.compile import record

    module, sizes = tvm_module(op.folder), {**sizes, "#chunk": op.chunk_at("cpu", sizes)}
    first, kept, second = (record(fn, sizes).body for fn in (lambda k: module.forward(k, False), lambda k: module.forward(k, True), module.backward))
    return sum(_functions(first)), sum(_functions(kept)) + sum(_functions(second))


def _functions(body: list, loops: frozenset[str] = frozenset()) -> Iterator[int]:
    """Of each statement in loops over tokens and two dims the functions that depend on all of them."""
    from ..runtime.tvm import statements as st
    from ..runtime.tvm.functions import VECTOR

    def count(value: Any) -> int:
        return (value.op in VECTOR and loops <= value.axes) + sum(map(count, value.args))

    for s in body:
        if isinstance(s, st.Loop):
            yield from _functions(s.body, loops | {s.name})
        elif isinstance(s, st.Rows | st.When | st.Sequences):
            yield from _functions(s.body, loops)
        elif isinstance(s, st.Map) and len(loops) > 2:
            yield count(s.value)


def once_a_token(statement: Callable[[Any, Any], None]) -> Callable[[], Any]:
    """A call that does this with one matrix a head once a token, on as many threads as an op."""
    from ..runtime.tvm import compile

    def fn(k: Any) -> None:
        x = k.memory("x", "K", "V", inout=True)
        with k.sequences():
            S = k.tile("S", "K", "V")
            k.map(S["K", "V"], x["K", "V"])
            with k.rows(), k.loop("c", 0, k.count), k.loop("K", 0, k.sizes["K"]):
                statement(k, S["K", "V"])
            k.map(x["K", "V"], S["K", "V"])

    kernel = compile(fn, {"K": cases.SIZE, "V": cases.SIZE, "#chunk": CHUNK}, statement.__name__)
    starts = range(0, SIZES["T"], CHUNK)
    table = torch.tensor([[[t, CHUNK, 0, t] for t in starts]], dtype=torch.int32)
    x = torch.zeros(SIZES["B"], SIZES["H"], cases.SIZE, cases.SIZE)
    return lambda: kernel(table, x=x)


def _scaled(k: Any, S: Any) -> None:
    k.map(S, S * 0.5)


def _exponential(k: Any, S: Any) -> None:
    k.map(S, k.exp(S * -0.5))
