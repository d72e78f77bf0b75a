"""Ops for the compiler's tests, and their chunk form against the token-by-token reference, through the interpreter."""
from __future__ import annotations

from dataclasses import replace
from functools import cache

import torch

from mcgen.ir.nodes import bodies
from mcgen.passes.bisect import Trial, noise, trial_of, values
from mcgen.passes.pipeline import Compiled, compile_model
from mcgen.spec import load_spec
from mcgen.symbolic.elaborate import elaborate
from mcgen.symbolic.facts import numbers
from mcgen.verify.draw import Case, draw
from mcgen.verify.oracle import Reference

SIZES = {"K": 3, "V": 5, "L": 5}
QKV = {"q": ["K"], "k": ["K"], "v": ["V"]}
UNIT, LOG = {"shape": [], "domain": [0, 1]}, {"shape": [], "domain": ["-inf", 0]}

RULES = {
    "plain": "linear_attention", "scalar": "simple_gla", "per_head": "retnet", "delay": "swla", "nonlinear": "mlstm",
    "normalised": "linear_attention_normalised",
    "window": {"inputs": {**QKV, "g": LOG}, "state": {"S": ["K", "V"]},
               "update": {"S": "exp(g) * S + window(outer(k, v), 3)"}, "read": "S.T @ q"},
    "learned": {"inputs": {**QKV, "g": LOG}, "state": {"S": {"shape": ["K", "V"], "init": "learned"}},
                "update": {"S": "exp(g) * S + outer(k, v)"}, "read": "S.T @ q"},
    "expression_init": {"inputs": {**QKV, "a": UNIT, "h": {"shape": ["K"], "per": "head"}},
                        "state": {"S": {"shape": ["K", "K"], "init": "diag(h)"}, "z": {"shape": [], "init": "1"}},
                        "update": {"S": "a * S + outer(k, q)", "z": "z + a"}, "read": "S.T @ q + z * (S @ k)"},
    "raw": {"inputs": {**QKV, "a": UNIT}, "state": {"S": ["K", "V"]}, "update": {"S": "a * S + outer(k, v)"},
            "read": "prev(S).T @ q + 0.5 * S.T @ k"},
    "output": {"inputs": {**QKV, "a": UNIT, "d": ["V"]}, "state": {"S": ["K", "V"]},
               "update": {"S": "a * S + outer(l2norm(k), v / (1 + a))"}, "read": "S.T @ softmax(q)",
               "output": "silu(y) * sigmoid(d) + dot(delay(q, 2), k) * v"},
    "broadcast": {"inputs": {**QKV, "a": UNIT}, "state": {"S": ["K", "V"]}, "update": {"S": "S + outer(k, v)"},
                  "read": "S.T @ q * sum(v + a) + mean(minimum(k, 2) - a) * v"},
    "vectors": {"inputs": {**QKV, "a": UNIT, "g": LOG}, "state": {"S": ["V", "K"], "n": ["K"], "m": []},
                "update": {"S": "a * S + outer(v, k)", "n": "exp(g) * n + relu(k)", "m": "sigmoid(g) * m + 1"},
                "read": "S @ q / (1 + abs(dot(n, q)) + m**2) + tanh(n[0]) * v"},
}
RULES |= {
    "erase": "gated_delta", "steps": "delta_product", "channels": "gla", "erase_channels": "kda", "before_channels": "rwkv6",
    "momentum": {"inputs": {**QKV, "a": UNIT, "m": UNIT}, "state": {"S": ["K", "V"], "Z": ["K", "V"]},
                 "update": {"Z": "m * Z - a * outer(k, S.T @ l2norm(k) - v)", "S": "0.9 * S + new(Z)"}, "read": "S.T @ q + prev(Z).T @ k"},
    "in_turn": {"inputs": {**QKV, "a": UNIT, "s": {"shape": [], "domain": [-1, 1]}}, "state": {"x": ["K"], "w": ["K"], "z": ["K"]},
                "update": {"x": "0.5 * x + k", "w": "s * w + new(x)", "z": "a * z + w - x - dot(z, l2norm(q)) * k"},
                "read": "dot(z, q) * v + dot(w, k) * v + sum(prev(x)) * v"},
    "two_sided": {"inputs": {**QKV, "g": {"shape": ["K"], "domain": ["-inf", 0]}, "h": {"shape": ["V"], "domain": [-1, 1]}},
                  "state": {"S": ["K", "V"], "z": ["K"]}, "update": {"S": "diag(exp(g)) @ S @ diag(h) + outer(k, v)", "z": "exp(g) * z + k"},
                  "read": "S.T @ q + dot(z, q) * (prev(S).T @ k) + dot(S @ v, k) * v"},
}
SCORED = {"inputs": {"u": ["K"]}, "summary": "mean(k)", "score": "dot(u, summary)", "weight": "softmax(score)"}
CACHES = {
    "sum": {"weight": 1},
    "softmax": SCORED,
    "states": {**SCORED, "mix": "states"},
    "top": {**SCORED, "select": {"top": 2}},
    "counted": {"inputs": {"w": {"shape": [], "domain": [0, 1]}}, "weight": "w / count"},
    "aged": {**SCORED, "summary": "sum(k)", "weight": "sigmoid(score - 0.1 * age) / count + 0.2 * level"},
    "after": {"inputs": {"e": {"shape": [], "domain": [0, 1]}, "lam": {"shape": ["L"], "domain": [0, "inf"]}},
              "score": "-after(e)", "weight": "softmax(score) + lam[level] * exp(-after(e))"},
}


def spec_of(rule: str, cache_name: str | None = None, length: int = 6, start: str = "carry", growth: str = "constant"):
    """A rule of RULES with a cache of CACHES in segments of `length` tokens."""
    block = RULES[rule]
    tree = {"name": f"op_{rule}", "rule": {"use": block} if isinstance(block, str) else block}
    if cache_name is not None:
        tree["cache"] = {**CACHES[cache_name], "segments": {"length": length, "start": start, "growth": growth}}
    return load_spec(tree)


@cache
def compiled(rule: str, cache_name: str | None = None, length: int = 6, start: str = "carry", growth: str = "constant") -> Compiled:
    return compile_model(elaborate(spec_of(rule, cache_name, length, start, growth)))


def drawn(model, tokens: int, zeros: tuple[str, ...] = (), seed: int = 0) -> dict[str, torch.Tensor]:
    """Inputs and learned starts of a call, float64; half of the entries of `zeros` are 0."""
    x = draw(model.spec, Case(tokens, dtype=torch.float64, seed=seed), SIZES)
    for name in set(zeros) & set(x):
        x[name] = torch.where(noise("zeros " + name, x[name].shape) > 0, x[name], 0.0)
    return x


def trial(model, x: dict[str, torch.Tensor], chunk: int, **changes) -> Trial:
    """The call as a trial with noise for every cotangent."""
    sizes = {n: v for n, v in numbers(model, SIZES).items() if n not in model.constants}
    return replace(trial_of(model, x, sizes, chunk), **changes)


def halves(whole, cut):
    """A trial as two: the second sees the first's tokens as its past."""
    tokens = {n for n, t in whole.inputs.items() if t.dim() > 1 and t.shape[1] == whole.tokens and not n.startswith("init_")}
    early = {n: t[:, :cut] if n in tokens else t for n, t in whole.inputs.items()}
    late = {n: t[:, cut:] if n in tokens else t for n, t in whole.inputs.items()}
    past = {n: early[n] for n in tokens}
    return (replace(whole, inputs=early, tokens=cut),
            replace(whole, inputs=late, tokens=whole.tokens - cut, position=cut, past=past))


def only_y(model, call: Trial) -> Trial:
    """The trial with a cotangent of y alone."""
    shape = (model.output if model.output is not None else model.read).shape
    extents = [call.sizes.get(d, d) for d in shape]
    return replace(call, cotangents={"y": noise("d.y", (call.lanes, call.tokens, *extents))})


def expected(model, x: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """y and 'grad <input>' of the reference, in the interpreter's layouts, gradients of per-head inputs summed over rows."""
    given = {n: t.clone().requires_grad_() for n, t in x.items()}
    y = Reference(model.spec)(**given)
    lanes = y.transpose(1, 2).flatten(0, 1)
    grads = torch.autograd.grad((lanes * noise("d.y", lanes.shape)).sum(), list(given.values()), allow_unused=True,
                                materialize_grads=True)
    per_token = {n for n, i in model.inputs.items() if i.per == "token"}
    return {"y": lanes.detach()} | {f"grad {n}": g.transpose(1, 2).flatten(0, 1) if n in per_token else g
                                    for n, g in zip(given, grads)}


def results(state: Compiled, x: dict[str, torch.Tensor], chunk: int) -> dict[str, torch.Tensor]:
    """The same of the programs: gradients without the part for tokens before the first, starts as the op's own arguments."""
    model = state.model
    call = only_y(model, trial(model, x, chunk))
    got = values(state, call)
    heads = next(t.shape[2] for n, t in x.items() if n in model.inputs and model.inputs[n].per == "token")

    def over_rows(t: torch.Tensor) -> torch.Tensor:
        return t.reshape(-1, heads, *t.shape[1:]).sum(0)

    found = {"y": got["y"]}
    for name in x:
        if name not in model.inputs:
            state_name = name.removesuffix("_init")
            parts = [got.get(f"grad {p}.{state_name}", torch.zeros(())) for p in ("state", "init")]
            parts += [got[n].sum(1) for n in (f"grad live.{state_name}",) if n in got]           # every level starts from it
            found[f"grad {name}"] = over_rows(sum(parts))
        elif model.inputs[name].per == "head":
            found[f"grad {name}"] = over_rows(got[f"grad {name}"])
        else:
            found[f"grad {name}"] = got[f"grad {name}"]
    return found


def errors(got: dict[str, torch.Tensor], want: dict[str, torch.Tensor]) -> dict[str, float]:
    """The largest error of each value over its scale."""
    return {n: float((got[n] - w).abs().nan_to_num(float("inf")).max()) / max(1.0, float(w.abs().max()))
            for n, w in want.items() if w.numel()}


def every(values):
    """The values, and those in the bodies of loops among them."""
    for v in values:
        yield v
        for body in bodies(v):
            yield from every(body.order())
