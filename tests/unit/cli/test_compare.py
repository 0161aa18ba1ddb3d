"""`mesh-lab compare`: two reports, and what is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mesh_lab.conformance.report import Report
from mesh_lab.conformance.writing import write
from tests.unit.cli.running import run
from tests.unit.conformance.reports import FAULT, SPLIT, outcome, report

GOOD = report({SPLIT: outcome(SPLIT, numbers={"v2_ratio": 0.25}), FAULT: outcome(FAULT, "not supported")})
BAD = report({SPLIT: outcome(SPLIT, "fails", numbers={"v2_ratio": 0.5}, failure=("not split\x1b[31m", "x"))}, None)


def written(folder: Path, made: Report) -> str:
    folder.mkdir()
    write(made, folder)
    return folder.name


@pytest.fixture
def both(tmp_path: Path) -> tuple[str, str]:
    return written(tmp_path / "good", GOOD), written(tmp_path / "bad", BAD)


def test_what_the_second_fails_is_shown_and_is_a_failure(tmp_path: Path, both: tuple[str, str]) -> None:
    good, bad = both
    outcome = run(tmp_path, "compare", good, f"{bad}/conformance.json")
    assert outcome.code == 1
    lines = outcome.out.splitlines()
    assert lines[0] == (
        "A: kind: Kubernetes v1.35.0, Istio 1.30.3, Envoy 1.38.0; 1 passes, 1 not supported; 2026-01-02T03:04:05Z"
    )
    assert lines[1] == "B: no cluster was reached; 1 fails; 2026-01-02T03:04:05Z"
    assert [line.split() for line in lines[3:6]] == [
        ["FEATURE", "PROTOCOL", "RESOURCE", "A", "B", "WHY"],
        ["faults/abort", "HTTP/1.1", "HTTPRoute", "not", "supported", "absent"],
        ["traffic/split", "HTTP/2", "HTTPRoute", "passes", "fails", "not", "split[31m"],
    ]
    assert lines[8].split() == ["traffic/split", "HTTP/2", "HTTPRoute", "v2_ratio", "0.25", "0.5", "+0.25"]


def test_the_other_way_round_nothing_is_broken(tmp_path: Path, both: tuple[str, str]) -> None:
    good, bad = both
    assert run(tmp_path, "compare", bad, good).code == 0
    same = run(tmp_path, "compare", good, good)
    assert (same.code, same.err) == (0, "")
    assert "The verdicts are the same." in same.out


def test_json_has_the_same_for_programs(tmp_path: Path, both: tuple[str, str]) -> None:
    outcome = run(tmp_path, "compare", *both, "-o", "json")
    assert outcome.code == 1
    found = json.loads(outcome.out)
    assert found["clusters"] == ["kind: Kubernetes v1.35.0, Istio 1.30.3, Envoy 1.38.0", None]
    assert [each["broken"] for each in found["verdicts"]] == [False, True]
    assert found["numbers"] == [
        {
            "feature": "traffic/split",
            "protocol": "http2",
            "api": "httproute",
            "number": "v2_ratio",
            "before": 0.25,
            "after": 0.5,
            "difference": 0.25,
        }
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("good", "nowhere"), "cannot read nowhere: No such file or directory"),
        (("good", "."), "cannot read conformance.json: No such file or directory"),
        (("good", "other.json"), "other.json is no report of `pytest --mesh-conformance`"),
        (("good", "later.json"), "later.json is of schema_version 7; this mesh-lab reads 1"),
        (("good", "good", "-o", "xml"), "unknown output format 'xml'"),
        (("good",), "Missing argument 'B'"),
    ],
)
def test_what_is_no_report_is_wrong_usage(
    tmp_path: Path, both: tuple[str, str], arguments: tuple[str, ...], message: str
) -> None:
    (tmp_path / "other.json").write_text('{"windows": []}')
    (tmp_path / "later.json").write_text('{"schema_version": 7}')
    outcome = run(tmp_path, "compare", *arguments)
    assert outcome.code == 2
    assert message in outcome.err
    assert "Traceback" not in outcome.err
