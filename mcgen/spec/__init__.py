"""YAML text -> Spec: places kept, expressions parsed, library names resolved."""
from .dump import dump_spec
from .library import library_dirs, library_names
from .load import load_spec, load_text

__all__ = ["load_spec", "load_text", "dump_spec", "library_dirs", "library_names"]
