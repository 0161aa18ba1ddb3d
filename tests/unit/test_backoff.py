"""Delays double from failure to failure, up to the longest."""

from __future__ import annotations

from mesh_lab.backoff import Backoff, delay


def test_delays_double_to_the_longest_and_begin_anew_after_a_success() -> None:
    backoff = Backoff(0.5, 3)
    assert [backoff.next() for _ in range(5)] == [0.5, 1, 2, 3, 3]
    backoff.reset()
    assert backoff.next() == 0.5


def test_no_number_of_failures_is_too_large() -> None:
    assert delay(1_000_000, 0.005, 16) == 16
