"""A report in GitHub's Markdown: the summary of a job, and the table of docs/conformance.md."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from mesh_lab.conformance.features import APIS, PROTOCOLS
from mesh_lab.conformance.report import Feature, Outcome, Report, Verdict

MARKS: dict[Verdict, str] = {"passes": "✅", "fails": "❌", "not supported": "➖", "not run": "◻️"}
_MEANT_AS_TEXT = str.maketrans({each: f"\\{each}" for each in "\\`*_[]|~#"} | {"<": "&lt;", "&": "&amp;", "\n": " "})


def escaped(text: str) -> str:
    """Text that is not to be read as Markdown or HTML, on one line."""
    return text.translate(_MEANT_AS_TEXT)


def summary(report: Report) -> str:
    """What GitHub shows of a run: the cluster, a row for each feature, and what failed."""
    totals = ", ".join(f"{MARKS[verdict]} {count} {verdict}" for verdict, count in report.totals().items())
    cluster = escaped(str(report.cluster)) if report.cluster else "no test has reached a cluster"
    lines = ["## Mesh conformance", "", cluster, "", totals, ""]
    lines += _table(["feature", *PROTOCOLS.values()], [_row(feature) for feature in report.features])
    failed = [(case, outcome) for case, outcome in report.cases() if outcome.verdict == "fails"]
    for case, outcome in failed:
        lines += ["", f"**{escaped(str(case))}**: {escaped(outcome.test)}", *_quoted(outcome.failure)]
    return "\n".join([*lines, "", ""])


def features_table(report: Report) -> list[str]:
    """The features and the resources by which each is shown, whatever came of it; in brackets what has no words."""
    rows = [
        [feature.name, *(", ".join(map(_resource, _of(feature, protocol))) for protocol in PROTOCOLS)]
        for feature in report.features
    ]
    return list(_table(["feature", *PROTOCOLS.values()], rows))


def _row(feature: Feature) -> list[str]:
    cells = ("<br>".join(f"{MARKS[each.verdict]} {APIS[each.api]}" for each in _of(feature, p)) for p in PROTOCOLS)
    return [escaped(feature.name), *cells]


def _resource(outcome: Outcome) -> str:
    return f"({APIS[outcome.api]})" if outcome.verdict == "not supported" else APIS[outcome.api]


def _of(feature: Feature, protocol: str) -> list[Outcome]:
    return [each for each in feature.cases if each.protocol == protocol]


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield f"|{'---|' * len(header)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _quoted(lines: Iterable[str]) -> Iterator[str]:
    """A block of code by its indentation: no character in it ends it."""
    yield ""
    yield from (f"    {line}" for line in lines)
