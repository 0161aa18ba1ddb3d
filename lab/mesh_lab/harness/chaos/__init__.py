"""Chaos on purpose: kills and faults that a test asks for, seeded, bounded, and ended with the test."""
