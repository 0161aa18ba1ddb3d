"""Each field that is checked but not carried out says so on the resource that has it."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.controlplane.istiokinds import decode, validate
from mesh_lab.controlplane.validation.pending import LINES, not_carried_out

ROUTE: dict[str, Any] = {"route": [{"destination": {"host": "a"}}]}


def http(**rule: Any) -> dict[str, Any]:
    return {"hosts": ["a"], "gateways": ["front"], "http": [ROUTE | rule]}


def policy(**settings: Any) -> dict[str, Any]:
    return {"host": "a", "trafficPolicy": settings}


def server(protocol: str = "HTTP", **more: Any) -> dict[str, Any]:
    return {"servers": [{"port": {"number": 80, "name": "x", "protocol": protocol}, "hosts": ["*"]} | more]}


def ingress(protocol: str = "HTTP", **more: Any) -> dict[str, Any]:
    return {"ingress": [{"port": {"number": 80, "protocol": protocol}} | more]}


def patch(change: dict[str, Any], match: dict[str, Any] | None = None) -> dict[str, Any]:
    found = {"match": match} if match is not None else {}
    return {"configPatches": [{"applyTo": "HTTP_FILTER", "patch": change, **found}]}


TLS = {"mode": "SIMPLE"}
CERTIFICATE = {"serverCertificate": "/a", "privateKey": "/b"}
CASES: list[tuple[str, dict[str, Any], str, str]] = [
    (
        "VirtualService",
        {"hosts": ["a"], "tcp": [{"match": [{"sourceSubnet": "10.0.0.0/8"}], **ROUTE}]},
        "error",
        "spec.tcp[0].match[0].sourceSubnet",
    ),
    (
        "DestinationRule",
        policy(loadBalancer={"zoneAwareLbSetting": {"enabled": True}}),
        "warning",
        "spec.trafficPolicy.loadBalancer.zoneAwareLbSetting",
    ),
    ("DestinationRule", policy(tls={**TLS, "credentialName": "a"}), "warning", "spec.workloadSelector"),
    ("Gateway", server(defaultEndpoint="127.0.0.1:80"), "warning", "spec.servers[0].defaultEndpoint"),
    ("Gateway", server("UDP"), "error", "spec.servers[0].port.protocol"),
    ("Sidecar", ingress(captureMode="NONE"), "warning", "spec.ingress[0].captureMode"),
    ("Sidecar", ingress(bind="10.0.0.1"), "warning", "spec.ingress[0].bind"),
    ("Sidecar", {"egress": [{"hosts": ["./*"], "bind": "10.0.0.1"}]}, "warning", "spec.egress[0].bind"),
    ("Sidecar", {"egress": [{"hosts": ["./*"], "captureMode": "NONE"}]}, "warning", "spec.egress[0].captureMode"),
    ("WorkloadEntry", {"address": "10.0.0.1", "network": "a"}, "warning", "spec.network"),
    (
        "EnvoyFilter",
        patch({"operation": "REMOVE"}, {"listener": {"portName": "http"}}),
        "warning",
        "spec.configPatches[0].match.listener.portName",
    ),
    (
        "EnvoyFilter",
        patch({"operation": "REMOVE", "filterClass": "AUTHN"}),
        "warning",
        "spec.configPatches[0].patch.filterClass",
    ),
    ("ProxyConfig", {"image": {"imageType": "distroless"}}, "warning", "spec.image"),
]


@pytest.mark.parametrize(("kind", "document", "severity", "path"), CASES)
def test_it_is_said_and_nothing_else_is_wrong(kind: str, document: dict[str, Any], severity: str, path: str) -> None:
    spec = decode(kind, document)
    (problem,) = not_carried_out(spec)
    assert (problem.severity, problem.path) == (severity, path)
    assert problem in validate(spec)
    assert [each.path for each in validate(spec) if each.severity == "error"] == ([path] if severity == "error" else [])


def test_each_line_has_its_case() -> None:
    said = [problem.message for kind, document, _, _ in CASES for problem in not_carried_out(decode(kind, document))]
    assert len(said) == len(LINES)


def test_a_field_is_found_wherever_its_type_stands() -> None:
    zones = {"trafficPolicy": {"loadBalancer": {"zoneAwareLbSetting": {"enabled": True}}}}
    spec = decode("DestinationRule", {"host": "a", **zones, "subsets": [{"name": "v1", **zones}]})
    assert [problem.path for problem in not_carried_out(spec)] == [
        "spec.trafficPolicy.loadBalancer.zoneAwareLbSetting",
        "spec.subsets[0].trafficPolicy.loadBalancer.zoneAwareLbSetting",
    ]


def test_a_resource_without_such_fields_has_no_complaint() -> None:
    assert not [*not_carried_out(decode("VirtualService", http(timeout="1s")))]
