"""A report as one page of HTML that opens without a network: no script, no font, no image.

It is built as a tree of elements, so that what a test or a cluster says is text and never markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from xml.etree.ElementTree import Element, SubElement, tostring

from mesh_lab.conformance.features import APIS, PROTOCOLS
from mesh_lab.conformance.report import Feature, Outcome, Report, Verdict

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; color: #1f2328 }
h1 { font-size: 1.5rem } h2 { font-size: 1.1rem; margin-top: 2rem; border-bottom: 1px solid #d0d7de }
table { border-collapse: collapse; width: 100%; table-layout: fixed } th { text-align: left; font-weight: 600 }
th, td { padding: .3rem .6rem; border-bottom: 1px solid #d8dee4; vertical-align: top; overflow-wrap: anywhere }
.cases th:nth-child(1) { width: 7.5rem } .cases th:nth-child(2) { width: 5rem } .cases th:nth-child(3) { width: 11rem }
.cases th:nth-child(5) { width: 14rem } .cases th:nth-child(6) { width: 4.5rem } .all th:first-child { width: 16rem }
pre { background: #f6f8fa; padding: .6rem; margin: .3rem 0 0; white-space: pre-wrap; overflow-wrap: anywhere }
.verdict { font-weight: 600 } .test { color: #59636e }
.passes { color: #1a7f37 } .fails { color: #cf222e } .not-supported { color: #9a6700 } .not-run { color: #59636e }
"""
_MARKS: Mapping[Verdict, str] = {"passes": "✓", "fails": "✗", "not supported": "–", "not run": "·"}
_COLUMNS = ("verdict", "protocol", "resource", "what it shows", "seen", "seconds")


def rendered(report: Report) -> str:
    """The page."""
    html = Element("html", lang="en")
    head = SubElement(html, "head")
    SubElement(head, "meta", charset="utf-8")
    _text(head, "title", "Mesh conformance")
    _text(head, "style", _STYLE)
    body = SubElement(html, "body")
    _text(body, "h1", "Mesh conformance")
    for line in _about(report):
        _text(body, "p", line)
    _overview(body, report)
    for feature in report.features:
        _feature(body, feature)
    return f"<!DOCTYPE html>\n{tostring(html, encoding='unicode', method='html')}\n"


def _about(report: Report) -> list[str]:
    cluster, made = report.cluster, report.made
    versions = ", ".join(f"{name} {version}" for name, version in made.versions.items())
    return [
        str(cluster) if cluster else "No test has reached a cluster.",
        *(cluster.unknown if cluster else ()),
        f"{made.time}, {versions}, git {made.git or 'unknown'}",
        ", ".join(f"{count} {verdict}" for verdict, count in report.totals().items()),
    ]


def _overview(body: Element, report: Report) -> None:
    """Every verdict at a glance: a row for each feature, which leads to its cases."""
    table = SubElement(body, "table", {"class": "all"})
    _header(table, ["feature", *PROTOCOLS.values()])
    for feature in report.features:
        row = SubElement(table, "tr")
        _text(SubElement(row, "td"), "a", feature.name).set("href", f"#{feature.name}")
        for protocol in PROTOCOLS:
            cell = SubElement(row, "td")
            for outcome in feature.cases:
                if outcome.protocol == protocol:
                    shown = f"{_MARKS[outcome.verdict]} {APIS.get(outcome.api, outcome.api)}"
                    _text(cell, "div", shown, _kind(outcome)).set("title", outcome.verdict)


def _feature(body: Element, feature: Feature) -> None:
    _text(body, "h2", feature.name).set("id", feature.name)
    table = SubElement(body, "table", {"class": "cases"})
    _header(table, _COLUMNS)
    for outcome in feature.cases:
        _row(table, outcome)


def _header(table: Element, columns: Iterable[str]) -> None:
    header = SubElement(table, "tr")
    for column in columns:
        _text(header, "th", column)


def _kind(outcome: Outcome) -> str:
    """The class of an element that tells a verdict."""
    return outcome.verdict.replace(" ", "-")


def _row(table: Element, outcome: Outcome) -> None:
    row = SubElement(table, "tr")
    _text(row, "td", outcome.verdict, f"verdict {_kind(outcome)}")
    _text(row, "td", PROTOCOLS.get(outcome.protocol, outcome.protocol))
    _text(row, "td", APIS.get(outcome.api, outcome.api))
    shown = _text(row, "td", outcome.sentence)
    _text(shown, "div", outcome.test, "test")
    if outcome.reason:
        _text(shown, "div", outcome.reason)
    if outcome.failure:
        _text(shown, "pre", "\n".join(outcome.failure))
    seen = SubElement(row, "td")
    for name, number in outcome.numbers.items():
        _text(seen, "div", f"{name} {number:g}", "number")
    _text(row, "td", f"{outcome.duration_s:.1f}")


def _text(parent: Element, tag: str, text: str, kind: str = "") -> Element:
    element = SubElement(parent, tag, {"class": kind} if kind else {})
    element.text = _printable(text)
    return element


def _printable(text: str) -> str:
    """Without what no document may hold: control characters, as a server's answer in a failure may have them."""
    return "".join(each if each.isprintable() or each in "\n\t" else "�" for each in text)
