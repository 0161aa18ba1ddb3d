"""Reads: single objects, lists and watches."""
