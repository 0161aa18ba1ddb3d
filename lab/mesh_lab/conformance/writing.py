"""A report's files, and its table in the summary of a job of GitHub's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mesh_lab.conformance import markdown, page
from mesh_lab.conformance.report import FILE, Report, encoded

PAGE_FILE = "conformance.html"
SUMMARY_VARIABLE = "GITHUB_STEP_SUMMARY"


def write(report: Report, folder: Path) -> None:
    """Write `conformance.json` and `conformance.html`.

    Raises:
        OSError: the folder cannot be written to.
    """
    (folder / FILE).write_bytes(encoded(report))
    (folder / PAGE_FILE).write_text(page.rendered(report), encoding="utf-8")


def shown_in_github(report: Report, environ: Mapping[str, str]) -> None:
    """Append the table to the job's summary, in a workflow of GitHub's.

    Raises:
        OSError: the file that GitHub names cannot be written to.
    """
    if file := environ.get(SUMMARY_VARIABLE):
        with Path(file).open("a", encoding="utf-8") as summary:
            summary.write(markdown.summary(report))
