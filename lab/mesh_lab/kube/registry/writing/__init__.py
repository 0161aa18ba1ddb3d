"""Writes: how objects are decoded, created, changed, applied and deleted."""
