"""The command line. Thin: each command is one file with `arguments(parser)` and `run(args) -> exit code`.

`tune` has `forward(arguments)` instead: the tuner reads its own.
"""
from .main import main

__all__ = ["main"]
