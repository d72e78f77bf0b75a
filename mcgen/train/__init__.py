"""A small language model over bytes, trained with one op on text that every machine has."""
from .config import Config
from .loop import train

__all__ = ["Config", "train"]
