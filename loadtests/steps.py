"""The search for the level at which a limit breaks. Pure: totals go in, figures and the next level come out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

SETTLE_SECONDS = 1.0
"""The begin of a step that is left out: answers of the step before still come, and users start."""
_SHARES = (50, 90, 95, 99)


@dataclass(frozen=True, slots=True)
class Totals:
    """What was counted until a moment, of an endpoint or of all. Latencies: how many there were, by milliseconds."""

    requests: int = 0
    failures: int = 0
    latencies: Mapping[float, int] = field(default_factory=dict)

    def since(self, before: Totals) -> Totals:
        """What came after `before`."""
        latencies = Counter(self.latencies)
        latencies.subtract(before.latencies)
        return Totals(self.requests - before.requests, self.failures - before.failures, +latencies)

    def figures(self, seconds: float) -> dict[str, Any]:
        """As those of a whole run."""
        return {
            "requests": self.requests,
            "failures": self.failures,
            "requests_per_second": round(self.requests / seconds, 1) if seconds > 0 else 0.0,
            "error_ratio": round(self.failures / self.requests, 5) if self.requests else 0.0,
            **{f"p{share}_ms": self._quantile(share / 100) for share in _SHARES},
            "max_ms": max(self.latencies, default=0),
        }

    def _quantile(self, share: float) -> float:
        wanted, seen = math.ceil(share * sum(self.latencies.values())), 0
        for latency in sorted(self.latencies):
            seen += self.latencies[latency]
            if seen >= wanted:
                return latency
        return 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that was counted until a moment (seconds of any clock). Endpoints are by method and name."""

    moment: float
    total: Totals
    endpoints: Mapping[tuple[str, str], Totals]
    versions: Mapping[str, int]
    arrivals: Mapping[str, int]

    def since(self, before: Snapshot) -> dict[str, Any]:
        """The figures of the time between, in the form of a run's."""
        seconds = self.moment - before.moment
        none = Totals()
        endpoints = [
            {"method": key[0], "name": key[1], **total.since(before.endpoints.get(key, none)).figures(seconds)}
            for key, total in sorted(self.endpoints.items())
        ]
        return {
            "seconds": round(seconds, 1),
            **self.total.since(before.total).figures(seconds),
            "versions": _difference(self.versions, before.versions),
            **({"arrivals": _difference(self.arrivals, before.arrivals)} if self.arrivals else {}),
            "endpoints": endpoints,
        }


def _difference(after: Mapping[str, int], before: Mapping[str, int]) -> dict[str, int]:
    return {name: count - before.get(name, 0) for name, count in sorted(after.items())}


class Search:
    """Levels that rise evenly to `peak`, each for `seconds`, until one breaks a limit."""

    def __init__(self, peak: float, count: int, seconds: float, *, whole: bool = False) -> None:
        """`whole`: levels are whole numbers (users)."""
        levels = [peak * number / count for number in range(1, count + 1)]
        self._levels = sorted({float(max(1, round(level))) for level in levels}) if whole else levels
        self._seconds = seconds
        self._ended = False
        self.steps: list[dict[str, Any]] = []

    @property
    def over(self) -> bool:
        """Whether a limit has broken, or the last level has held."""
        return self._ended or len(self.steps) == len(self._levels)

    @property
    def level(self) -> float:
        """The level now; when it is over, the last."""
        return self._levels[min(len(self.steps), len(self._levels) - 1)]

    @property
    def held(self) -> float | None:
        """The highest level that broke no limit."""
        levels = [step["level"] for step in self.steps if not step["broken"]]
        return max(levels, default=None)

    def due(self, elapsed: float) -> bool:
        """Whether the present step has had its time, `elapsed` seconds after the search began."""
        return not self.over and elapsed >= (len(self.steps) + 1) * self._seconds

    def settled(self, elapsed: float) -> bool:
        """Whether the present step is measured."""
        return elapsed >= len(self.steps) * self._seconds + SETTLE_SECONDS

    def close(self, figures: Mapping[str, Any], broken: Sequence[str]) -> None:
        """The present step is over, with these figures, and has broken these limits."""
        self.steps.append({"level": self.level, **figures, "broken": list(broken)})
        self._ended = bool(broken)

    def found(self) -> dict[str, Any]:
        """As JSON: `held` is the highest level without a broken limit, `broke` the one that broke one, if any."""
        broke = self.steps[-1]["level"] if self.steps and self.steps[-1]["broken"] else None
        return {"held": self.held, "broke": broke, "steps": self.steps}
