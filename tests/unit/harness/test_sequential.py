"""The sequential test of a split: its error rates are computed, and kept by simulated meshes."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh_lab.harness.sequential import (
    DEVIATION,
    MISSED,
    Rates,
    SplitTest,
    Verdict,
    characteristic,
    sides,
)
from mesh_lab.harness.statistics import FALSE_ALARM
from tests.bench import bench_statistics

LOOSE = Rates(false_alarm=0.02, missed=0.05, deviation=0.1)


def run(weights: Mapping[str, float], shares: Mapping[str, float], draws: random.Random, rates: Rates) -> Verdict:
    """A mesh that gives these shares, tested for these weights ten requests at a time."""
    test, counts = SplitTest(weights, rates), Counter[str]()
    for _ in range(2000):
        counts.update(draws.choices(list(shares), list(shares.values()), k=10))
        if (verdict := test.look(counts)) is not Verdict.UNDECIDED:
            return verdict
    return Verdict.UNDECIDED


@pytest.mark.parametrize("share", [0.9, 0.75, 0.99])
def test_a_split_as_written_raises_an_alarm_less_than_once_in_a_million(share: float) -> None:
    found = characteristic(share, share)
    assert found.deviates <= FALSE_ALARM
    assert found.as_written == pytest.approx(1, abs=2 * FALSE_ALARM)


@pytest.mark.parametrize(("share", "real"), [(0.9, 0.95), (0.9, 0.85), (0.75, 0.8), (0.99, 0.94)])
def test_five_points_are_missed_less_than_once_in_a_thousand(share: float, real: float) -> None:
    found = characteristic(share, real)
    assert found.as_written <= MISSED
    assert found.deviates >= 1 - MISSED - 1e-6


def test_an_unchanged_ninety_to_ten_takes_under_1500_requests_at_the_median() -> None:
    for batch in (1, 100):
        assert characteristic(0.9, 0.9, batch=batch).median < 1500


def test_looking_more_seldom_makes_no_error_more_frequent() -> None:
    often, seldom = (characteristic(0.9, 0.85, batch=batch) for batch in (1, 100))
    assert seldom.as_written <= often.as_written
    assert characteristic(0.9, 0.9, batch=100).deviates <= characteristic(0.9, 0.9).deviates


def test_the_computed_characteristic_is_that_of_the_test() -> None:
    draws, weights = random.Random(4), {"v1": 80.0, "v2": 20.0}
    for real in (0.8, 0.73, 0.9):
        shares = {"v1": real, "v2": 1 - real}
        seen = Counter(run(weights, shares, draws, LOOSE) for _ in range(1500))
        expected = characteristic(0.8, real, LOOSE, batch=10)
        # Four standard deviations of 1,500 runs are at most 5.2 points.
        assert seen[Verdict.DEVIATES] / 1500 == pytest.approx(expected.deviates, abs=0.052)


THREE = {"v1": 70.0, "v2": 20.0, "v3": 10.0}


def test_of_three_arms_each_that_deviates_is_found() -> None:
    draws = random.Random(5)
    for shares in ({"v1": 60, "v2": 30, "v3": 10}, {"v1": 70, "v2": 5, "v3": 25}, {"v1": 80, "v2": 20}):
        assert {run(THREE, shares, draws, Rates()) for _ in range(30)} == {Verdict.DEVIATES}
    assert {run(THREE, THREE, draws, Rates()) for _ in range(60)} == {Verdict.AS_WRITTEN}


def test_the_arm_that_deviates_is_named_with_its_direction() -> None:
    test = SplitTest({"v1": 90, "v2": 10})
    assert test.look({"v1": 600, "v2": 400}) is Verdict.DEVIATES
    assert test.deviating is not None
    assert (test.deviating.arm, test.deviating.direction) == ("v1", "less")


def test_an_answer_of_a_version_without_a_share_needs_no_statistics() -> None:
    for weights in ({"v1": 100.0, "v2": 0.0}, {"v1": 100.0}):
        test = SplitTest(weights)
        assert test.look({"v1": 10_000, "v2": 1}) is Verdict.DEVIATES
        assert test.strangers == {"v2": 1}


def test_all_to_one_is_as_written_after_the_first_answers() -> None:
    test = SplitTest({"v1": 100, "v2": 0})
    assert test.look({}) is Verdict.UNDECIDED
    assert test.look({"v1": 100}) is Verdict.AS_WRITTEN


def test_a_version_that_has_nothing_of_its_small_share_is_found() -> None:
    test = SplitTest({"v1": 98, "v2": 2})
    assert test.look({"v1": 300}) is Verdict.UNDECIDED
    assert test.look({"v1": 1000}) is Verdict.DEVIATES


def test_a_verdict_stays_as_it_is() -> None:
    test = SplitTest({"v1": 50, "v2": 50})
    assert test.look({"v1": 900, "v2": 100}) is Verdict.DEVIATES
    assert test.look({"v1": 900, "v2": 900}) is Verdict.DEVIATES


WEIGHTS = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 100), min_size=1).filter(
    lambda w: sum(w.values()) > 0
)


@given(WEIGHTS, st.sampled_from([0.01, 0.05, 0.3]))
def test_each_uncertain_arm_is_tested_in_both_directions(weights: dict[str, int], deviation: float) -> None:
    uncertain = [name for name, weight in weights.items() if 0 < weight < sum(weights.values())]
    found = sides(weights, deviation)
    assert len(found) == (2 if len(uncertain) == 2 else 2 * len(uncertain))
    for side in found:
        assert 0 <= side.other <= 1
        assert side.other != side.written
        assert abs(side.other - side.written) <= deviation + 1e-12


@given(WEIGHTS, st.dictionaries(st.sampled_from("abcde"), st.integers(0, 10_000)))
def test_any_counts_have_a_verdict(weights: dict[str, int], counts: dict[str, int]) -> None:
    verdict = SplitTest(weights).look(counts)
    if any(count and not weights.get(name) for name, count in counts.items()):
        assert verdict is Verdict.DEVIATES
    elif not sum(counts.values()):
        assert verdict is Verdict.UNDECIDED


@pytest.mark.parametrize("weights", [{}, {"v1": 0}, {"v1": 5, "v2": -1}])
def test_weights_that_are_none_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must not be negative and must add up"):
        SplitTest(weights)


@pytest.mark.parametrize("field", ["false_alarm", "missed", "deviation"])
def test_rates_that_are_none_are_refused_by_name(field: str) -> None:
    for value in (0.0, 1.0, -0.1):
        with pytest.raises(ValueError, match=f"{field} is"):
            Rates(**{field: value})


def test_the_deviation_is_five_points() -> None:
    assert DEVIATION == 0.05


def test_the_page_has_the_curves_that_are_computed() -> None:
    page = (Path(__file__).parents[3] / "docs" / "statistics.md").read_text(encoding="utf-8").splitlines()
    listed = [line for line in page if line.startswith("| ")][1:]
    cases = [(written, real) for written, reals in bench_statistics.CASES.items() for real in reals]
    assert len(listed) == len(cases)
    lines = dict(zip(cases, listed, strict=True))
    for case in ((0.9, 0.9), (0.9, 0.85), (0.99, 0.94)):
        assert lines[case] == bench_statistics.row(*case)
