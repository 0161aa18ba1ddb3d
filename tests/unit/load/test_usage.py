"""What kubelets tell of proxies."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh_lab.client.connection import ApiError, ClusterUnreachable
from mesh_lab.load.usage import Reading, Usage, pause, readings, samples

SUMMARY = {
    "pods": [
        {
            "podRef": {"name": "cart-0", "namespace": "shop"},
            "containers": [
                {
                    "name": "istio-proxy",
                    "cpu": {"time": "2026-01-31T10:15:00.5Z", "usageCoreNanoSeconds": 2_500_000_000},
                    "memory": {"rssBytes": 70, "workingSetBytes": 90},
                },
                {"name": "cart", "cpu": {"usageCoreNanoSeconds": 1}, "memory": {"rssBytes": 1}},
            ],
        },
        {"podRef": {"name": "new-0", "namespace": "shop"}, "containers": [{"name": "istio-proxy"}]},
    ]
}


def test_only_proxies_with_numbers_are_read() -> None:
    assert list(readings(SUMMARY)) == [("shop/cart-0", Reading(1769854500.5, 2.5, 70))]
    assert list(readings({})) == []


def test_usage_is_between_readings() -> None:
    taken = [Reading(0, 1.0, 10), Reading(2, 2.0, 20), Reading(2, 2.0, 20), Reading(3, 0.1, 30), Reading(5, 1.1, 40)]
    # The third is an old one again; before the fourth the proxy was restarted.
    assert [(each.at, each.cores, each.memory) for each in samples(taken)] == [(2, 0.5, 20), (5, 0.5, 40)]


@given(st.lists(st.tuples(st.floats(0.1, 10), st.floats(0, 5)), min_size=1, max_size=30))
def test_what_was_used_in_all_is_what_the_last_reading_has_more_than_the_first(
    steps: list[tuple[float, float]],
) -> None:
    taken = [Reading(0, 0, 1)]
    for seconds, used in steps:
        taken.append(Reading(taken[-1].at + seconds, taken[-1].cpu + used, 1))
    found = list(samples(taken))
    lengths = [after.at - before.at for before, after in pairwise(taken)]
    used = sum(each.cores * length for each, length in zip(found, lengths, strict=True))
    assert used == pytest.approx(taken[-1].cpu, abs=1e-6)


class Answers:
    """An API whose nodes answer as told."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    def list_all(self, *_: str) -> list[dict[str, Any]]:
        return [{"metadata": {"name": "one"}}]

    def path(self, *_: str, name: str) -> str:
        return f"/api/v1/nodes/{name}"

    def request(self, _method: str, path: str, timeout: float) -> Any:
        assert path == "/api/v1/nodes/one/proxy/stats/summary"
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_a_refusal_is_told_and_not_asked_for_again() -> None:
    api: Any = Answers(ApiError(403, "nodes is forbidden"))
    usage = Usage(api, 0.001)
    usage.start()
    assert usage._thread is not None
    usage._thread.join(5)
    assert usage.stop() == {}
    assert usage.missing == ["node one: nodes is forbidden"]


def test_a_node_that_does_not_answer_once_is_asked_again() -> None:
    api: Any = Answers(ClusterUnreachable("late"), SUMMARY)
    usage = Usage(api, 0.001)
    assert usage._ask("one")
    assert usage._ask("one")
    assert usage.missing == []
    assert usage._taken == {"shop/cart-0": [Reading(1769854500.5, 2.5, 70)]}


def test_a_long_run_is_looked_at_less_often() -> None:
    assert (pause(10), pause(3600)) == (2, 30)
