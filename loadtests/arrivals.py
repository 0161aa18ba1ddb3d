"""When requests of an open model are due, and what becomes of them. Pure: no clock, no waiting."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

LATE_SECONDS = 0.01
"""An arrival that begins so long after it was due is late."""
BACKLOG_SECONDS = 10.0
"""An arrival that nobody has begun with for so long is dropped."""


class Schedule:
    """Times at even distances: `rate` a second, from when there is a rate."""

    def __init__(self) -> None:
        self._rate = 0.0
        self._next = 0.0

    @property
    def next(self) -> float | None:
        """When the next arrival is due; None while there is no rate."""
        return self._next if self._rate else None

    def change(self, rate: float, now: float, offset: float = 0.0) -> None:
        """Go on at another rate. `offset` (0 to 1, of a distance) is where the first arrival lies."""
        if rate == self._rate:
            return
        if not self._rate:
            self._next = now + offset / rate
        elif rate:
            # What is left of the distance becomes longer or shorter by as much as the distance itself.
            self._next = now + max(0.0, self._next - now) * self._rate / rate
        self._rate = rate

    def due(self, now: float) -> list[float]:
        """The times that have come since the last call."""
        found = []
        while self._rate and self._next <= now:
            found.append(self._next)
            self._next += 1 / self._rate
        return found


@dataclass(slots=True)
class Arrival:
    """A task that was due at a time (seconds of a monotonic clock), and how long it has waited to begin."""

    due: float
    waited: float = 0.0
    counted: bool = False
    """Whether a request has taken the waiting into its latency."""


@dataclass(slots=True)
class Counts:
    """Arrivals: how many were due, begun (late ones, too), never begun, and how many of those begun have ended."""

    due: int = 0
    begun: int = 0
    ended: int = 0
    late: int = 0
    dropped: int = 0

    def take(self) -> dict[str, int]:
        """The counts since the last time."""
        found = asdict(self)
        self.due = self.begun = self.ended = self.late = self.dropped = 0
        return found


@dataclass(slots=True)
class Backlog:
    """Arrivals that are due and not begun, the oldest first."""

    counts: Counts = field(default_factory=Counts)
    _waiting: deque[float] = field(default_factory=deque)

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, due: float) -> None:
        """One more is due."""
        self.counts.due += 1
        self._waiting.append(due)

    def drop_old(self, now: float) -> None:
        """Drop those that have waited for too long."""
        while self._waiting and now - self._waiting[0] > BACKLOG_SECONDS:
            self._waiting.popleft()
            self.counts.dropped += 1

    def drop_all(self) -> None:
        """The run is over: nobody begins with them any more."""
        self.counts.dropped += len(self._waiting)
        self._waiting.clear()

    def begin(self, now: float) -> Arrival | None:
        """The oldest, as it begins now; None when there is none."""
        self.drop_old(now)
        if not self._waiting:
            return None
        due = self._waiting.popleft()
        self.counts.begun += 1
        waited = max(0.0, now - due)
        if waited > LATE_SECONDS:
            self.counts.late += 1
        return Arrival(due, waited)


def open_tasks(arrivals: Mapping[str, int]) -> int:
    """Of the tasks that were due, those that have neither ended nor been dropped."""
    return arrivals.get("due", 0) - arrivals.get("ended", 0) - arrivals.get("dropped", 0)


def carried(arrivals: Mapping[str, int]) -> dict[str, int]:
    """What counting anew begins with: the tasks that are open now, whose answers come later."""
    return {"due": open_tasks(arrivals), "begun": arrivals.get("begun", 0) - arrivals.get("ended", 0)}


def ratios(arrivals: Mapping[str, int]) -> dict[str, float]:
    """Which share of the arrivals began late, and which had no answer; nothing where the model is closed."""
    if not arrivals:
        return {}
    due = arrivals.get("due", 0) or 1
    lost = arrivals.get("dropped", 0) + arrivals.get("unfinished", 0)
    return {"late_ratio": round(arrivals.get("late", 0) / due, 5), "dropped_ratio": round(lost / due, 5)}
