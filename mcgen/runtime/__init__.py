"""What a generated op imports: loading, registration, memory, and the look-up of tuned parameters. Needs torch alone.

`load_package(__file__)` gives the op of a generated package, an `Op`. `init_text` is the text of a package's `__init__.py`.
"""
from .describe import init_text
from .front import Op
from .package import load_package

__all__ = ["Op", "init_text", "load_package"]
