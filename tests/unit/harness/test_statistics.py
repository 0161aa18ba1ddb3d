"""The exact tests: their false-alarm rate is what they state, and they find what is wrong."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh_lab.harness.statistics import (
    binomial_interval,
    log_probability,
    repeats,
    split_arms,
    tolerance,
)


def exact(successes: int, trials: int, probability: Fraction) -> Fraction:
    return math.comb(trials, successes) * probability**successes * (1 - probability) ** (trials - successes)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 20))
def test_probabilities_agree_with_fractions(successes: int, trials: int, twentieths: int) -> None:
    probability = Fraction(twentieths, 20)
    expected = float(exact(successes, trials, probability)) if successes <= trials else 0.0
    assert math.exp(log_probability(successes, trials, float(probability))) == pytest.approx(expected, abs=1e-12)


@given(st.integers(1, 80), st.integers(1, 19), st.sampled_from([0.1, 0.01, 1e-4]))
@settings(max_examples=60)
def test_each_tail_is_below_half_of_the_rate_and_no_narrower_interval_is(
    trials: int, twentieths: int, false_alarm: float
) -> None:
    probability = Fraction(twentieths, 20)
    accepted = binomial_interval(trials, float(probability), false_alarm)
    half = Fraction(false_alarm) / 2 * Fraction(1000001, 1000000)
    below = sum((exact(c, trials, probability) for c in range(accepted.low)), Fraction(0))
    above = sum((exact(c, trials, probability) for c in range(accepted.high + 1, trials + 1)), Fraction(0))
    assert below <= half
    assert above <= half
    slack = Fraction(999999, 1000000)
    assert below + exact(accepted.low, trials, probability) > Fraction(false_alarm) / 2 * slack
    assert above + exact(accepted.high, trials, probability) > Fraction(false_alarm) / 2 * slack


def test_the_stated_example_holds() -> None:
    # 4,000 requests at one false alarm in a million tell 3.9 points at a half and 2.4 at nine tenths.
    assert tolerance(4000, 0.5) == pytest.approx(3.9, abs=0.05)
    assert tolerance(4000, 0.9) == pytest.approx(2.4, abs=0.05)


def test_certainty_accepts_one_count() -> None:
    assert (binomial_interval(50, 0.0).low, binomial_interval(50, 0.0).high) == (0, 0)
    assert (binomial_interval(50, 1.0).low, binomial_interval(50, 1.0).high) == (50, 50)
    assert 0 in binomial_interval(0, 0.5)


@pytest.mark.parametrize(
    ("observed", "ok"), [((900, 100), True), ((930, 70), True), ((600, 400), False), ((1000, 0), False)]
)
def test_a_split_of_90_to_10_is_distinguished_from_others(observed: tuple[int, int], ok: bool) -> None:
    arms = split_arms({"v1": observed[0], "v2": observed[1]}, {"v1": 90, "v2": 10})
    assert all(arm.ok for arm in arms) is ok


def test_an_arm_without_weight_must_have_nothing() -> None:
    arms = split_arms({"v1": 999, "v2": 1}, {"v1": 100, "v2": 0})
    assert [arm.ok for arm in arms] == [False, False]
    assert all(arm.ok for arm in split_arms({"v1": 1000, "v2": 0}, {"v1": 100, "v2": 0}))


def test_more_arms_are_each_tested_more_strictly() -> None:
    two = split_arms({"a": 500, "b": 500}, {"a": 1, "b": 1}, 0.01)[0].accepted
    four = split_arms({"a": 500, "b": 250, "c": 125, "d": 125}, {"a": 4, "b": 2, "c": 1, "d": 1}, 0.01)[0].accepted
    assert four.low < two.low
    assert four.high > two.high


@pytest.mark.parametrize("weights", [{}, {"a": 0}, {"a": 2, "b": -1}])
def test_impossible_weights_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        split_arms({"a": 1}, weights)


@pytest.mark.parametrize(("trials", "probability", "rate"), [(-1, 0.5, 0.1), (1, 1.5, 0.1), (1, 0.5, 0.0)])
def test_impossible_numbers_are_refused(trials: int, probability: float, rate: float) -> None:
    with pytest.raises(ValueError):
        binomial_interval(trials, probability, rate)


def test_taking_turns_has_no_repeats() -> None:
    assert repeats(["a", "b"] * 10) == 0
    assert repeats(["a", "a", "b", "b", "b"]) == 3
    assert repeats([]) == 0
