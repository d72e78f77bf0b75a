"""What an op is held against: a token-by-token float64 reference, tolerances, and the gates an op has to pass."""
from .oracle import Reference, reference

__all__ = ["Reference", "reference"]
