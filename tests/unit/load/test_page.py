"""The report of a run as one page."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from mesh_lab.load import page
from mesh_lab.load.plots import panels
from mesh_lab.load.settings import Settings

WINDOW = {"seconds": 1, "requests": 10, "failures": 1, "latencies_ms": [(5, 9), (200, 1)], "versions": {"v1": 9}}
ENDPOINT = {"method": "GET", "name": "/a<b>", "requests": 20, "failures": 2}
FIGURES = {"p50_ms": 5, "p90_ms": 5, "p95_ms": 5, "p99_ms": 200, "max_ms": 200.5}
MARK = {"at": 0.5, "what": "changed", "resource": "VirtualService default/reviews", "acknowledged": 0.62, "why": ""}
RUN: dict[str, Any] = {
    "requests": 20,
    "failures": 2,
    "seconds": 2.0,
    "requests_per_second": 10.0,
    "error_ratio": 0.1,
    **FIGURES,
    "versions": {"v1": 18},
    "windows": [WINDOW, WINDOW],
    "endpoints": [{**ENDPOINT, **FIGURES}],
    "errors": [{"count": 2, "method": "GET", "name": "/a", "error": "<script>alert(1)</script>"}],
    "exceptions": [],
    "marks": [MARK, {**MARK, "acknowledged": None, "why": "details: pending"}],
    "marks_missing": ["Gateway: forbidden"],
    "usage": {"shop/cart-0": [[0.5, 0.25, 70_000_000], [1.5, 0.5, 71_000_000]]},
    "usage_missing": [],
    "broken_limits": ["errors>0: it is 0.1"],
    "settings": Settings("steady", 20, 5.0, 30.0, 2, "http://gateway", 250.0, 0.0, ui=False).asked(),
    "made": {"time": "2026-01-31T10:15:00Z", "versions": {"locust": "2.47.0"}, "git": "abc"},
}


class References(HTMLParser):
    """What a browser would fetch for a page; and its text outside of scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.text: list[str] = []
        self.inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = tag
        self.found += [f"{tag} {name}={value}" for name, value in attrs if name in ("src", "href", "data", "action")]

    def handle_data(self, data: str) -> None:
        if self.inside not in ("script", "style"):
            self.text.append(data)
        elif self.inside == "style":
            self.found += re.findall(r"url\([^)]*\)|@import.*", data)

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""


@pytest.fixture(scope="module")
def parsed() -> References:
    found = References()
    found.feed(page.page(RUN))
    return found


def test_a_page_fetches_nothing(parsed: References) -> None:
    assert parsed.found == []


@pytest.mark.parametrize(
    "text",
    [
        "errors>0: it is 0.1",
        "VirtualService default/reviews",
        "0.120 s",
        "not seen: details: pending",
        "Not followed: Gateway: forbidden",
        "/a<b>",
        "<script>alert(1)</script>",
        "http://gateway",
        "2.47.0",
        "2026-01-31T10:15:00Z, git abc",
    ],
)
def test_it_says_what_the_run_was_and_did_and_escapes_it(parsed: References, text: str) -> None:
    assert text in " ".join("".join(parsed.text).split())


def test_its_plots_have_all_that_was_measured_over_time() -> None:
    found = {panel.title: panel for panel in panels(RUN)}
    assert list(found) == ["Rate", "Latency", "Errors", "Versions", "Processors of proxies", "Memory of proxies"]
    assert [line.name for line in found["Latency"].lines] == ["p50", "p90", "p99"]
    assert found["Latency"].lines[2].values == [200, 200]
    assert found["Rate"].lines[0].at == [0.5, 1.5]
    assert found["Processors of proxies"].lines[0] == ("shop/cart-0", [0.5, 1.5], [0.25, 0.5], False)
    assert found["Memory of proxies"].lines[0].values == [70, 71]


def test_what_was_not_measured_has_no_plot_and_is_said() -> None:
    bare = RUN | {"usage": {}, "usage_missing": ["node a: 403 forbidden"], "windows": [WINDOW | {"versions": {}}]}
    assert [panel.title for panel in panels(bare)] == ["Rate", "Latency", "Errors"]
    assert "usage is known: node a: 403 forbidden" in page.page(bare)
    assert page.page(RUN | {"windows": [], "usage": {}})


def test_a_search_a_trend_and_arrivals_are_told() -> None:
    step = {"level": 25.0, "requests_per_second": 25.1, **FIGURES, "failures": 0, "broken": ["p99>50ms: it is 200"]}
    trend = {"figure": "p99", "before": 5, "after": 9, "low": 1, "high": 7, "verdict": "worse"}
    more = {
        "breakpoint": {"held": None, "broke": 25.0, "steps": [step]},
        "trend": [trend],
        "arrivals": {"due": 40, "late": 3, "dropped": 1, "unfinished": 1},
        "late_ratio": 0.075,
        "dropped_ratio": 0.05,
    }
    text = page.page(RUN | more)
    for part in ("Highest level that held: none", "p99&gt;50ms: it is 200", "worse", "3 begun late (7.50%)"):
        assert part in text


def test_it_is_told_which_packages_are_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert page.missing() == []
    monkeypatch.setattr(page, "find_spec", lambda name: None if name == "plotly" else name)
    assert page.missing() == ["plotly"]
