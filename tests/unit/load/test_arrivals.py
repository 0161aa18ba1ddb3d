"""When arrivals are due, and what becomes of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.load.modules import loaded

arrivals = loaded("arrivals")
rates = st.floats(0.5, 500)


@given(rates, st.lists(st.floats(0.001, 3), min_size=1, max_size=50))
def test_a_rate_is_kept_however_seldom_it_is_looked_at(rate: float, pauses: list[float]) -> None:
    schedule = arrivals.Schedule()
    schedule.change(rate, 0.0)
    now, found = 0.0, []
    for pause in pauses:
        now += pause
        found += schedule.due(now)
    assert len(found) == pytest.approx(now * rate + 1, abs=1.01)
    assert found == sorted(found)
    assert all(due <= now for due in found)


@given(rates, rates, st.floats(0.01, 5))
def test_a_change_of_the_rate_neither_loses_nor_doubles_an_arrival(before: float, after: float, moment: float) -> None:
    schedule = arrivals.Schedule()
    schedule.change(before, 0.0)
    first = schedule.due(moment)
    schedule.change(after, moment)
    second = schedule.due(moment + 1 / after)
    assert schedule.due(moment) == []
    assert len(first) == pytest.approx(moment * before + 1, abs=1.01)
    assert len(second) <= 2
    assert all(due >= moment for due in second)


def test_no_rate_has_no_arrivals() -> None:
    schedule = arrivals.Schedule()
    assert (schedule.due(10.0), schedule.next) == ([], None)
    schedule.change(5.0, 10.0)
    schedule.change(0.0, 10.1)
    assert (schedule.due(20.0), schedule.next) == ([], None)


def test_workers_come_in_turn() -> None:
    found = []
    for index in range(3):
        schedule = arrivals.Schedule()
        schedule.change(10.0, 0.0, index / 3)
        found += schedule.due(0.29)
    assert sorted(found) == pytest.approx([number / 30 for number in range(9)])


def test_a_task_waits_from_when_it_was_due() -> None:
    backlog = arrivals.Backlog()
    backlog.add(1.0)
    backlog.add(1.5)
    assert backlog.begin(1.0).waited == 0
    assert backlog.begin(2.0).waited == 0.5
    assert backlog.begin(2.0) is None
    assert backlog.counts.take() == {"due": 2, "begun": 2, "ended": 0, "late": 1, "dropped": 0}
    assert backlog.counts.take()["due"] == 0


def test_what_nobody_begins_with_is_dropped_and_counted() -> None:
    backlog = arrivals.Backlog()
    for due in range(30):
        backlog.add(float(due))
    assert backlog.begin(30.0).due == 30.0 - arrivals.BACKLOG_SECONDS
    backlog.drop_all()
    counts = backlog.counts.take()
    assert (counts["due"], counts["begun"], counts["dropped"], len(backlog)) == (30, 1, 29, 0)


def test_shares_are_of_what_was_due() -> None:
    counts = {"due": 200, "begun": 190, "late": 20, "dropped": 8, "unfinished": 2}
    assert arrivals.ratios(counts) == {"late_ratio": 0.1, "dropped_ratio": 0.05}
    assert arrivals.ratios({}) == {}


def test_counting_anew_begins_with_the_tasks_that_are_open() -> None:
    counts = {"due": 50, "begun": 45, "ended": 40, "late": 9, "dropped": 3}
    assert arrivals.open_tasks(counts) == 7
    left = arrivals.carried(counts)
    assert left == {"due": 7, "begun": 5}
    # They all end, and nothing is missing then.
    assert arrivals.open_tasks({**left, "ended": 7}) == 0
