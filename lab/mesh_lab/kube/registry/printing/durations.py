"""Ages as kubectl shows them: two units at most, fewer the longer ago it was."""

from __future__ import annotations

from datetime import datetime

from mesh_lab import rfc3339

UNKNOWN = "<unknown>"
_MINUTE, _HOUR, _DAY, _YEAR = 60, 3600, 86400, 86400 * 365

_STEPS = (
    (2 * _MINUTE, 1, "s", 0, ""),
    (10 * _MINUTE, _MINUTE, "m", 1, "s"),
    (3 * _HOUR, _MINUTE, "m", 0, ""),
    (8 * _HOUR, _HOUR, "h", _MINUTE, "m"),
    (2 * _DAY, _HOUR, "h", 0, ""),
    (8 * _DAY, _DAY, "d", _HOUR, "h"),
    (2 * _YEAR, _DAY, "d", 0, ""),
    (8 * _YEAR, _YEAR, "y", _DAY, "d"),
)
"""Up to how many seconds; the large unit and its letter; the small one and its letter, 0 for none."""


def human(seconds: float) -> str:
    """A length of time, such as `5m30s` or `3d`. Clocks that disagree by up to a second count as now."""
    if seconds < -1:
        return "<invalid>"
    whole = max(int(seconds), 0)
    for limit, large, letter, small, small_letter in _STEPS:
        if whole < limit:
            rest = whole % large // small if small else 0
            return f"{whole // large}{letter}" + (f"{rest}{small_letter}" if rest else "")
    return f"{whole // _YEAR}y"


def parse(timestamp: str | None) -> datetime | None:
    """A timestamp of the API (`2024-05-06T07:08:09Z`, with or without fractions); None for none or nonsense."""
    if not timestamp:
        return None
    try:
        return rfc3339.parse(timestamp)
    except ValueError:
        return None


def since(timestamp: str | None, now: datetime) -> str:
    """How long ago a timestamp of the API was."""
    moment = parse(timestamp)
    return UNKNOWN if moment is None else human((now - moment).total_seconds())
