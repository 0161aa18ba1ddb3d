"""A report is written and read again, and what is none is told apart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh_lab.conformance.features import APIS, PROTOCOLS, Case
from mesh_lab.conformance.report import FILE, VERDICTS, Outcome, Report, encoded, read
from mesh_lab.conformance.writing import write
from tests.unit.conformance.reports import CLUSTER, FAULT, SPLIT, outcome, report

_CASES = st.builds(
    Case,
    st.from_regex(r"[a-z]{1,5}/[a-z]{1,5}", fullmatch=True),
    st.sampled_from(sorted(PROTOCOLS)),
    st.sampled_from(sorted(APIS)),
)
_NUMBERS = st.dictionaries(st.just("seen_count"), st.floats(allow_nan=False, allow_infinity=False))


@st.composite
def reports(draw: st.DrawFn) -> Report:
    cases = draw(st.sets(_CASES, max_size=8))
    return report(
        {
            case: Outcome(
                case.protocol,
                case.api,
                draw(st.text()),
                draw(st.sampled_from(VERDICTS)),
                numbers=draw(_NUMBERS),
                reason=draw(st.text()),
                failure=tuple(draw(st.lists(st.text(), max_size=3))),
            )
            for case in cases
        }
    )


@given(reports())
def test_what_is_written_is_what_is_read(tmp_path_factory: pytest.TempPathFactory, made: Report) -> None:
    folder = tmp_path_factory.mktemp("report")
    write(made, folder)
    assert read(folder) == read(folder / FILE) == made


def test_features_and_cases_are_sorted_and_counted() -> None:
    other = Case("traffic/split", "grpc", "grpcroute")
    made = report({SPLIT: outcome(SPLIT), other: outcome(other, "fails"), FAULT: outcome(FAULT, "not supported")})
    assert [feature.name for feature in made.features] == ["faults/abort", "traffic/split"]
    assert [case for case, _ in made.cases()] == [FAULT, SPLIT, other]
    assert made.totals() == {"passes": 1, "fails": 1, "not supported": 1, "not run": 0}


def test_the_names_of_a_test_reads_as_a_sentence() -> None:
    assert outcome(SPLIT).sentence == "one of ten goes to v2"


def test_the_file_says_what_the_page_says_that_it_does() -> None:
    found = json.loads(encoded(report({SPLIT: outcome(SPLIT, numbers={"v2_ratio": 0.3}, duration_s=1.5)})))
    assert found["schema_version"] == 1
    assert found["made"] == {"time": "2026-01-02T03:04:05Z", "versions": {"mesh-lab": "1.0"}, "git": "abc"}
    assert found["cluster"] == {
        "kind": "kind",
        "kubernetes": "v1.35.0",
        "control_plane": "Istio",
        "control_plane_version": "1.30.3",
        "envoy": "1.38.0",
        "unknown": [],
    }
    (feature,) = found["features"]
    assert feature == {
        "name": "traffic/split",
        "cases": [
            {
                "protocol": "http2",
                "api": "httproute",
                "test": "tests/test_mesh.py::test_one_of_ten_goes_to_v2[http2-httproute]",
                "verdict": "passes",
                "duration_s": 1.5,
                "numbers": {"v2_ratio": 0.3},
                "reason": "",
                "failure": [],
            }
        ],
    }


def test_a_field_of_a_later_version_is_passed_over(tmp_path: Path) -> None:
    found = json.loads(encoded(report({SPLIT: outcome(SPLIT)}))) | {"weather": "fine"}
    (tmp_path / FILE).write_text(json.dumps(found))
    assert read(tmp_path).cluster == CLUSTER


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "is no report of `pytest --mesh-conformance`"),
        ("[]", "is no report"),
        ("{}", "missing required field `schema_version`"),
        ('{"schema_version": 1}', "missing required field `made`"),
        ('{"schema_version": 2}', "is of schema_version 2; this mesh-lab reads 1"),
        ('{"schema_version": "1"}', r"Expected `int`, got `str` - at `\$.schema_version`"),
        ("\xff", "is no report"),
    ],
)
def test_what_is_no_report_is_told_apart_with_its_name(tmp_path: Path, text: str, wrong: str) -> None:
    file = tmp_path / "other.json"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=wrong) as failure:
        read(file)
    assert str(failure.value).startswith(str(file))


def test_a_verdict_that_there_is_not_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(encoded(report({SPLIT: outcome(SPLIT)})).replace(b'"passes"', b'"flies"'))
    with pytest.raises(ValueError, match=r"Invalid enum value 'flies' - at `\$.features\[0\].cases\[0\].verdict`"):
        read(tmp_path)
