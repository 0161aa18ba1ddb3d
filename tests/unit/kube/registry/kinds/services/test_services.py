"""Services that are refused."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.kube import resources as kinds
from mesh_lab.kube.registry import Registry
from mesh_lab.kube.registry.options import WriteOptions
from mesh_lab.publishedports import mark
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


LABS_OWN = {"name": "http2", "port": 38080, "targetPort": 8080}
ISTIOS = {"name": "http2", "port": 80, "targetPort": 8080}
STATUS = {"name": "status-port", "port": 15021, "targetPort": 15021}
TLS = {"name": "tls", "port": 15443, "targetPort": 15443}


def ingress(*ports: dict[str, Any], marks: dict[str, str]) -> dict[str, Any]:
    metadata = {"name": "istio-ingressgateway", "namespace": "default", "annotations": marks}
    return {"metadata": metadata, "spec": {"type": "LoadBalancer", "ports": list(ports)}}


def numbers(service: dict[str, Any]) -> dict[str, int]:
    return {port["name"]: port["port"] for port in service["spec"]["ports"]}


async def test_istios_ports_go_beside_the_labs_own_of_the_same_names(registry: Registry) -> None:
    """`istioctl install` applies its Service over the lab's, whose `http2` has the host's number."""
    made = await registry.create(kinds.SERVICES, ingress(LABS_OWN, ISTIOS, STATUS, marks=mark([38080])))
    assert numbers(made) == {"http2": 38080, "http2-80": 80, "status-port": 15021}


async def test_two_ports_of_one_name_are_refused_where_none_is_the_labs_own(registry: Registry) -> None:
    causes = await refused(registry, kinds.SERVICES, ingress(LABS_OWN, ISTIOS, marks={}))
    assert causes == {"spec.ports[1].name": 'Duplicate value: "http2"'}


async def test_an_installer_applies_and_takes_back_its_ports_beside_the_labs_own(registry: Registry) -> None:
    """Each profile of Istio's has other ports; those that the lab's manifest has stay as they are, name and all."""
    lab = ingress(LABS_OWN, {**ISTIOS, "name": "http2-80"}, STATUS, TLS, marks=mark([38080]))
    installer = WriteOptions(field_manager="istio-operator", force=True)
    before = await registry.create(kinds.SERVICES, lab)
    for ports in ([ISTIOS, STATUS, TLS], [ISTIOS, STATUS], [ISTIOS, STATUS, TLS]):
        config = ingress(*ports, marks={})
        after = await registry.apply(kinds.SERVICES, "istio-ingressgateway", "default", config, options=installer)
        assert numbers(after) == numbers(before)
