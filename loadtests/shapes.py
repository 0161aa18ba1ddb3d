"""How the number of users goes over a run. Pure functions: locust calls them once a second, tests with any time."""

from __future__ import annotations

from collections.abc import Callable

SPIKE_BASE = 0.2
SPIKE_FROM, SPIKE_TO = 0.4, 0.6
RAMP_END = 0.8


def steady(peak: int, _: float) -> float:
    """All users from the start."""
    return peak


def ramp(peak: int, share: float) -> float:
    """Evenly more users for four fifths of the run, then all of them."""
    return peak * min(share / RAMP_END, 1.0)


def spike(peak: int, share: float) -> float:
    """A fifth of the users, and all of them at once in the middle fifth of the run."""
    return peak if SPIKE_FROM <= share < SPIKE_TO else peak * SPIKE_BASE


SHAPES: dict[str, Callable[[int, float], float]] = {"steady": steady, "ramp": ramp, "spike": spike}


def users_at(shape: str, seconds: float, duration: float, peak: int) -> int | None:
    """The users that a run of `duration` seconds has after `seconds`; None when it is over.

    Raises:
        KeyError: there is no such shape.
    """
    if seconds >= duration:
        return None
    return max(1, round(SHAPES[shape](peak, seconds / duration)))
