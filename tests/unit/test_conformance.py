"""What runs the Gateway API's conformance suite: the parts that need neither Go nor a lab."""

from __future__ import annotations

from pathlib import Path

from mesh_lab.controlplane.xds.gatewayapi import features
from tests import conformance

LOG = """=== RUN   TestConformance
    --- PASS: TestConformance/A (0.1s)
        --- FAIL: TestConformance/B/part (0.1s)
    --- FAIL: TestConformance/B (0.1s)
    --- SKIP: TestConformance/C (0.0s)
"""


def test_the_summary_names_what_failed() -> None:
    told = conformance.summary(LOG, 7.2, Path("x.log"), Path("MESH.yaml")).splitlines()
    assert told == ["FAILED B", "MESH: 1 passed, 1 failed in 7 s; MESH.yaml, x.log"]


def test_each_profile_claims_its_own_part() -> None:
    mesh, edge = conformance.claimed(in_mesh=True), conformance.claimed(in_mesh=False)
    assert "MeshConsumerRoute" in mesh
    assert "Gateway" not in mesh
    assert "Gateway" in edge
    assert "Mesh" not in edge
    assert {*mesh, *edge} == features.SUPPORTED
