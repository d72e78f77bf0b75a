"""Say how an op will be computed and why: what was understood, the form that was chosen, its products, what they cost.

What can't be lowered yet is named with its place in the spec, beside what was understood all the same.
"""
from __future__ import annotations

import argparse

from .common import add_specs, each, load, signature


def arguments(parser: argparse.ArgumentParser) -> None:
    add_specs(parser)


def run(args: argparse.Namespace) -> int:
    def work(source: str) -> None:
        from ..codegen.formulas import formulas
        from ..passes.explain import explain

        model = load(source).model
        print(f"{source}: {signature(model)}\n{formulas(model)}\n\n{explain(model)}\n")

    return each(args.specs, work)
