"""Measurements of ops against peers: what a careful user writes in torch, attention, and packages that are installed."""
