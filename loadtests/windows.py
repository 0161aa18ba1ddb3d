"""A run in windows of time, for figures over time and for comparing runs. Pure: counts go in, rows come out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MOST = 60
"""Windows are joined by pairs when there are more, so that a run of any length has at least half as many."""


class Windows:
    """Requests, failures, latencies (milliseconds, as locust rounds them), versions and arrivals of each window."""

    def __init__(self) -> None:
        self._rows: list[_Window] = []
        self._last = _Window()
        self._seconds = 1
        self._pending: _Window | None = None
        self._left = 0

    def clear(self) -> None:
        """Begin anew."""
        self._rows.clear()
        self._last = _Window()
        self._seconds = 1
        self._pending = None
        self._left = 0

    def add(
        self,
        requests: int,
        failures: int,
        latencies: Mapping[float, int],
        versions: Mapping[str, int],
        arrivals: Mapping[str, int] | None = None,
    ) -> None:
        """Take the totals after one more second."""
        total = _Window(requests, failures, Counter(latencies), Counter(versions), Counter(arrivals or {}))
        second, self._last = total - self._last, total
        self._pending = second if self._pending is None else self._pending + second
        self._left += 1
        if self._left < self._seconds:
            return
        self._rows.append(self._pending)
        self._pending, self._left = None, 0
        if len(self._rows) > MOST:
            pairs = zip(self._rows[::2], self._rows[1::2], strict=False)
            odd = self._rows[len(self._rows) // 2 * 2 :]
            self._rows = [one + other for one, other in pairs]
            self._seconds *= 2
            if odd:
                self._pending, self._left = odd[0], self._seconds // 2

    @property
    def elapsed(self) -> int:
        """How many seconds there have been."""
        return len(self._rows) * self._seconds + self._left

    def rows(self) -> list[dict[str, Any]]:
        """The windows that are whole; `seconds` is the length of each.

        At the end of an open model are seconds in which nothing was due and nothing came: they are no part of the run.
        """
        rows = list(self._rows)
        if any(row.arrivals for row in rows):
            while rows and not rows[-1].requests and not rows[-1].arrivals:
                rows.pop()
        return [{"seconds": self._seconds, **window.row()} for window in rows]


@dataclass(frozen=True, slots=True)
class _Window:
    requests: int = 0
    failures: int = 0
    latencies: Counter[float] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    arrivals: Counter[str] = field(default_factory=Counter)

    def __add__(self, other: _Window) -> _Window:
        return _Window(
            self.requests + other.requests,
            self.failures + other.failures,
            self.latencies + other.latencies,
            self.versions + other.versions,
            self.arrivals + other.arrivals,
        )

    def __sub__(self, other: _Window) -> _Window:
        return _Window(
            self.requests - other.requests,
            self.failures - other.failures,
            self.latencies - other.latencies,
            self.versions - other.versions,
            self.arrivals - other.arrivals,
        )

    def row(self) -> dict[str, Any]:
        """As JSON; latencies are pairs of milliseconds and a count."""
        return {
            "requests": self.requests,
            "failures": self.failures,
            "latencies_ms": sorted(self.latencies.items()),
            "versions": dict(sorted(self.versions.items())),
            **({"arrivals": dict(self.arrivals)} if self.arrivals else {}),
        }
