"""The lines that a person sees of a load run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mesh_lab.load import figures


def test_a_young_run_shows_its_mean_rate() -> None:
    """Locust's current rate is of the ten seconds before the last two, which there are not yet."""
    seen = {"users": 5, "failures": 0, "p50_ms": 5, "p99_ms": 9, "requests_per_second": 80.0}
    moments = ((1.0, 0.0), (4.0, 51.0), (15.0, 99.0))
    lines = [figures.progress(seen | {"seconds": at, "current_requests_per_second": rate}) for at, rate in moments]
    assert [line.split()[4] for line in lines] == ["80.0", "80.0", "99.0"]


def test_the_summary_names_the_shares() -> None:
    seen: dict[str, Any] = {
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
    assert "versions          v1 75.0% (75), v3 25.0% (25)" in list(figures.summary(seen, Path("reports")))
