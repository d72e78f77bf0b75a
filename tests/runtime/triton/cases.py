"""Ops of every structure, and how Triton's results are compared with the reference: outputs, memory, gradients."""
from __future__ import annotations

from pathlib import Path

import torch

import mcgen
from mcgen.codegen.package import build
from mcgen.runtime import load_package
from mcgen.runtime.schedule import Schedule
from mcgen.verify.draw import Case, draw
from mcgen.verify.harness import cached

from ops.scans import SCANS
from ops.specs import CORNERS

SIZES = {"K": 16, "V": 8, "R": 8, "D": 32, "L": 4}
SMALL = {"K": 5, "V": 8, "R": 8}          # a dense system of 16 takes the interpreter minutes
TOLERANCE = 2e-5                # of the largest entry, for float32 products
CASES = {
    "plain": "linear_attention", "log decay": "simple_gla", "normaliser, cached": "mlstm+grm", "delayed write, chosen memories": "swla+ssc",
    "carried sum": "retnet+residual", "states mixed": "linear_attention_normalised+soup", "fresh": "window_of_three",
    "sums since a memory": "decayed_reads", "raw decay, two atoms": {"name": "two_atoms", "rule": {
        "inputs": {"q": ["K"], "k": ["K"], "v": ["V"], "a": {"shape": [], "domain": [0, 1]}}, "state": {"S": ["K", "V"], "n": ["K"]},
        "update": {"S": "a * S + outer(k, v)", "n": "a * n + relu(k)"},
        "read": "(prev(S).T @ q + 0.5 * S.T @ softmax(k)) / (1 + abs(dot(n, q))) + tanh(n[0]) * v", "output": "silu(y) * delay(a, 2)"}},
    "a scan, one decay a head": "mamba1", "a scan, cached": "longhorn+grm", "a scan, states mixed": "longhorn+soup",
    "a scan, chosen memories": "mamba1+ssc", "a scan of two states": "swapped", "a scan, other sizes": "largest", "a dense system": "mesa", "a dense system, cached": "mesa+grm",
    "erased, cached": "gated_delta+grm", "two erased, cached": {"name": "two_erased", "rule": {
        "inputs": {"q": ["K"], "k": {"shape": ["K"], "domain": "unit"}, "v": ["V"], "b": {"shape": [], "domain": [0, 1]}, "g": {"shape": [], "domain": ["-inf", 0]},
                   "a": {"shape": [], "per": "head", "domain": [-1, 1]}},
        "state": {"S": ["K", "V"], "Z": ["K", "V"]}, "update": {
            "S": "exp(g) * a * (S - b * outer(k, S.T @ k)) + b * outer(k, v)", "Z": "Z - 0.5 * outer(l2norm(q), Z.T @ l2norm(q) - v)"},
        "read": "S.T @ q + Z.T @ k"}, "cache": {"use": "grm", "segments": {"length": 16}}}, "steps in a token": "delta_product", "momentum, erased": "titans_linear",
    "channels, erased, chosen memories": "kda+ssc", "matrices of the token, cached": (WHOLE := {"name": "whole", "rule": {
        "inputs": {"q": ["K"], "k": ["K"], "v": ["V"], "M": ["K", "V"], "N": ["K", "K"], "b": {"shape": [], "domain": [0, 1]}}, "state": {"S": ["K", "V"]},
        "update": {"S": "b * S + outer(delay(N @ k, 1), M.T @ q)"}, "read": "S.T @ q", "output": "y * sum(M, 0)"},
        "cache": {"inputs": {}, "segments": {"length": 16}, "summary": "mean(N @ k)", "score": "dot(q, summary)", "weight": "softmax(score)"}}),
}
MERGING = {"name": "merging", "rule": {"use": "simple_gla"}, "cache": {"use": "log_linear", "segments": {"length": 8, "start": "fresh", "growth": "logarithmic"}}}
CASES |= {"levels": MERGING, "levels, all ways to call": MERGING, "merging, chosen memories": "merging_choice"}
FUSED = {"fused: levels, erased": "merging_steps", "fused: levels, branches": "merging_branches", "fused: log decay": "simple_gla",
         "fused: normaliser, cached": "mlstm+grm", "fused: erased": "gated_delta",
         "fused: erased, cached": "gated_delta+grm", "fused: channels": "gla", "fused: delayed write": "swla"}
# dims longer than tiles: blocks of them in programs each, and one after the other
BLOCKS = {"blocks: log decay": "mamba2", "blocks: channels": "gla", "blocks: steps in a token": "delta_product", "blocks: erased, cached": "gated_delta+grm",
          "blocks: a scan": "mamba1", "blocks: log decay, chosen memories": "mamba2+ssc",
          "blocks: matrices of the token": WHOLE, "blocks: levels": MERGING, "blocks: levels, erased": {**MERGING, "name": "merging_erased", "rule": {"use": "gated_delta"}}}
LONG = {"K": 24, "V": 40, "L": 4}
# in every run of the tests; the others are marked slow
QUICK = ("log decay", "normaliser, cached", "delayed write, chosen memories", "states mixed",
         "a scan, cached", "two erased, cached", "fused: log decay", "fused: channels", "levels",
         "blocks: log decay")
KNOWN = {**CORNERS, **SCANS}
TOKENS = {"mesa": 20}


def load_spec(source):
    """A corner or a scan by its name, else a name of the library or a dict; segments of 16 tokens."""
    if isinstance(source, str) and source in KNOWN:
        tree = {k: {a: b for a, b in v.items() if b is not None} if isinstance(v, dict) else v for k, v in KNOWN[source].items()}
        return mcgen.load_spec(tree)
    return mcgen.load_spec(source, segment_length=16 if "+" in source else None)


def sizes_of(name: str) -> dict[str, int]:
    """The sizes that a spec is run with in the interpreter."""
    return SMALL if name.startswith("mesa") or name == "solved" else {**SIZES, "K": 5, "V": 19} if name == "largest" else SIZES


def op_of(spec, folder: Path, chunk: int = 16, backend: str = "triton"):
    return load_package(build(spec, folder / spec.name), backend=backend).with_chunk(chunk)


def blocks_op(spec, folder: Path):
    return load_package(build(spec, folder / spec.name), backend="triton", schedule=Schedule.of(16, {"block_K": 16, "block_V": 16}))


def fused_op(spec, folder: Path, chunk: int = 16):
    return load_package(build(spec, folder / spec.name), backend="triton", schedule=Schedule.of(chunk, {"fused": 1}))


def differences(op, spec, tokens: int, batch: int = 1, heads: int = 2, device: str = "cpu", sizes=SIZES) -> dict[str, float]:
    """The error of y, of what the memory holds, and of every gradient, over the largest entry (at least 1)."""
    inputs = {n: x.float() for n, x in draw(spec, Case(tokens, batch=batch, heads=heads, seed=3), sizes).items()}
    torch.manual_seed(5)
    inputs |= {f"{s.name}_init": torch.randn(heads, *(sizes.get(d, d) for d in s.shape)) for s in spec.rule.state.values() if s.init == "learned"}
    segments = spec.cache.segments if spec.cache else None
    got = results(op, {n: x.to(device) for n, x in inputs.items()}, segments)
    want = results(mcgen.reference(spec), {n: x.double() for n, x in inputs.items()}, segments)
    return {n: float((got[n].cpu().double() - w).abs().nan_to_num(float("inf")).max()) / max(1.0, float(w.abs().max()))
            for n, w in want.items() if w.numel()}


def results(op, inputs, segments=None):
    leaves = {n: x.clone().requires_grad_() for n, x in inputs.items()}
    y, memory = op(**leaves, return_memory=True)
    held = {"state": memory["state"], "cache": cached(memory, segments)}
    outs = {"y": y, **{f"{k} {n}": x for k in ("state", "cache") for n, x in sorted(held[k].items())}}
    torch.manual_seed(7)
    loss = sum((x * torch.randn(x.shape, dtype=torch.float64).to(x.dtype).to(x.device)).sum() for x in outs.values() if x.numel())
    grads = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True, materialize_grads=True)
    return {n: x.detach() for n, x in outs.items()} | {f"d {n}": g for n, g in zip(leaves, grads)}


def packed_difference(op, other, spec, device: str = "cpu", sizes=SIZES, ends=(0, 0, 17, 18, 22)) -> float:
    """The largest error of y and every gradient against another back end, for packed sequences of which one is empty."""
    inputs = {n: x.float().to(device) for n, x in draw(spec, Case(ends[-1], batch=1, heads=2, seed=3), sizes).items()}
    offsets = torch.tensor(ends, device=device)
    found = []
    for o in (op, other):
        leaves = {n: x.clone().requires_grad_() for n, x in inputs.items()}
        y = o(**leaves, cu_seqlens=offsets)
        torch.manual_seed(9)
        loss = (y * torch.randn(y.shape).to(device)).sum()
        found.append([y.detach(), *torch.autograd.grad(loss, list(leaves.values()), allow_unused=True, materialize_grads=True)])
    return max(float((a - b).abs().nan_to_num(float("inf")).max()) / max(1.0, float(b.abs().max())) for a, b in zip(*found))


def step_difference(op, spec, tokens: int, device: str = "cpu", sizes=SIZES) -> float:
    """The largest error of y over single steps from an empty memory."""
    inputs = {n: x.float() for n, x in draw(spec, Case(tokens, batch=1, heads=2, seed=4), sizes).items()}
    want = mcgen.reference(spec)(**{n: x.double() for n, x in inputs.items()})
    per_token = {n for n, i in {**spec.rule.inputs, **(spec.cache.inputs if spec.cache else {})}.items() if i.per == "token"}
    memory, worst = None, 0.0
    for t in range(tokens):
        one = {n: (x[:, t] if n in per_token else x).to(device) for n, x in inputs.items()}
        y, memory = op.step(**one, memory=memory)
        worst = max(worst, float((y.cpu().double() - want[:, t]).abs().max()))
    return worst / max(1.0, float(want.abs().max()))


def half_differences(op, spec, dtype: torch.dtype = torch.bfloat16, device: str = "cpu", sizes=SIZES) -> int:
    """How many numbers of a call with tokens of 16 bits, and of one that goes on from it, are not those of the same call in float32,
    rounded: y, the memory, every gradient, in their dtypes."""
    first = 18
    drawn = draw(spec, Case(first + 4, batch=1, heads=1, seed=3), sizes)
    narrow = {n: x.to(device, dtype if x.dim() > 2 else torch.float32) for n, x in drawn.items()}
    found = []
    for inputs in (narrow, {n: x.float() for n, x in narrow.items()}):
        leaves = {n: x.clone().requires_grad_() for n, x in inputs.items()}
        y, memory = op(**{n: x[:, :first].clone() if x.dim() > 2 else x for n, x in leaves.items()}, return_memory=True)
        y2, after = op(**{n: x[:, first:].clone() if x.dim() > 2 else x for n, x in leaves.items()}, memory=memory)
        torch.manual_seed(9)
        loss = (y.float() * torch.randn(y.shape).to(device, dtype).float()).sum()          # of the first call alone: torch adds up in 16 bits
        grads = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True, materialize_grads=True)
        found.append({"y": y, "y2": y2, **{f"new {n}": x for n, x in after["state"].items()}, **{f"d {n}": g for n, g in zip(leaves, grads)}})
    wrong = 0
    for name, x in found[0].items():
        wide = dtype if name in ("y", "y2") or name[:2] == "d " and narrow[name[2:]].dtype is dtype else torch.float32
        wrong += x.numel() if x.dtype is not wide else int((x != found[1][name].to(wide)).sum())
    return wrong
