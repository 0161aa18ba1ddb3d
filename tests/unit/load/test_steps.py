"""The search for a breakpoint: what its steps measure, and where it ends."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mesh_lab.load.limits import parse
from tests.unit.load.modules import loaded

steps = loaded("steps")
stepping = loaded("stepping")


def searched(breaks_at: float, count: int = 4, peak: float = 100, limit: str = "p99>50ms") -> Any:
    """A search in a system whose latency goes from 10 to 100 ms at a level."""
    search = steps.Search(peak, count, 5.0)
    running = stepping.Stepping(search, [parse(limit)])
    requests: dict[float, int] = {}
    for second in range(count * 5 + 1):
        snapshot = steps.Snapshot(float(second), steps.Totals(sum(requests.values()), 0, dict(requests)), {}, {}, {})
        level = running.level(float(second), snapshot)
        if level is None:
            return search
        latency = 100.0 if level >= breaks_at else 10.0
        requests[latency] = requests.get(latency, 0) + round(level)
    raise AssertionError("it does not end")


def test_it_ends_at_the_first_level_that_breaks_a_limit() -> None:
    found = searched(60).found()
    assert (found["held"], found["broke"]) == (50, 75)
    assert [step["level"] for step in found["steps"]] == [25, 50, 75]
    assert found["steps"][-1]["broken"] == ["p99>50ms: it is 100"]
    # What the step before has left behind is no part of a step.
    assert [step["p50_ms"] for step in found["steps"]] == [10, 10, 100]
    assert [step["requests_per_second"] for step in found["steps"]] == [25, 50, 75]


def test_it_says_when_nothing_breaks_and_when_nothing_holds() -> None:
    assert searched(1000).found()["held"] == 100
    assert searched(1000).found()["broke"] is None
    assert (searched(1).found()["held"], searched(1).found()["broke"]) == (None, 25)


@given(st.floats(1, 120), st.integers(1, 12), st.floats(1, 1000))
def test_it_finds_the_level_whatever_the_steps(breaks_at: float, count: int, peak: float) -> None:
    found = searched(breaks_at, count, max(peak, float(count) * 2)).found()
    levels = [step["level"] for step in found["steps"]]
    assert all(level < breaks_at for level in levels[:-1])
    assert found["held"] is None or found["held"] < breaks_at
    assert found["broke"] is None or found["broke"] >= breaks_at


def test_users_are_whole_numbers_and_no_level_comes_twice() -> None:
    search = steps.Search(3, 10, 5.0, whole=True)
    found = []
    while not search.over:
        found.append(search.level)
        search.close({}, [])
    assert found == [1, 2, 3]


def test_a_step_whose_tasks_wait_ever_more_is_broken_without_a_limit() -> None:
    search = steps.Search(10, 1, 5.0)
    running = stepping.Stepping(search, [])
    total = steps.Totals(10, 0, {5.0: 10})
    running.level(1.0, steps.Snapshot(1.0, steps.Totals(), {}, {}, {"due": 0, "begun": 0}))
    assert running.level(5.0, steps.Snapshot(5.0, total, {}, {}, {"due": 40, "begun": 10})) is None
    assert search.steps[0]["broken"] == ["of 40 tasks that were due, 30 had not begun"]


def test_a_step_without_an_answer_does_not_hold() -> None:
    search = steps.Search(10, 1, 5.0)
    running = stepping.Stepping(search, [])
    nothing = steps.Totals()
    for second in (1.0, 5.0):
        running.level(second, steps.Snapshot(second, nothing, {}, {}, {}))
    assert search.held is None
    assert search.steps[0]["broken"] == ["no request was answered"]


def test_endpoints_and_versions_of_a_step_are_those_of_the_step() -> None:
    before = steps.Snapshot(
        0.0, steps.Totals(10, 1, {5.0: 10}), {("GET", "/a"): steps.Totals(10, 1, {5.0: 10})}, {"v1": 10}, {}
    )
    after = steps.Snapshot(
        2.0,
        steps.Totals(30, 1, {5.0: 20, 7.0: 10}),
        {("GET", "/a"): steps.Totals(20, 1, {5.0: 20}), ("GET", "/b"): steps.Totals(10, 0, {7.0: 10})},
        {"v1": 20, "v2": 10},
        {},
    )
    found = after.since(before)
    assert (found["requests"], found["failures"], found["requests_per_second"]) == (20, 0, 10)
    assert [(each["name"], each["requests"], each["p99_ms"]) for each in found["endpoints"]] == [
        ("/a", 10, 5.0),
        ("/b", 10, 7.0),
    ]
    assert found["versions"] == {"v1": 10, "v2": 10}
