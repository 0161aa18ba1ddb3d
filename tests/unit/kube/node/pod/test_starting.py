"""Restarts wait as Kubernetes documents it."""

from __future__ import annotations

import pytest

from mesh_lab.kube.node.pod.starting import RestartBackoff, go_duration


def test_first_restart_is_immediate_then_the_wait_doubles_to_five_minutes() -> None:
    backoff = RestartBackoff()
    assert [backoff.failed() for _ in range(8)] == [0, 10, 20, 40, 80, 160, 300, 300]


def test_a_run_of_ten_minutes_resets_the_back_off() -> None:
    backoff = RestartBackoff()
    for _ in range(4):
        backoff.failed(5)
    assert backoff.failed(599) == 80
    assert backoff.failed(600) == 0
    assert backoff.failed(1) == 10


@pytest.mark.parametrize(("seconds", "words"), [(10, "10s"), (80, "1m20s"), (300, "5m0s")])
def test_durations_read_as_in_kubernetes(seconds: float, words: str) -> None:
    assert go_duration(seconds) == words
