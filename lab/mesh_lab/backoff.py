"""Back-off: delays that double from failure to failure."""

from __future__ import annotations


def delay(failures: int, first: float, longest: float) -> float:
    """The delay, in seconds, after so many failures before this one: `first`, doubling, never over `longest`."""
    return min(first * 2.0 ** min(failures, 64), longest)


class Backoff:
    """The delays of one thing that fails: `first` seconds, doubling, never over `longest`."""

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self._failures = 0

    def next(self) -> float:
        """The delay after one more failure."""
        self._failures += 1
        return delay(self._failures - 1, self._first, self._longest)

    def reset(self) -> None:
        """It succeeded: its next failure is its first."""
        self._failures = 0
