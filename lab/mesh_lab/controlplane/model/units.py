"""Durations as Istio writes them: Go's syntax (`1h`, `1m30s`, `250ms`), of which protobuf's (`3.5s`) is a part."""

from __future__ import annotations

import re
from decimal import Decimal

DURATION_PATTERN = r"^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$"

_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ns|us|µs|ms|s|m|h)")
_WHOLE = re.compile(DURATION_PATTERN)
_NANOSECONDS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}


def nanoseconds(text: str) -> int:
    """The length of a duration such as `1m30s`, in nanoseconds.

    Raises:
        ValueError: the text is not a duration.
    """
    if not _WHOLE.match(text):
        raise ValueError(f"{text!r} is not a duration: write a number and a unit, such as 500ms, 2s or 1m30s")
    return sum(int(Decimal(number) * _NANOSECONDS[unit]) for number, unit in _PART.findall(text))
