"""Whether a version keeps to what it has to, by sequential tests that end as soon as the verdict is safe.

Each criterion is a ratio of bad requests that is allowed (those that fail; those over a latency), against one that is
worse by a stated amount: Wald's sequential probability ratio test, as for splits (`harness/sequential.py`, where its
error rates are derived). A latency at a quantile is such a ratio, too: p99 under 250 ms allows one request of a
hundred to take longer.

Where the canary is compared, each criterion has a second test. Of the bad requests of both versions, the canary has a
part that follows from its weight and from how many times as often its requests are bad; how often they are is not
needed. So each bad request is a trial, and the tests of several steps are one: their ratios multiply.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from mesh_lab.harness.results import Result
from mesh_lab.harness.sequential import Side
from mesh_lab.rollout.settings import SUCCESS, Rollout, latency_name

FIRST_BAD = 500
Counts = Mapping[str, int]
"""How many requests of a version were bad, by criterion."""
Ratios = Mapping[str, float]
"""Logarithms of the likelihood of what is worse over that of what is allowed, by criterion."""
NOTHING: Ratios = {}


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
class Comparison:
    """How many times as often as the stable version's the canary's requests may be bad, and what is to be found."""

    times: float
    worse: float

    def log_ratio(self, weight: float, canary: int, stable: int) -> float:
        """The logarithm of the likelihood of the worse over the allowed, by the bad requests of both at a weight.

        At the weights 0 and 100 there is nothing to compare with.
        """
        allowed, worse = (times * weight / (times * weight + 100 - weight) for times in (self.times, self.worse))
        return Side("canary", allowed, worse).log_ratio(canary, canary + stable) if 0 < weight < 100 else 0.0


@dataclass(frozen=True, slots=True)
class Judge:
    """The criteria, and the bounds that their ratios of likelihoods have to leave for a verdict.

    `false_alarm` is of the whole rollout, so each of its tests has its part of it; `missed` is of each step.
    """

    criteria: Sequence[Criterion]
    false_alarm: float
    missed: float
    steps: int
    comparison: Comparison | None = None

    @property
    def bad_above(self) -> float:
        """A version is bad as soon as a ratio's logarithm is this.

        There is a test for each criterion at each step, that of the stable version included, and one of each
        comparison.
        """
        tests = len(self.criteria) * (self.steps + 1 + bool(self.comparison))
        return math.log(tests / self.false_alarm)

    @property
    def good_below(self) -> float:
        """A version is good when the logarithms of all its own ratios are at most this."""
        return math.log(self.missed)

    def ratios(self, trials: int, bad: Counts) -> Ratios:
        """The logarithms of the ratios of likelihoods, of so many requests of which so many were bad."""
        return {each.name: each.log_ratio(bad.get(each.name, 0), trials) for each in self.criteria}

    def compared(self, weight: float, canary: Counts, stable: Counts, before: Ratios = NOTHING) -> Ratios:
        """Those of the comparison at a weight, on top of those of the steps before; none where there is none."""
        if self.comparison is None:
            return {}
        return {
            each.name: before.get(each.name, 0.0)
            + self.comparison.log_ratio(weight, canary.get(each.name, 0), stable.get(each.name, 0))
            for each in self.criteria
        }

    def look(self, own: Ratios, compared: Ratios = NOTHING) -> Verdict:
        """The verdict. A comparison can only fail a version: where nothing is bad, it shows nothing."""
        if max((*own.values(), *compared.values())) >= self.bad_above:
            return Verdict.BAD
        return Verdict.GOOD if max(own.values()) <= self.good_below else Verdict.OPEN

    def bad_of(self, results: Sequence[Result]) -> list[Result]:
        """Those that were bad by any criterion."""
        return [result for result in results if any(each.bad(result) for each in self.criteria)]

    def count(self, results: Sequence[Result]) -> dict[str, int]:
        """How many of these were bad, by criterion."""
        return {each.name: sum(each.bad(result) for result in results) for each in self.criteria}


def judge_of(rollout: Rollout) -> Judge:
    """The judge of a rollout."""
    tests = {SUCCESS: failed} | {latency_name(share): _slower_than(bound) for share, bound in rollout.bounds.items()}
    criteria = [Criterion(name, *ratios, tests[name]) for name, ratios in rollout.ratios.items()]
    asked, rates = rollout.compare, rollout.rates
    comparison = Comparison(asked.times, asked.worse) if asked else None
    return Judge(tuple(criteria), rates.false_alarm, rates.missed, len(rollout.weights), comparison)


def failed(result: Result) -> bool:
    """Whether a request was not answered, or with an error of the server's."""
    return not result.status or result.status >= FIRST_BAD or bool(result.grpc_status)


def _slower_than(seconds: float) -> Callable[[Result], bool]:
    return lambda result: result.duration_ms >= seconds * 1000
