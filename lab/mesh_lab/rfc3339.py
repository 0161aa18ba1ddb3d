"""Times as RFC 3339 writes them, which is how the Kubernetes API, logs and state files hold them; and in file names."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import lru_cache

TO_SECONDS = "%Y-%m-%dT%H:%M:%S"
"""The format of date and time without fractions and zone, for `strftime`."""


def now() -> datetime:
    """The present in the resolution that Kubernetes stores: whole seconds, UTC."""
    return datetime.now(UTC).replace(microsecond=0)


def timestamp(moment: datetime | None = None) -> str:
    """A `metav1.Time`, `2025-01-31T12:00:00Z`; of now by default."""
    return f"{_second(int(time.time())) if moment is None else moment.astimezone(UTC).strftime(TO_SECONDS)}Z"


def micro_timestamp(moment: datetime | None = None) -> str:
    """A `metav1.MicroTime`, `2025-01-31T12:00:00.000000Z`; of now by default."""
    return (moment or datetime.now(UTC)).astimezone(UTC).strftime(f"{TO_SECONDS}.%fZ")


def nano_timestamp(moment: datetime | None = None) -> str:
    """A time of a log's line, `2025-01-31T12:00:00.000000000Z`; of now by default."""
    if moment is not None:
        return f"{micro_timestamp(moment)[:-1]}000Z"
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return f"{_second(seconds)}.{nanoseconds:09d}Z"


def file_stamp() -> str:
    """The present for the name of a file, in ISO 8601's basic format, `20250131T120000Z`: no colons, sorted by time."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())


def parse(text: str) -> datetime:
    """The moment of a timestamp, with or without fractions; one without a zone is UTC.

    Raises:
        ValueError: it is no timestamp.
    """
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@lru_cache(maxsize=1)
def _second(second: int) -> str:
    """Format a second; cached, since each write and each chunk of a log needs the present one."""
    return time.strftime(TO_SECONDS, time.gmtime(second))
