"""Exact tests for what is random by design: traffic splits and random endpoints.

A guessed tolerance is either so wide that a broken split passes or so narrow that a right one fails now and
then. Here a test states its false-alarm rate (how often it may fail although all is well), and the counts it accepts
follow from the binomial distribution, computed and not approximated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist

FALSE_ALARM = 1e-6


@dataclass(frozen=True, slots=True)
class Interval:
    """The counts that a test accepts, both ends included."""

    low: int
    high: int

    def __contains__(self, count: object) -> bool:
        return isinstance(count, int) and self.low <= count <= self.high

    def __str__(self) -> str:
        return f"{self.low}..{self.high}"


@dataclass(frozen=True, slots=True)
class Arm:
    """One share of a split: what was expected, what came, what would have been accepted."""

    name: str
    probability: float
    expected: float
    observed: int
    accepted: Interval

    @property
    def ok(self) -> bool:
        """Whether the observed count is accepted."""
        return self.observed in self.accepted


def log_probability(successes: int, trials: int, probability: float) -> float:
    """The logarithm of P(X = successes) for X binomial; minus infinity for what cannot be."""
    if not 0 <= successes <= trials:
        return -math.inf
    if probability in (0.0, 1.0):
        return 0.0 if successes == trials * probability else -math.inf
    ways = math.lgamma(trials + 1) - math.lgamma(successes + 1) - math.lgamma(trials - successes + 1)
    return ways + successes * math.log(probability) + (trials - successes) * math.log1p(-probability)


def binomial_interval(trials: int, probability: float, false_alarm: float = FALSE_ALARM) -> Interval:
    """The narrowest interval of counts each of whose tails has a probability of at most half of `false_alarm`.

    Raises:
        ValueError: a number out of its range.
    """
    if trials < 0:
        raise ValueError(f"{trials} trials")
    if not 0 <= probability <= 1:
        raise ValueError(f"{probability} is no probability")
    if not 0 < false_alarm < 1:
        raise ValueError(f"a false-alarm rate of {false_alarm} is not between 0 and 1")
    low = _first_likely(trials, probability, false_alarm / 2)
    return Interval(low, trials - _first_likely(trials, 1 - probability, false_alarm / 2))


def _first_likely(trials: int, probability: float, tail: float) -> int:
    """The smallest count c with P(X <= c) above `tail`: all below it together are at most as likely as `tail`."""
    total = 0.0
    for count in range(trials + 1):
        total += math.exp(log_probability(count, trials, probability))
        if total > tail:
            return count
    return trials


def split_arms(
    observed: Mapping[str, int], weights: Mapping[str, float], false_alarm: float = FALSE_ALARM
) -> list[Arm]:
    """Hold each arm of a split against its weight.

    The arms' counts depend on each other, so each is tested at `false_alarm` divided by the number of tests
    (Bonferroni): taken together they raise at most `false_alarm`. Of two arms one determines the other. An arm without
    weight must have a count of 0.

    Raises:
        ValueError: no weights, or a negative one.
    """
    total_weight = sum(weights.values())
    if total_weight <= 0 or min(weights.values()) < 0:
        raise ValueError(f"weights {dict(weights)} must not be negative and must add up to more than 0")
    trials = sum(observed.values())
    uncertain = sum(0 < weight < total_weight for weight in weights.values())
    each = false_alarm / (1 if uncertain == 2 else max(uncertain, 1))
    return [
        Arm(
            name=name,
            probability=weight / total_weight,
            expected=trials * weight / total_weight,
            observed=observed.get(name, 0),
            accepted=binomial_interval(trials, weight / total_weight, each),
        )
        for name, weight in weights.items()
    ]


def tolerance(trials: int, probability: float, false_alarm: float = FALSE_ALARM) -> float:
    """The widest accepted difference from the expected share, in percentage points: a test's resolution."""
    accepted = binomial_interval(trials, probability, false_alarm)
    expected = trials * probability
    return max(expected - accepted.low, accepted.high - expected) / trials * 100


def wilson_interval(hits: int, trials: int, confidence: float) -> tuple[float, float]:
    """Bounds of a share that was seen `hits` times in `trials` (Wilson, 1927): to be shown, not to be tested with."""
    if not trials:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, weight = hits / trials, z * z / trials
    middle = (share + weight / 2) / (1 + weight)
    reach = z * math.sqrt(share * (1 - share) / trials + weight / (4 * trials)) / (1 + weight)
    return max(middle - reach, 0.0), min(middle + reach, 1.0)


def repeats(sequence: list[str]) -> int:
    """How often an element equals the one before it: one time in k for k random endpoints, never when taking turns."""
    return sum(first == second for first, second in pairwise(sequence))
