"""Whether a version keeps to what it has to, by sequential tests that end as soon as the verdict is safe.

Each criterion is a ratio of bad requests that is allowed (those that fail; those over a latency), against one that is
worse by a stated amount: Wald's sequential probability ratio test, as for splits (`harness/sequential.py`, where its
error rates are derived). A latency at a quantile is such a ratio, too: p99 under 250 ms allows one request of a
hundred to take longer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from mesh_lab.harness.results import Result
from mesh_lab.harness.sequential import Side
from mesh_lab.rollout.settings import Rollout, allowed_failures

FIRST_BAD = 500
LEAST_ALLOWED = 1e-4
"""A ratio of 0 cannot be tested: one bad request in any number would end a rollout."""


class Verdict(Enum):
    """What is known of a version at a step."""

    GOOD = "good"
    BAD = "bad"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Criterion:
    """A ratio of bad requests that is allowed, and the worse one that is to be found."""

    name: str
    allowed: float
    worse: float
    bad: Callable[[Result], bool]

    def log_ratio(self, bad: int, trials: int) -> float:
        """The logarithm of the likelihood of the worse ratio over that of the allowed one."""
        return Side(self.name, self.allowed, self.worse).log_ratio(bad, trials)


@dataclass(frozen=True, slots=True)
class Judge:
    """The criteria, and the bounds that their ratios of likelihoods have to leave for a verdict.

    `false_alarm` is of the whole rollout, so each of its tests has its part of it; `missed` is of each step.
    """

    criteria: Sequence[Criterion]
    false_alarm: float
    missed: float
    steps: int

    def look(self, trials: int, bad: Mapping[str, int]) -> Verdict:
        """The verdict on so many requests of a version, of which so many were bad, by criterion."""
        upper = math.log(len(self.criteria) * self.steps / self.false_alarm)
        ratios = [each.log_ratio(bad.get(each.name, 0), trials) for each in self.criteria]
        if any(ratio >= upper for ratio in ratios):
            return Verdict.BAD
        return Verdict.GOOD if all(ratio <= math.log(self.missed) for ratio in ratios) else Verdict.OPEN

    def bad_of(self, results: Sequence[Result]) -> list[Result]:
        """Those that were bad by any criterion."""
        return [result for result in results if any(each.bad(result) for each in self.criteria)]

    def count(self, results: Sequence[Result]) -> dict[str, int]:
        """How many of these were bad, by criterion."""
        return {each.name: sum(each.bad(result) for result in results) for each in self.criteria}


def judge_of(rollout: Rollout) -> Judge:
    """The judge of a rollout."""
    allowed, worse_by = allowed_failures(rollout)
    criteria = [Criterion("success", *_between(allowed, worse_by), _failed)]
    for quantile, seconds in rollout.bounds.items():
        name = f"latency p{100 * quantile:g}"
        criteria.append(Criterion(name, *_between(1 - quantile, worse_by), _slower_than(seconds)))
    return Judge(tuple(criteria), rollout.rates.false_alarm, rollout.rates.missed, len(rollout.weights))


def _between(allowed: float, worse_by: float) -> tuple[float, float]:
    allowed = max(allowed, LEAST_ALLOWED)
    return allowed, min(allowed + worse_by, 1 - LEAST_ALLOWED)


def _failed(result: Result) -> bool:
    return not result.status or result.status >= FIRST_BAD or bool(result.grpc_status)


def _slower_than(seconds: float) -> Callable[[Result], bool]:
    return lambda result: result.duration_ms >= seconds * 1000
