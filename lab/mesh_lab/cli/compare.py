"""`mesh-lab compare`: two reports of `pytest --mesh-conformance` side by side."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mesh_lab.cli.console import chosen, say, table
from mesh_lab.conformance.comparing import Comparison
from mesh_lab.conformance.comparing import compare as compared
from mesh_lab.conformance.features import APIS, PROTOCOLS, Case
from mesh_lab.conformance.report import Report, read
from mesh_lab.errors import LabError


def compare(first: Path, second: Path, output: str) -> None:
    """Print what differs.

    Raises:
        LabError: a file is no report, or the output format is not known.
        SystemExit: with code 1, when the second fails what the first passes.
    """
    show = chosen({"text": _text, "json": _json}, output)
    reports = _read(first), _read(second)
    found = compared(*reports)
    show(reports, found)
    if found.broken:
        raise SystemExit(1)


def _read(path: Path) -> Report:
    try:
        return read(path)
    except OSError as error:
        raise LabError(f"cannot read {error.filename or path}: {error.strerror}", exit_code=2) from error
    except ValueError as error:
        raise LabError(str(error), hint="`pytest --mesh-conformance=DIR` writes one.", exit_code=2) from error


def _text(reports: Sequence[Report], found: Comparison) -> None:
    for name, report in zip("AB", reports, strict=True):
        say(f"{name}: {_about(report)}")
    say()
    if found.verdicts:
        rows = [[*_words(each.case), each.before, each.after, _line(each.why)] for each in found.verdicts]
        table(["FEATURE", "PROTOCOL", "RESOURCE", "A", "B", "WHY"], rows)
    else:
        say("The verdicts are the same.")
    if found.numbers:
        say()
        rows = [
            [*_words(each.case), each.name, f"{each.before:g}", f"{each.after:g}", f"{each.difference:+.4g}"]
            for each in found.numbers
        ]
        table(["FEATURE", "PROTOCOL", "RESOURCE", "NUMBER", "A", "B", "DIFFERENCE"], rows)


def _json(reports: Sequence[Report], found: Comparison) -> None:
    verdicts = [
        {**_named(each.case), "before": each.before, "after": each.after, "broken": each.broken, "why": each.why}
        for each in found.verdicts
    ]
    numbers = [
        {
            **_named(each.case),
            "number": each.name,
            "before": each.before,
            "after": each.after,
            "difference": each.difference,
        }
        for each in found.numbers
    ]
    clusters = [str(report.cluster) if report.cluster else None for report in reports]
    say(json.dumps({"clusters": clusters, "verdicts": verdicts, "numbers": numbers}, indent=2))


def _about(report: Report) -> str:
    totals = ", ".join(f"{count} {verdict}" for verdict, count in report.totals().items() if count)
    return f"{report.cluster or 'no cluster was reached'}; {totals or 'no cases'}; {report.made.time}"


def _words(case: Case) -> Iterator[str]:
    yield case.feature
    yield PROTOCOLS.get(case.protocol, case.protocol)
    yield APIS.get(case.api, case.api)


def _named(case: Case) -> dict[str, Any]:
    return {"feature": case.feature, "protocol": case.protocol, "api": case.api}


def _line(text: str) -> str:
    """The first line, without what a terminal would obey."""
    line = text.splitlines()[0] if text else ""
    return "".join(each for each in line if each.isprintable())
