"""What runs the Gateway API's conformance suite: the parts that need neither Go nor a lab."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from mesh_lab.controlplane.xds.gatewayapi import features
from tests import conformance

LOG = """=== RUN   TestConformance
    --- PASS: TestConformance/A (0.1s)
        --- FAIL: TestConformance/B/part (0.1s)
    --- FAIL: TestConformance/B (0.1s)
    --- SKIP: TestConformance/C (0.0s)
"""


def test_gateways_and_the_mesh_are_parts_with_features_of_their_own() -> None:
    gateways, mesh = conformance.parts_of(conformance.PROFILES)
    assert all(each.startswith("GATEWAY") for each in gateways.profiles)
    assert all(each.startswith("MESH") for each in mesh.profiles)
    assert (gateways.labels, mesh.labels) == ("", "istio-injection=enabled")
    assert "Gateway" in gateways.features
    assert "Mesh" not in gateways.features
    assert "Mesh" in mesh.features
    assert "Gateway" not in mesh.features
    assert {*gateways.features, *mesh.features} == features.SUPPORTED
    (only,) = conformance.parts_of(["MESH-HTTP"])
    assert only.profiles == ("MESH-HTTP",)


def test_reports_become_one(tmp_path: Path) -> None:
    reports = [tmp_path / "gateway.yaml", tmp_path / "mesh.yaml"]
    for report in reports:
        core = {"result": "success", "statistics": {"Passed": 1}}
        written = {"kind": "ConformanceReport", "profiles": [{"name": report.stem, "core": core}]}
        report.write_text(yaml.safe_dump(written))
    report = conformance.joined(reports)
    assert [each["name"] for each in report["profiles"]] == ["gateway", "mesh"]
    told = conformance.summary(LOG, 12.3, report)
    assert told.startswith("FAILED B\n1 passed, 1 failed in 12 s; gateway (core success), mesh (core success)")


def test_a_part_without_a_report_is_told(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="ended without"):
        conformance.joined([tmp_path / "none.yaml"])
