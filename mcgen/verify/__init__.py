"""What an op is held against: a token-by-token float64 reference, tolerances, and the gates an op has to pass."""
from .gates import verify
from .oracle import Reference, reference
from .report import Report

__all__ = ["Reference", "Report", "reference", "verify"]
