"""Services that are refused."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.kube import resources as kinds
from mesh_lab.kube.registry import Registry
from tests.unit.kube.registry.manifests import service, set_at
from tests.unit.kube.registry.refusals import Case, refused

CASES: list[Case] = [
    ("spec.ports", ..., "spec.ports", "Required value"),
    ("spec.type", "Cloud", "spec.type", 'Unsupported value: "Cloud": supported values: "ClusterIP", "ExternalName"'),
    ("spec.ports.0.port", 0, "spec.ports[0].port", "Invalid value: 0: must be between 1 and 65535, inclusive"),
    ("spec.ports.0.protocol", "ICMP", "spec.ports[0].protocol", 'Unsupported value: "ICMP": supported values: "SCTP"'),
    ("spec.ports", [{"port": 1}, {"port": 2}], "spec.ports[0].name", "Required value"),
    (
        "spec.ports",
        [{"name": "a", "port": 1}, {"name": "b", "port": 1}],
        "spec.ports[1]",
        'Duplicate value: {"protocol":"TCP","port":1}',
    ),
    ("spec.ports.0.nodePort", 30000, "spec.ports[0].nodePort", "Forbidden: may not be used when `type` is 'ClusterIP'"),
    ("spec.clusterIP", "10.96.0", "spec.clusterIPs[0]", 'Invalid value: "10.96.0": must be a valid IP address'),
    ("metadata.name", "1-web", "metadata.name", 'Invalid value: "1-web": a DNS-1035 label must consist of'),
    ("spec.selector", {"a": "b c"}, "spec.selector", 'Invalid value: "b c": a valid label'),
    (
        "spec.externalTrafficPolicy",
        "Local",
        "spec.externalTrafficPolicy",
        'Invalid value: "Local": may only be set for externally-accessible services',
    ),
]


@pytest.mark.parametrize(("path", "value", "field", "words"), CASES, ids=lambda one: str(one)[:40])
async def test_an_invalid_service_is_refused(registry: Registry, path: str, value: Any, field: str, words: str) -> None:
    obj = service()
    set_at(obj, path, value)
    causes = await refused(registry, kinds.SERVICES, obj)
    assert causes[field].startswith(words)


async def test_a_service_of_type_external_name_needs_the_name(registry: Registry) -> None:
    causes = await refused(registry, kinds.SERVICES, service(type="ExternalName"))
    assert causes == {"spec.externalName": "Required value"}


async def test_istios_ports_go_beside_the_labs_own_of_the_same_names(registry: Registry) -> None:
    """`istioctl install` applies its Service over the lab's, whose `http2` has the host's number."""
    ports = [
        {"name": "http2", "port": 38080, "targetPort": 8080, "appProtocol": "tcp"},
        {"name": "http2", "port": 80, "targetPort": 8080},
        {"name": "status-port", "port": 15021},
    ]
    metadata = {"name": "istio-ingressgateway", "namespace": "default"}
    made = await registry.create(
        kinds.SERVICES, {"metadata": metadata, "spec": {"type": "LoadBalancer", "ports": ports}}
    )
    assert [(port["name"], port["port"]) for port in made["spec"]["ports"]] == [
        ("http2", 38080),
        ("http2-80", 80),
        ("status-port", 15021),
    ]
