"""Check a spec, build it, verify it, and train a small language model over bytes with it.

The text is Python's own standard library: nothing is downloaded. Some files are held out; the result is bits per byte on
them, against the entropy of single bytes. A run lies in runs/NAME/: curve, log, sample, summary, and the checkpoint from which
the same command goes on. Ctrl-C finishes the step, saves, and stops.
"""
from __future__ import annotations

import argparse
import dataclasses
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .common import add_specs, add_threads, load, positive, signature, stage
from .common import console as make_console

if TYPE_CHECKING:
    from ..train.config import Config

NUMBERS = {"steps": "updates", "batch": "sequences an update", "length": "bytes of a sequence", "d_model": "width", "layers": "depth",
           "heads": "heads", "segment_length": "tokens of a cached segment", "evaluate_every": "updates between measurements"}


def arguments(parser: argparse.ArgumentParser) -> None:
    from ..train.config import Config

    standard = Config()
    add_specs(parser, many=False)
    for key, text in NUMBERS.items():
        value = getattr(standard, key)
        parser.add_argument("--" + key.replace("_", "-"), type=positive, metavar="N", default=value,
                            help=text + (f" (default {value})" if value else " (default: the spec's)"))
    parser.add_argument("--rate", type=float, default=standard.rate, metavar="X", help=f"highest learning rate (default {standard.rate})")
    parser.add_argument("--seed", type=int, default=standard.seed, metavar="N", help="of weights and batches")
    parser.add_argument("--text", type=Path, metavar="DIR", help="train on the files of this folder instead")
    parser.add_argument("--name", help="the run's name (default: the op's)")
    parser.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="where runs lie (default runs/)")
    parser.add_argument("--fresh", action="store_true", help="start over instead of going on")
    parser.add_argument("--no-verify", action="store_true", help="skip the quick verification")
    parser.add_argument("--backend", help="tvm, torch or triton instead of the default")
    add_threads(parser)


def run(args: argparse.Namespace) -> int:
    with stage(f"check {args.spec}"):
        loaded = load(args.spec)
    print(f"  {signature(loaded.model)}")
    op, facts = _prepare(args, loaded.spec)
    if op is None:
        return 2
    from ..train.config import Config

    config = Config(spec=args.spec, seed=args.seed, rate=args.rate, **{k: getattr(args, k) for k in NUMBERS})
    config = dataclasses.replace(config, warmup=min(config.warmup, max(1, config.steps // 10)))
    folder = args.runs / (args.name or loaded.spec.name)
    if args.fresh and (folder / "checkpoint.pt").exists():
        shutil.rmtree(folder)
    return _train(op, config, folder, args.text, facts)


def _prepare(args: argparse.Namespace, spec: Any) -> tuple[Any, dict[str, str]]:
    """The op, built and verified; None if it failed."""
    import torch

    import mcgen

    if args.threads:
        torch.set_num_threads(args.threads)
    options = {k: v for k, v in (("backend", args.backend), ("segment_length", args.segment_length)) if v}
    with stage(f"build {spec.name}"):
        op = mcgen.load(args.spec, **options)
    if not args.no_verify:
        from .verify import report

        print(f"verify {spec.name} (quick)")
        if report(op, spec, "quick"):
            return None, {}
    return op, {"verified": "no" if args.no_verify else "quick"}


def _train(op: Any, config: Config, folder: Path, text: Path | None, facts: dict[str, str]) -> int:
    """The run itself with its display, then everything that is left of it."""
    from ..train import data, loop, report
    from ..train.checkpoint import Progress
    from ..train.display import Display

    with stage("read text"):
        corpus = data.folder(text) if text else data.standard_library()
    unigram = data.unigram_entropy(corpus.held_out)
    print(f"  {len(corpus.training) / 1e6:.1f} MB in {corpus.files[0]} files to learn from, "
          f"{len(corpus.held_out) / 1e6:.2f} MB in {corpus.files[1]} files held out; unigram entropy {unigram:.3f} bits per byte")
    parameters = loop.make_model(op, config).parameter_count()
    print(f"  {parameters / 1e6:.2f} M parameters, {config.layers} layers of width {config.d_model}, {config.heads} heads")
    console = make_console()
    try:
        with Display(console, config, unigram) as display:
            model, progress = loop.train(op, corpus, config, folder, display)
    except KeyboardInterrupt:
        console.print(f"stopped; the same command goes on from {folder}/checkpoint.pt")
        raise
    except FloatingPointError as problem:
        console.print(f"error[diverged]: {problem}\n  hint: a lower --rate; the last checkpoint is kept")
        return 2
    assert isinstance(progress, Progress)
    sample = report.sample(model, 400)
    rows = report.summary(config, progress, unigram, {"parameters": f"{parameters:,}", **facts})
    report.plot(progress, unigram, f"{config.spec}, {parameters / 1e6:.1f} M parameters", folder / "curve.png")
    report.save_summary(rows, sample, folder)
    display.finish(rows, sample, folder)
    return 0
