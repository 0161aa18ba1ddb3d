"""A run's figures over time, out of the windows of its load.json, as tables and plots have them. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mesh_lab.load.comparing import quantile

SHARES = (0.5, 0.9, 0.99)
ARRIVALS = ("due", "late", "dropped")


@dataclass(frozen=True, slots=True)
class Point:
    """A window: its start and length in seconds, latencies in milliseconds, versions by their share (0 to 1).

    A latency is None where nothing was answered. `arrivals` is empty for users that wait for their answers.
    """

    start: float
    seconds: float
    requests: int
    failures: int
    latencies: tuple[float | None, ...]
    versions: Mapping[str, float]
    arrivals: Mapping[str, int]

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds


def points(windows: Sequence[Mapping[str, Any]]) -> list[Point]:
    """The windows of a run, in their order."""
    found, start = [], 0.0
    for window in windows:
        seen = sum(window["versions"].values())
        found.append(
            Point(
                start,
                window["seconds"],
                window["requests"],
                window["failures"],
                tuple(quantile(share)([window]) if window["latencies_ms"] else None for share in SHARES),
                {name: count / seen for name, count in window["versions"].items() if seen},
                window.get("arrivals", {}),
            )
        )
        start += window["seconds"]
    return found


def versions(found: Sequence[Point]) -> list[str]:
    """All versions that any window has."""
    return sorted({name for point in found for name in point.versions})


def as_csv(found: Sequence[Point], marks: Sequence[Mapping[str, Any]] = ()) -> str:
    """A line for each window, with a header and the changes within it. Empty fields are of what was not measured."""
    names, open_model = versions(found), any(point.arrivals for point in found)
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(
        [
            *("start_s", "seconds", "requests", "requests_per_second", "failures"),
            *(f"p{share * 100:g}_ms" for share in SHARES),
            *(ARRIVALS if open_model else ()),
            *(f"share({name})" for name in names),
            "changes",
        ]
    )
    for point in found:
        lines.writerow(
            [
                *(f"{point.start:g}", f"{point.seconds:g}", point.requests, f"{point.rate:.1f}", point.failures),
                *("" if latency is None else f"{latency:g}" for latency in point.latencies),
                *((point.arrivals.get(name, 0) for name in ARRIVALS) if open_model else ()),
                *(f"{point.versions[name]:.4f}" if name in point.versions else "" for name in names),
                "; ".join(
                    f"{mark['resource']} {mark['what']}"
                    for mark in marks
                    if point.start <= mark["at"] < point.start + point.seconds
                ),
            ]
        )
    return text.getvalue()
