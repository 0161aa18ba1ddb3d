"""A sequential test of a split: it ends as soon as the verdict is safe; its error rates hold whenever one looks.

Wald's sequential probability ratio test ("Sequential Analysis", 1947), for each arm and either direction: the arm's
share is as written, against a share that deviates by `deviation`. A ratio of likelihoods is a martingale, so by
Ville's inequality it exceeds 1/a at any time at all with a probability of at most a. Hence it may be looked at after
each request or after each hundred: looking more seldom makes neither error more frequent.

- A false alarm: a split that is as written is said to deviate. All tests together do so at most with `false_alarm`.
- A miss: an arm that deviates by `deviation` or more passes. Each arm does so at most with `missed`, since its own
  test has to accept it.
- Between the two the verdict may be either: nobody is promised one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from mesh_lab.harness.statistics import FALSE_ALARM

DEVIATION, MISSED = 0.05, 1e-3


class Verdict(Enum):
    """What is known of a split."""

    AS_WRITTEN = "as written"
    DEVIATES = "deviates"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Rates:
    """The error rates of a test (probabilities), and the deviation that it is to find (a difference of shares)."""

    false_alarm: float = FALSE_ALARM
    missed: float = MISSED
    deviation: float = DEVIATION

    def __post_init__(self) -> None:
        """Refuse numbers that are no rates.

        Raises:
            ValueError: naming the first of them.
        """
        for name in ("false_alarm", "missed", "deviation"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, which is not between 0 and 1")


THE_USUAL = Rates()


@dataclass(frozen=True, slots=True)
class Side:
    """The test of one arm against a share that is higher, or lower, than written."""

    arm: str
    written: float
    other: float

    def log_ratio(self, hits: int, trials: int) -> float:
        """The logarithm of the likelihood of the other share over that of the written one."""
        return _term(hits, self.other, self.written) + _term(trials - hits, 1 - self.other, 1 - self.written)

    @property
    def direction(self) -> str:
        """As words have it."""
        return "more" if self.other > self.written else "less"


def _term(count: int, other: float, written: float) -> float:
    if count == 0:
        return 0.0
    return count * math.log(other / written) if other > 0 else -math.inf


def sides(weights: Mapping[str, float], deviation: float) -> list[Side]:
    """The tests of a split. Of two arms one determines the other; an arm that has all or nothing needs none.

    Where a share cannot deviate by so much, the other share is 0, or 1: that the arm is missing, or has everything.
    """
    total = sum(weights.values())
    shares = {name: weight / total for name, weight in weights.items() if 0 < weight < total}
    tested = list(shares)[:1] if len(shares) == 2 else list(shares)
    return [
        Side(name, shares[name], other)
        for name in tested
        for other in (min(shares[name] + deviation, 1.0), max(shares[name] - deviation, 0.0))
    ]


class SplitTest:
    """A split that is being tested.

    Raises:
        ValueError: no weights, a negative one, or rates that are none.
    """

    def __init__(self, weights: Mapping[str, float], rates: Rates = THE_USUAL) -> None:
        if not weights or sum(weights.values()) <= 0 or min(weights.values()) < 0:
            raise ValueError(f"weights {dict(weights)} must not be negative and must add up to more than 0")
        self.rates = rates
        self._weights = dict(weights)
        self._open = sides(weights, rates.deviation)
        self._alarm = math.log(max(len(self._open), 1) / rates.false_alarm)
        self._accept = math.log(rates.missed)
        self.deviating: Side | None = None
        self.strangers: dict[str, int] = {}

    def look(self, counts: Mapping[str, int]) -> Verdict:
        """The verdict on all counts until now. Once it is safe it stays as it is."""
        # A share of nothing that has something needs no statistics.
        self.strangers = {name: count for name, count in counts.items() if count and not self._weights.get(name)}
        if self.strangers or self.deviating is not None:
            return Verdict.DEVIATES
        trials = sum(counts.values())
        ratios = [(side, side.log_ratio(counts.get(side.arm, 0), trials)) for side in self._open]
        self.deviating = next((side for side, ratio in ratios if ratio >= self._alarm), None)
        if self.deviating is not None:
            return Verdict.DEVIATES
        # A test that has accepted is over: what comes later does not count against it.
        self._open = [side for side, ratio in ratios if ratio > self._accept]
        return Verdict.UNDECIDED if self._open or not trials else Verdict.AS_WRITTEN


@dataclass(frozen=True, slots=True)
class Characteristic:
    """How a test of two arms ends: probabilities of its verdicts, and requests at the median and at most 99 in 100."""

    as_written: float
    deviates: float
    median: int
    nearly_all: int


def characteristic(
    share: float, true_share: float, rates: Rates = THE_USUAL, *, batch: int = 1, most: int = 20_000
) -> Characteristic:
    """The operating characteristic of a test of two arms, computed and not simulated.

    `share` is written for the first arm, `true_share` is what it gets. By dynamic programming over the counts that a
    test can have without having ended; what is less likely than 1e-18 is left out.
    """
    up, down = sides({"first": share, "second": 1 - share}, rates.deviation)
    alarm, accept = math.log(2 / rates.false_alarm), math.log(rates.missed)
    steps = [(hits, _binomial(hits, batch, true_share)) for hits in range(batch + 1)]
    alive: dict[tuple[int, bool, bool], float] = {(0, True, True): 1.0}
    ended = {Verdict.AS_WRITTEN: 0.0, Verdict.DEVIATES: 0.0}
    marks: dict[float, int] = {}
    for trials in range(batch, most + 1, batch):
        following: dict[tuple[int, bool, bool], float] = {}
        for (hits, up_open, down_open), mass in alive.items():
            for more, chance in steps:
                if mass * chance > _NEGLIGIBLE:
                    key = (hits + more, up_open, down_open)
                    following[key] = following.get(key, 0.0) + mass * chance
        alive = {}
        for (hits, up_open, down_open), mass in following.items():
            ratios = (
                up.log_ratio(hits, trials) if up_open else -math.inf,
                down.log_ratio(hits, trials) if down_open else -math.inf,
            )
            if max(ratios) >= alarm:
                ended[Verdict.DEVIATES] += mass
            elif max(ratios) <= accept:
                ended[Verdict.AS_WRITTEN] += mass
            else:
                key = (hits, ratios[0] > accept, ratios[1] > accept)
                alive[key] = alive.get(key, 0.0) + mass
        done = sum(ended.values())
        for mark in (0.5, 0.99):
            if done >= mark:
                marks.setdefault(mark, trials)
        if not alive:
            break
    return Characteristic(
        ended[Verdict.AS_WRITTEN], ended[Verdict.DEVIATES], marks.get(0.5, most), marks.get(0.99, most)
    )


_NEGLIGIBLE = 1e-18


def _binomial(hits: int, trials: int, share: float) -> float:
    return math.comb(trials, hits) * share**hits * (1 - share) ** (trials - hits)
