"""A run in windows of time."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.load.modules import loaded

windows = loaded("windows")


def recorded(seconds: list[int]) -> list[dict[str, Any]]:
    """The rows of a run with so many requests in each second, all of 5 ms and of v1, the tenth of them failed."""
    found, requests, failures = windows.Windows(), 0, 0
    for each in seconds:
        requests += each
        failures += each // 10
        found.add(requests, failures, {5.0: requests}, {"v1": requests})
    rows: list[dict[str, Any]] = found.rows()
    return rows


def test_a_second_has_what_came_in_it() -> None:
    assert recorded([20, 0, 7])[0] == {
        "seconds": 1,
        "requests": 20,
        "failures": 2,
        "latencies_ms": [(5.0, 20)],
        "versions": {"v1": 20},
    }
    assert [row["requests"] for row in recorded([20, 0, 7])] == [20, 0, 7]


@given(st.lists(st.integers(0, 50), min_size=1, max_size=400))
def test_a_long_run_has_longer_windows_and_loses_none(seconds: list[int]) -> None:
    rows = recorded(seconds)
    length = rows[0]["seconds"]
    assert len(rows) <= windows.MOST
    assert len(rows) == len(seconds) // length
    assert {row["seconds"] for row in rows} == {length}
    for index, row in enumerate(rows):
        assert row["requests"] == sum(seconds[index * length : (index + 1) * length])
        assert row["failures"] == sum(each // 10 for each in seconds[index * length : (index + 1) * length])
        assert sum(count for _, count in row["latencies_ms"]) == row["requests"]


def test_what_is_forgotten_is_not_counted_again() -> None:
    found = windows.Windows()
    found.add(100, 3, {5.0: 100}, {})
    found.clear()
    found.add(4, 0, {5.0: 4}, {})
    assert [row["requests"] for row in found.rows()] == [4]


def test_the_seconds_after_the_last_arrival_and_answer_are_no_part_of_an_open_run() -> None:
    def counted(arrivals: list[int]) -> list[int]:
        found, due = windows.Windows(), 0
        for each in arrivals:
            due += each
            found.add(due, 0, {5.0: due}, {}, {"due": due} if any(arrivals) else None)
        return [row["requests"] for row in found.rows()]

    assert counted([5, 0, 5, 0, 0]) == [5, 0, 5]
    # Users that wait for an answer are a run without any.
    assert counted([0, 0, 0]) == [0, 0, 0]
