"""100,000 tokens in bfloat16, decays at both ends of their domains: outputs and gradients against float64.

A short run is held to a loop over tokens; a long one to the torch program in float64, and that, where the sequence ends, to
the loop. Every head has decays of its own: at an end, another end in every other channel, an end drawn for each token and channel.
"""
from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Callable, Iterator

import pytest
import torch

import mcgen
from mcgen.verify.harness import Lab, compare
from mcgen.verify.tolerance import allowed

from .formulas import ask, by, delta, outer, rows, slope
from .specs import op

SIZE, LOOPED, INF = 8, 1500, math.inf         # tokens that the loop takes
UNIT, GATE = {"shape": ["K"], "domain": "unit"}, {"shape": [], "domain": [0, 1]}
INPUTS = {"q": ["K"], "k": UNIT, "v": ["V"], "b": GATE}
LOG, RAW = ["-inf", 0], [-1, 1]
ENDS = {"log": (0.0, -50.0, -INF, -0.1), "raw": (1.0, 0.0, -1.0, 0.9)}
State = tuple[torch.Tensor, ...]


def decays(kind: str, tokens: int, shape: tuple[int, ...]) -> torch.Tensor:
    """[1, T, 6, *shape]: three heads at an end, two with every other channel (or token) at another one, one drawn."""
    low, middle, high, inside = (torch.tensor(x, dtype=torch.float64) for x in ENDS[kind])
    odd = (torch.arange(shape[0]) if shape else torch.arange(tokens)[:, None].expand(tokens, 1).squeeze(1)) % 2 == 1

    def both(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.where(odd, x, y).expand(tokens, *shape) if shape else torch.where(odd, x, y)

    drawn = torch.stack([low, middle, high, inside])[torch.randint(4, (tokens, *shape), generator=torch.Generator().manual_seed(1))]
    heads = [x.expand(tokens, *shape) for x in (low, middle, high)] + [both(low, middle), both(high, inside), drawn]
    return torch.stack(heads, 1)[None]


def kept(S: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
    return (rows(a) if a.dim() == 3 else by(a)) * S


def written(s: State, x: dict, a: torch.Tensor) -> State:
    return (kept(s[0], a) + outer(x["k"], x["v"]),)


def erased(s: State, x: dict, a: torch.Tensor) -> State:
    return (delta(kept(s[0], a), x["k"], x["v"], x["b"]),)


def twice(s: State, x: dict, a: torch.Tensor) -> State:
    return (delta(delta(kept(s[0], a), x["k"], x["v"], x["b"]), x["p"], x["v"], x["b"]),)


def pushed(s: State, x: dict, a: torch.Tensor) -> State:
    Z = 0.5 * s[1] - by(x["b"]) * slope(s[0], SimpleNamespace(**x))
    return kept(s[0], a) + Z, Z


def pushing(s: State, x: dict, a: torch.Tensor) -> State:
    Z = kept(s[1], a) - by(x["b"]) * slope(s[0], SimpleNamespace(**x))
    return 0.5 * s[0] + Z, Z


ERASE, STEP = "{0} + b * outer(k, v - ({0}).T @ k)", {"step(X, x)": "X + b * outer(x, v - X.T @ x)"}
PUSH, PAIR = "- b * outer(k, S.T @ k - v)", {"S": ["K", "V"], "Z": ["K", "V"]}
RULES: dict[str, tuple[Callable, bool, dict]] = {       # the formula, whether a decay for each channel, and the spec's rule
    "channels": (written, True, {"inputs": {n: INPUTS[n] for n in "qkv"}, "update": {"S": "{0} + outer(k, v)"}}),
    "rank_one": (erased, False, {"update": {"S": ERASE}}),
    "channels_and_rank_one": (erased, True, {"update": {"S": ERASE}}),
    "products": (twice, True, {"inputs": {**INPUTS, "p": UNIT}, "functions": STEP, "update": {"S": "step(step({0}, k), p)"}}),
    "momentum": (pushed, False, {"state": PAIR, "update": {"Z": f"0.5 * Z {PUSH}", "S": "{0} + new(Z)"}}),
    "decay_of_momentum": (pushing, False, {"state": PAIR, "update": {"Z": "{1} " + PUSH, "S": "0.5 * S + new(Z)"}}),
}
# where a factor of the state or its momentum is lower, they swing ever wider: the formula overflows too
LOWEST = {"momentum": -0.5, "decay_of_momentum": 0.0}


def spec_of(name: str, kind: str):
    _, channels, rule = RULES[name]
    factor = "exp(a)" if kind == "log" else "a"
    texts = [f"diag({factor}) @ S" if channels else f"{factor} * S", f"{factor} * Z"]
    update = {n: text.replace("{0}", texts[0]).replace("{1}", texts[1]) for n, text in rule["update"].items()}
    inputs = {**rule.get("inputs", INPUTS), "a": {"shape": ["K"] if channels else [], "domain": LOG if kind == "log" else RAW}}
    return mcgen.load_spec(op(f"long_{name}_{kind}", rule={**rule, "inputs": inputs, "update": update, "read": "S.T @ q"}))


def looped(step: Callable, kind: str, inputs: dict, dy: torch.Tensor, start: State) -> dict:
    """y and the gradient of every input, in float64, token by token from a state."""
    given, state, answers = {n: x.detach().requires_grad_() for n, x in inputs.items()}, start, []
    for values in zip(*(x.unbind(1) for x in given.values())):
        x = dict(zip(given, values))
        state = step(state, x, x["a"].exp() if kind == "log" else x["a"])
        answers.append(ask(state[0], x["q"]))
    return results(torch.stack(answers, 1), given, dy)


def results(y: torch.Tensor, given: dict, dy: torch.Tensor) -> dict:
    found = torch.autograd.grad(y, list(given.values()), dy.to(y.dtype))
    return {"y": y.detach(), **{f"d {n}": g for n, g in zip(given, found)}}


def exact(step: Callable, kind: str, spec, inputs: dict, dy: torch.Tensor) -> dict:
    """What is right, in float64."""
    tokens, states = dy.shape[1], spec.rule.state
    if tokens <= LOOPED:
        return looped(step, kind, inputs, dy, tuple(torch.zeros(1, dy.shape[2], SIZE, SIZE, dtype=torch.float64) for _ in states))
    program, first = mcgen.load(spec, backend="torch"), tokens - LOOPED
    with torch.no_grad():
        _, memory = program(**{n: x[:, :first] for n, x in inputs.items()}, return_memory=True)
    given = {n: x.detach().requires_grad_() for n, x in inputs.items()}
    found = results(program(**given), given, dy)
    last = looped(step, kind, {n: x[:, first:] for n, x in inputs.items()}, dy[:, first:], tuple(memory["state"][n] for n in states))
    for n, x in last.items():
        torch.testing.assert_close(found[n][:, first:], x, rtol=1e-8, atol=1e-8 * float(x.abs().max()), msg=lambda m, n=n: f"{n} at the end: {m}")
    return found


def wrong(name: str, kind: str, tokens: int, backend: str) -> Iterator[str]:
    """What is off by more than `mcgen.verify` allows, head by head: inputs of bfloat16, and the same numbers in float32."""
    spec, (step, channels, _) = spec_of(name, kind), RULES[name]
    lab = Lab(mcgen.load(spec, backend=backend), spec, sizes={"K": SIZE, "V": SIZE})
    case = lab.case(tokens, batch=1, heads=6, dtype=torch.bfloat16)
    inputs = lab.plain(case)
    inputs["a"] = decays(kind, tokens, (SIZE,) if channels else ()).clamp(min=LOWEST.get(name, -INF) if kind == "raw" else -INF).to(torch.bfloat16)
    dy = torch.randn(1, tokens, 6, SIZE, generator=torch.Generator().manual_seed(2), dtype=torch.float64).to(torch.bfloat16)
    wanted = exact(step, kind, spec, {n: x.double() for n, x in inputs.items()}, dy.double())
    for dtype in (torch.float32, torch.bfloat16):
        leaves = {n: x.detach().to(dtype).requires_grad_() for n, x in inputs.items()}
        got = results(lab.op(**leaves), leaves, dy)
        for head in range(6):
            mine, here = ({n: x[:, :, head:head + 1].detach() for n, x in each.items()} for each in (got, wanted))
            terms = lab._term_scale({n: x[:, :, head:head + 1].double() for n, x in inputs.items()}, here)
            for n, x in here.items():
                assert x.isfinite().all(), n
                bound = allowed(x, x.float(), tokens, "float32", term_scale=terms.get(n, 0.0))
                check = compare(n, mine[n], x, bound.for_dtype(dtype), f"{dtype} head {head}")
                if not check.ok:
                    yield f"{n}: {check.ratio:.3g} times the tolerance, {check.where}"


CASES = [(name, kind) for name in RULES for kind in ENDS]


@pytest.mark.parametrize("name, kind", [("channels_and_rank_one", "raw"), ("momentum", "log")])
def test_a_few_pieces(name, kind):
    assert not list(wrong(name, kind, LOOPED, "torch"))


@pytest.mark.slow
@pytest.mark.parametrize("name, kind", CASES)
def test_a_hundred_thousand_tokens(name, kind):
    assert not list(wrong(name, kind, 100_000, "tvm"))
