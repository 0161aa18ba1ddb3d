"""Faults of pods' networks that their annotations ask for: partitions, loss, delay; each ends by itself."""
