"""How long a failed container waits for its next start: not at all, then 10 s, doubling up to 5 min.

https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#restart-policy. The same rule, with its own memory,
holds for images that cannot be had.
"""

from __future__ import annotations

FIRST = 10.0
LONGEST = 300.0


class Backoff:
    """One container's (or image's) memory. Times are in seconds, on any clock that never goes back."""

    def __init__(self) -> None:
        self._delay = 0.0

    def failed(self, ran_for: float = 0.0) -> float:
        """The container ended after `ran_for`; how long the next start waits. Twice LONGEST makes up for the past."""
        if ran_for >= 2 * LONGEST:
            self._delay = 0.0
        wait = self._delay
        self._delay = min(LONGEST, self._delay * 2) if self._delay else FIRST
        return wait


def text(seconds: float) -> str:
    """The duration as Go prints it: `10s`, `1m20s`."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
