"""Say how an op will be computed and why: its structure, the form that was chosen, how many products that takes.

What can't be lowered yet is named with its place in the spec.
"""
from __future__ import annotations

import argparse
from collections import Counter
from typing import TYPE_CHECKING, Iterator

from .common import add_specs, each, load, signature

if TYPE_CHECKING:
    from ..passes.pipeline import Compiled
    from ..symbolic.model import Model

PRODUCTS = ("dot", "mix", "solve", "pair", "papply")


def arguments(parser: argparse.ArgumentParser) -> None:
    add_specs(parser)


def run(args: argparse.Namespace) -> int:
    def work(source: str) -> None:
        from ..codegen.formulas import formulas
        from ..passes.pipeline import compile_model

        model = load(source).model
        print(f"{source}: {signature(model)}\n{formulas(model)}\n")
        for line in facts(compile_model(model)):
            print(f"  {line}")
        print()

    return each(args.specs, work)


def facts(compiled: "Compiled") -> Iterator[str]:
    """One line a decision."""
    model, source = compiled.model, compiled.source
    yield "form       every update is affine in its state: chunks of tokens are computed as matrix products, states pass between them"
    for name, affine in source.affine.items():
        shape = ", ".join(map(str, model.states[name].shape))
        decay = "is kept as it is" if affine.log is None else "has a scalar decay (differences of its logarithm only: nothing overflows)"
        count = len(affine.form.writes)
        yield f"state      {name} [{shape}] {decay}, {count} write{'s' * (count != 1)} a token"
    linear = source.read.linear
    yield "read       " + ("linear in the states" if linear else "nonlinear in the states: the cache holds every state that it uses")
    if model.cache is not None:
        yield from _cache(model, linear, source.carried_sum)
    for title, program in (("forward", compiled.forward), ("backward", compiled.backward)):
        counts = Counter(value.op for value in program.order())
        products = ", ".join(f"{counts[op]} {op}" for op in PRODUCTS if counts[op]) or "none"
        yield f"{title:<10} {len(program.order())} operations, products: {products}; {counts['scan']} scans"
    yield "gradient   derived from the forward program by one table of derivatives, before anything is lowered"


def _cache(model: "Model", linear: bool, carried_sum: bool) -> Iterator[str]:
    assert model.cache is not None
    cache = model.cache
    segments = cache.segments
    start = "goes on from the last state" if segments.start == "carry" else "starts anew"
    yield f"cache      a memory every {segments.length} tokens ({segments.growth} growth), each segment {start}"
    if carried_sum:
        yield "mix        constant weights and a linear read: one running sum of cached states, no cost per memory"
    elif cache.top is not None:
        yield f"mix        the {cache.top} cached memories of highest score per token and head, and the online one"
    else:
        yield f"mix        all memories up to the token, {cache.mix}" + (" (the same as mixing states: the read is linear)" if linear else "")
