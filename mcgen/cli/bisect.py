"""Find the first pass that changes a value: the programs after every stage, run in float64 on the same random inputs.

The first stage is held to the reference, which computes token by token from the spec itself; every later one to the
stage before it. Long segments are made short, so that a few tokens fill several.
"""
from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, Iterator

from .common import Loaded, add_specs, load, positive

if TYPE_CHECKING:
    from ..symbolic.model import Model

SEGMENT = 6                      # tokens of a segment here, where the spec has longer ones
SIZES = (3, 5, 4, 2)             # distinct, so that a swapped pair of dims can't go unseen


def arguments(parser: argparse.ArgumentParser) -> None:
    add_specs(parser, many=False)
    parser.add_argument("--tokens", type=positive, metavar="T", default=23, help="tokens of the call (default %(default)s)")
    parser.add_argument("--chunk", type=positive, metavar="C", default=4, help="tokens of a chunk (default %(default)s)")
    parser.add_argument("--seed", type=int, metavar="N", default=0, help="another draw of the inputs")


def run(args: argparse.Namespace) -> int:
    from ..passes.bisect import bisect

    loaded = load_short(args.spec)
    print(f"{args.spec}: {args.tokens} tokens in chunks of {args.chunk}" + (
        f", segments of {loaded.model.cache.segments.length}" if loaded.model.cache else ""))
    for what, trial, expected in trials_of(loaded.model, args.tokens, args.chunk, args.seed):
        print(what)
        for stage, change in bisect(loaded.model, trial, expected):
            if change is not None:
                print(f"  {stage:<14} CHANGED {change.what}" + ("" if change.error == float("inf") else f", error {change.error:.2g}"))
                print(f"the first pass that changes a value is {stage}")
                return 2
            print(f"  {stage:<14} same")
    print("no pass changes a value")
    return 0


def load_short(source: str) -> Loaded:
    """The spec with short segments."""
    loaded = load(source)
    cache, run_length = loaded.spec.cache, loaded.spec.rule.gradient_chunk or 1
    short = run_length * max(1, SEGMENT // run_length)
    return loaded if cache is None or cache.segments.length <= short else load(source, segment_length=short)


def trials_of(model: Model, tokens: int, chunk: int, seed: int) -> Iterator[tuple[str, Any, Any]]:
    """(title, trial, known values): y and its gradients against the reference, then a cotangent for every result."""
    from dataclasses import replace

    import torch

    from ..passes.bisect import noise, trial_of
    from ..symbolic.facts import numbers
    from ..verify.draw import Case, draw
    from ..verify.oracle import Reference

    free = [d for d in model.dims if d not in model.derived]
    sizes = {d: SIZES[min(i, len(SIZES) - 1)] for i, d in enumerate(free)}
    x = draw(model.spec, Case(tokens, batch=1, heads=3, dtype=torch.float64, seed=seed), sizes)
    known = {n: int(v) for n, v in numbers(model, sizes).items() if n not in model.constants}
    trial = trial_of(model, x, known, chunk)
    given: dict[str, Any] = {n: t.clone().requires_grad_() for n, t in x.items()}
    y = Reference(model.spec)(**given).transpose(1, 2).flatten(0, 1)
    cotangent = noise("d.y", y.shape)
    loss = (y * cotangent).sum().requires_grad_()                     # also where no input has an effect
    grads = torch.autograd.grad(loss, list(given.values()), allow_unused=True, materialize_grads=True)
    expected = {"y": y.detach()}
    for (name, _), g in zip(given.items(), grads):
        if name in model.inputs and (model.inputs[name].per == "token" or not model.inits):        # others pass through the starts
            expected[f"grad {name}"] = g.transpose(1, 2).flatten(0, 1) if model.inputs[name].per == "token" else g
    yield "against the reference", replace(trial, cotangents={"y": cotangent}), expected
    yield "every result with a cotangent", trial, None
