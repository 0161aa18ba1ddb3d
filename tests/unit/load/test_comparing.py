"""Two runs compared: noise is no difference, a difference is one."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from mesh_lab.load.comparing import LEAST_WINDOWS, compare, table


def made(
    seed: int, *, slow: float = 0.0, failing: float = 0.0, rate: int = 60, length: int = 30
) -> list[dict[str, Any]]:
    """A run of so many seconds: latencies about 8 ms, a part of them 20 ms slower, a part of them failed."""
    draws, rows = random.Random(seed), []
    for _ in range(length):
        requests = rate + draws.randint(-8, 8)
        mood = draws.uniform(0.8, 1.2)  # the requests of a second have something in common
        latencies = Counter(
            float(round(mood * draws.gauss(8, 1.5) + 20 * (draws.random() < slow))) for _ in range(requests)
        )
        failures = sum(draws.random() < failing for _ in range(requests))
        row = {"seconds": 1, "requests": requests, "failures": failures, "latencies_ms": sorted(latencies.items())}
        rows.append(row)
    return rows


def verdicts(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> dict[str, str]:
    return {each.figure: each.verdict for each in compare(before, after)}


def test_noise_is_no_difference() -> None:
    found = Counter(verdict for seed in range(6) for verdict in verdicts(made(seed), made(seed + 100)).values())
    # One in a hundred intervals leaves the truth out.
    assert found["no difference shown"] >= 28


def test_slower_answers_are_worse() -> None:
    found = verdicts(made(1), made(2, slow=0.3))
    assert found["p90"] == found["p99"] == "worse"
    assert found["requests/s"] == found["errors"] == "no difference shown"


def test_further_errors_are_worse_and_fewer_are_better() -> None:
    assert verdicts(made(1), made(2, failing=0.05))["errors"] == "worse"
    assert verdicts(made(2, failing=0.05), made(1))["errors"] == "better"


def test_a_higher_rate_is_better() -> None:
    assert verdicts(made(1), made(2, rate=80))["requests/s"] == "better"


def test_the_same_files_give_the_same_verdict() -> None:
    assert compare(made(1), made(2)) == compare(made(1), made(2))


def test_a_run_that_is_too_short_is_refused() -> None:
    with pytest.raises(ValueError, match="the second run has 4 windows of time, and 5 are needed"):
        compare(made(1), made(2, length=LEAST_WINDOWS - 1))


def test_the_table_says_each_figure_with_its_bounds() -> None:
    lines = table(compare(made(1), made(2, slow=0.3)))
    assert [line.split()[0] for line in lines[1:]] == ["requests/s", "errors", "p50", "p90", "p99"]
    assert lines[-1].endswith("worse")
