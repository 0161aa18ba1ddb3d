"""A run's figures, in lines for a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mesh_lab.load import page

RATE_SECONDS = 12.0
"""Locust's current rate is an average over ten seconds up to two seconds ago: too low until the run is that long."""

_ERRORS_SHOWN = 3


def progress(figures: Mapping[str, Any]) -> str:
    """The line of a second."""
    young = figures["seconds"] < RATE_SECONDS
    rate = figures["requests_per_second" if young else "current_requests_per_second"]
    p50, p99 = figures["p50_ms"], figures["p99_ms"]
    latency = f"p50 {p50:.0f} ms  p99 {p99:.0f} ms  {figures['failures']} errors"
    return f"{figures['seconds']:6.0f} s  {figures['users']:4} users  {rate:8.1f} requests/s  {latency}"


def summary(figures: Mapping[str, Any], reports: Path) -> Iterator[str]:
    """The lines of the whole run."""
    versions = figures["versions"]
    seen = sum(versions.values()) or 1
    shares = ", ".join(f"{name} {count / seen:.1%} ({count})" for name, count in versions.items()) or "none seen"
    yield ""
    yield f"requests          {figures['requests']} in {figures['seconds']:.0f} s"
    yield f"requests/s        {figures['requests_per_second']:.1f}"
    yield f"p50 / p90 / p99   {figures['p50_ms']:.0f} / {figures['p90_ms']:.0f} / {figures['p99_ms']:.0f} ms"
    yield f"errors            {figures['failures']} ({figures['error_ratio']:.2%})"
    for error in figures.get("errors", ())[:_ERRORS_SHOWN]:
        where = f"{error['method']} {error['name']}".strip()
        yield f"                  {error['count']} times {where}: {error['error']}"
    for each in figures.get("exceptions", ())[:_ERRORS_SHOWN]:
        yield f"                  {each['count']} times raised at {each['where']}: {each['error']}"
    if "arrivals" in figures:
        yield f"arrivals          {_arrivals(figures)}"
    yield f"versions          {shares}"
    yield from _search(figures.get("breakpoint"))
    yield from _trend(figures.get("trend"))
    yield from _changes(figures)
    yield f"reports           {reports}/{', '.join(_written())}"


def _arrivals(figures: Mapping[str, Any]) -> str:
    found = figures["arrivals"]
    text = f"{found['due']}, of them {found['late']} late ({figures['late_ratio']:.2%})"
    lost = found["dropped"] + found["unfinished"]
    return f"{text}, {lost} without an answer ({figures['dropped_ratio']:.2%})"


def _search(found: Mapping[str, Any] | None) -> Iterator[str]:
    if found is None:
        return
    for step in found["steps"]:
        why = f"  broke {'; '.join(step['broken'])}" if step["broken"] else ""
        yield (
            f"  at {step['level']:8g}    {step['requests_per_second']:.1f} requests/s  p50 {step['p50_ms']:.0f} ms  "
            f"p99 {step['p99_ms']:.0f} ms  {step['failures']} errors{why}"
        )
    held = "none" if found["held"] is None else f"{found['held']:g}"
    beyond = "no limit broke" if found["broke"] is None else f"{found['broke']:g} broke a limit"
    yield f"highest that held {held} ({beyond})"


def _trend(found: Sequence[Mapping[str, Any]] | None) -> Iterator[str]:
    if found is None:
        return
    if not found:
        yield "second half       too short to be held against the first"
    for each in found:
        yield (
            f"second half       {each['figure']} {each['before']:.4g} then {each['after']:.4g}: {each['verdict']} "
            f"({each['low']:+.4g} to {each['high']:+.4g} within 99%)"
        )


def _changes(figures: Mapping[str, Any]) -> Iterator[str]:
    for mark in figures.get("marks", ()):
        done = mark["acknowledged"]
        known = "not acknowledged" if done is None else f"acknowledged after {done - mark['at']:.3f} s"
        yield f"change            at {mark['at']:.1f} s: {mark['resource']} {mark['what']}, {known}"
    for each in (*figures.get("marks_missing", ()), *figures.get("usage_missing", ())):
        yield f"not followed      {each}"


def _written() -> list[str]:
    lacks = page.missing()
    html = f"no report.html, for {' and '.join(lacks)} is missing (mesh-lab[load])" if lacks else "report.html"
    return [html, "load.html", "load.json", "windows.csv", "load_stats.csv"]
