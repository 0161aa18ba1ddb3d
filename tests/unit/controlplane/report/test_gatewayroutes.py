"""Findings on routes of the Gateway API."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.controlplane.report.analysis import analyse
from tests.unit.controlplane.xds.gatewayapi.objects import edge, gateway, route, rule, to


def found(*rules: dict[str, Any], **more: Any) -> list[tuple[str, str]]:
    cluster = edge().add("HTTPRoute", route("r", *rules, **more))
    return [(each.severity, each.text) for each in analyse(cluster.snapshot()) if each.origin.kind == "HTTPRoute"]


def test_a_good_route_has_none() -> None:
    assert found(rule(to("reviews"))) == []


@pytest.mark.parametrize(
    ("rules", "more", "severity", "reason"),
    [
        (rule(to("nobody")), {}, "warning", "BackendNotFound"),
        (rule(to("reviews"), filters=[{"type": "Later"}]), {}, "error", "UnsupportedValue"),
        (rule(to("reviews")), {"parent": {"name": "edge", "port": 1}}, "error", "NoMatchingParent"),
    ],
)
def test_what_the_status_says_is_found(rules: dict[str, Any], more: Any, severity: str, reason: str) -> None:
    ((grave, text),) = found(rules, **more)
    assert grave == severity
    assert text.startswith(f"{reason}: ")


def test_a_gateway_that_is_refused_is_in_error() -> None:
    parameters = {"group": "", "kind": "ConfigMap", "name": "x"}
    cluster = edge(gateway(infrastructure={"parametersRef": parameters}))
    (finding,) = (each for each in analyse(cluster.snapshot()) if each.origin.kind == "KubernetesGateway")
    assert finding.severity == "error"
