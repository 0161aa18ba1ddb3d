"""How users, or their rate, go over a run. Pure functions: locust calls them once a second, tests with any time."""

from __future__ import annotations

from collections.abc import Callable

SPIKE_BASE = 0.2
SPIKE_FROM, SPIKE_TO = 0.4, 0.6
RAMP_END = 0.8


def steady(peak: float, _: float) -> float:
    """All from the start."""
    return peak


def ramp(peak: float, share: float) -> float:
    """Evenly more for four fifths of the run, then all."""
    return peak * min(share / RAMP_END, 1.0)


def spike(peak: float, share: float) -> float:
    """A fifth, and all at once in the middle fifth of the run."""
    return peak if SPIKE_FROM <= share < SPIKE_TO else peak * SPIKE_BASE


SHAPES: dict[str, Callable[[float, float], float]] = {"steady": steady, "soak": steady, "ramp": ramp, "spike": spike}
"""A soak is a steady run, long enough for its second half to be held against the first."""


def level_at(shape: str, seconds: float, duration: float, peak: float) -> float | None:
    """Of users, or of requests a second, what a run of `duration` seconds has after `seconds`; None when it is over.

    Raises:
        KeyError: there is no such shape.
    """
    return None if seconds >= duration else SHAPES[shape](peak, seconds / duration)


def users_at(shape: str, seconds: float, duration: float, peak: int) -> int | None:
    """The users of then: at least one; None when the run is over.

    Raises:
        KeyError: there is no such shape.
    """
    level = level_at(shape, seconds, duration, peak)
    return None if level is None else max(1, round(level))
