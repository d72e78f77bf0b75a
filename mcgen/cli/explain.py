"""Say how an op will be computed and why: its structure, the form that was chosen, and what costs what."""
from __future__ import annotations

import argparse

from .common import add_specs, each, load, signature


def arguments(parser: argparse.ArgumentParser) -> None:
    add_specs(parser)


def run(args: argparse.Namespace) -> int:
    def work(source: str) -> None:
        loaded = load(source)
        from ..passes.explain import explain

        print(f"{source}: {signature(loaded.model)}")
        print(explain(loaded.model))

    return each(args.specs, work)
