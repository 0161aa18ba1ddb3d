"""The lines that a person sees of a load run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mesh_lab.load import figures

SEEN: dict[str, Any] = {
    "requests": 100,
    "seconds": 10.0,
    "requests_per_second": 10.0,
    "p50_ms": 5,
    "p90_ms": 9,
    "p99_ms": 20,
    "failures": 1,
    "error_ratio": 0.01,
    "versions": {"v1": 75, "v3": 25},
}


def test_a_young_run_shows_its_mean_rate() -> None:
    """Locust's current rate is of the ten seconds before the last two, which there are not yet."""
    seen = {"users": 5, "failures": 0, "p50_ms": 5, "p99_ms": 9, "requests_per_second": 80.0}
    moments = ((1.0, 0.0), (4.0, 51.0), (15.0, 99.0))
    lines = [figures.progress(seen | {"seconds": at, "current_requests_per_second": rate}) for at, rate in moments]
    assert [line.split()[4] for line in lines] == ["80.0", "80.0", "99.0"]


def test_the_summary_names_the_shares() -> None:
    assert "versions          v1 75.0% (75), v3 25.0% (25)" in list(figures.summary(SEEN, Path("reports")))


def test_the_summary_tells_arrivals_steps_halves_and_changes() -> None:
    step = {"level": 20.0, "requests_per_second": 20.1, "p50_ms": 5, "p99_ms": 9, "failures": 0, "broken": []}
    half = {"figure": "p99", "before": 5, "after": 9, "low": 1, "high": 7, "verdict": "worse"}
    mark = {"at": 3.0, "acknowledged": 3.25, "resource": "VirtualService a/b", "what": "changed"}
    more = {
        "arrivals": {"due": 200, "begun": 198, "late": 20, "dropped": 2, "unfinished": 1},
        "late_ratio": 0.1,
        "dropped_ratio": 0.015,
        "breakpoint": {"held": 20.0, "broke": 40.0, "steps": [step, {**step, "level": 40.0, "broken": ["p99>8ms"]}]},
        "trend": [half],
        "marks": [mark, {**mark, "acknowledged": None}],
        "usage_missing": ["node a: forbidden"],
        "exceptions": [{"count": 3, "where": "users.py:7", "error": "not mine"}],
    }
    lines = list(figures.summary(SEEN | more, Path("reports")))
    for text in (
        "arrivals          200, of them 20 late (10.00%), 3 without an answer (1.50%)",
        "  at       40    20.1 requests/s  p50 5 ms  p99 9 ms  0 errors  broke p99>8ms",
        "highest that held 20 (40 broke a limit)",
        "second half       p99 5 then 9: worse (+1 to +7 within 99%)",
        "change            at 3.0 s: VirtualService a/b changed, acknowledged after 0.250 s",
        "change            at 3.0 s: VirtualService a/b changed, not acknowledged",
        "not followed      node a: forbidden",
        "                  3 times raised at users.py:7: not mine",
    ):
        assert text in lines
