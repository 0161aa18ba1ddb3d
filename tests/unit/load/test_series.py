"""Figures over time."""

from __future__ import annotations

import csv
import io
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mesh_lab.load import series

WINDOWS = st.lists(
    st.builds(
        lambda latencies, failures, versions: {
            "seconds": 2,
            "requests": sum(latencies.values()),
            "failures": failures,
            "latencies_ms": sorted(latencies.items()),
            "versions": versions,
        },
        st.dictionaries(st.integers(1, 9000), st.integers(1, 50), max_size=5),
        st.integers(0, 5),
        st.dictionaries(st.sampled_from(["v1", "v2", 'v"3,']), st.integers(0, 50), max_size=3),
    ),
    max_size=10,
)


@given(WINDOWS)
def test_the_csv_says_what_the_windows_say(windows: list[dict[str, Any]]) -> None:
    lines = list(csv.DictReader(io.StringIO(series.as_csv(series.points(windows)))))
    assert len(lines) == len(windows)
    for number, (line, window) in enumerate(zip(lines, windows, strict=True)):
        assert float(line["start_s"]) == number * 2
        assert int(line["requests"]) == window["requests"]
        latencies = [latency for latency, _ in window["latencies_ms"]]
        if latencies:
            assert min(latencies) <= float(line["p50_ms"]) <= float(line["p99_ms"]) <= max(latencies)
        else:
            assert line["p50_ms"] == line["p99_ms"] == ""
        shares = [float(value) for name, value in line.items() if name.startswith("share") and value]
        assert not shares or abs(sum(shares) - 1) < 0.001


def test_arrivals_have_columns_where_there_are_any() -> None:
    window = {"seconds": 1, "requests": 0, "failures": 0, "latencies_ms": [], "versions": {}}
    assert "due" not in series.as_csv(series.points([window]))
    text = series.as_csv(series.points([window, {**window, "arrivals": {"due": 7, "late": 2}}]))
    assert text.splitlines()[0].endswith("due,late,dropped,changes")
    assert text.splitlines()[2].endswith("7,2,0,")


def test_a_change_stands_in_the_window_that_it_was_made_in() -> None:
    window = {"seconds": 2, "requests": 0, "failures": 0, "latencies_ms": [], "versions": {}}
    marks = [{"at": 2.0, "resource": "VirtualService a/b", "what": "changed"}, {"at": -1, "resource": "x", "what": "y"}]
    lines = list(csv.DictReader(io.StringIO(series.as_csv(series.points([window, window]), marks))))
    assert [line["changes"] for line in lines] == ["", "VirtualService a/b changed"]
