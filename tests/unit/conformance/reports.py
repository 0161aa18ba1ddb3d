"""Reports as the tests of this folder need them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mesh_lab.conformance.features import Case
from mesh_lab.conformance.report import Cluster, Made, Outcome, Report, assembled

MADE = Made("2026-01-02T03:04:05Z", {"mesh-lab": "1.0"}, "abc")
CLUSTER = Cluster("kind", "v1.35.0", "Istio", "1.30.3", "1.38.0")
SPLIT = Case("traffic/split", "http2", "httproute")
FAULT = Case("faults/abort", "http1", "httproute")


def outcome(case: Case, verdict: Any = "passes", **more: Any) -> Outcome:
    test = more.pop("test", "tests/test_mesh.py::test_one_of_ten_goes_to_v2[http2-httproute]")
    return Outcome(case.protocol, case.api, test, verdict, **more)


def report(outcomes: Mapping[Case, Outcome], cluster: Cluster | None = CLUSTER) -> Report:
    return assembled(dict(outcomes), cluster, MADE)
