"""A report as a page, and in GitHub's summary: whatever a test says is text there."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh_lab.conformance import markdown, page
from mesh_lab.conformance.features import Case
from mesh_lab.conformance.report import Cluster
from mesh_lab.conformance.writing import shown_in_github
from tests.unit.conformance.reports import CLUSTER, FAULT, SPLIT, outcome, report

NASTY = '<script>alert("1")</script> & | `x` *y*\nnext'
MADE = report(
    {
        SPLIT: outcome(SPLIT, numbers={"v2_ratio": 0.3125}, duration_s=1.25),
        FAULT: outcome(FAULT, "not supported", reason="the Gateway API has no faults"),
        Case("security/identity", "http1", "none"): outcome(
            Case("security/identity", "http1", "none"), "fails", test=f"t.py::test_x[{NASTY}]", failure=(NASTY, "b")
        ),
    }
)


class Read(HTMLParser):
    """The tags of a page, what they load, and their texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.loads: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.loads += [
            name
            for name, value in attrs
            if name in ("src", "href", "onload", "style") and not str(value).startswith("#")
        ]

    def handle_data(self, data: str) -> None:
        self.text += f"{data}\n"


def test_the_page_has_each_verdict_with_its_numbers_reason_and_failure() -> None:
    text = Read(page.rendered(MADE)).text
    for shown in (
        str(CLUSTER),
        "traffic/split",
        "one of ten goes to v2",
        "v2_ratio 0.3125",
        "✓ HTTPRoute",
        "– HTTPRoute",
        "✗ no resource",
        "the Gateway API has no faults",
        "1 passes, 1 fails, 1 not supported, 0 not run",
        "2026-01-02T03:04:05Z, mesh-lab 1.0, git abc",
        NASTY,
    ):
        assert shown in text, shown


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    read = Read(page.rendered(MADE))
    boxes = {"h1", "h2", "p", "div", "pre", "table", "tr", "th", "td"}
    assert read.tags == {"html", "head", "meta", "title", "style", "body", "a"} | boxes
    assert read.loads == []
    assert "url(" not in page.rendered(MADE)


@given(st.text())
def test_whatever_a_failure_says_adds_no_markup(said: str) -> None:
    plain, strange = (
        Read(page.rendered(report({SPLIT: outcome(SPLIT, "fails", failure=(text,))}))) for text in ("x", said or "x")
    )
    assert plain.tags == strange.tags


def test_a_run_without_a_cluster_says_so_and_one_that_is_half_known_says_what_is_not() -> None:
    assert "No test has reached a cluster." in page.rendered(report({}, None))
    assert "no test has reached a cluster" in markdown.summary(report({}, None))
    half = Cluster("existing", unknown=("Envoy's version: no proxy is ready",))
    assert str(half) == "existing: Kubernetes ?, unknown control plane, Envoy ?"
    assert "no proxy is ready" in page.rendered(report({}, half))


def test_githubs_summary_has_a_row_for_each_feature_and_what_failed() -> None:
    summary = markdown.summary(MADE)
    assert "| traffic/split |  | ✅ HTTPRoute |  |  |" in summary
    assert "| faults/abort | ➖ HTTPRoute |  |  |  |" in summary
    assert "| security/identity | ❌ no resource |  |  |  |" in summary
    assert "    b\n" in summary
    rows = [line for line in summary.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in rows} == {6}


@given(st.text())
def test_whatever_a_test_is_called_is_no_markup_of_githubs(name: str) -> None:
    escaped = markdown.escaped(name)
    assert "\n" not in escaped
    assert "<" not in escaped
    assert not re.search(r"(?<!\\)(?:\\\\)*[|`*_\[\]]", escaped)


def test_the_summary_is_appended_where_github_names_a_file(tmp_path: Path) -> None:
    file = tmp_path / "summary.md"
    file.write_text("before\n")
    shown_in_github(MADE, {"GITHUB_STEP_SUMMARY": str(file)})
    assert file.read_text() == f"before\n{markdown.summary(MADE)}"
    shown_in_github(MADE, {})


@pytest.mark.parametrize("line", ["", "```", "    indented", "| a |"])
def test_lines_of_a_failure_stay_a_block_of_code(line: str) -> None:
    summary = markdown.summary(report({SPLIT: outcome(SPLIT, "fails", failure=(line, "end"))}))
    assert f"\n\n    {line}\n    end\n" in summary
