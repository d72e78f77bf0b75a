"""The command line. Thin: each command is one file with `arguments(parser)` and `run(args) -> exit code`."""
from .main import main

__all__ = ["main"]
