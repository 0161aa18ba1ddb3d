"""ServiceEntry, WorkloadEntry, WorkloadGroup and EnvoyFilter: what Istio refuses is refused, with the field's path."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.controlplane.istiokinds import decode, validate
from mesh_lab.controlplane.model import DecodeError

HTTP_80 = {"number": 80, "name": "http", "protocol": "HTTP"}
TCP_90 = {"number": 90, "name": "tcp", "protocol": "TCP"}


def entry(**fields: Any) -> dict[str, Any]:
    return {"hosts": ["a.example"], "ports": [HTTP_80], "resolution": "STATIC", **fields}


def dynamic(**fields: Any) -> dict[str, Any]:
    return {"hosts": ["*.example"], "ports": [HTTP_80], "resolution": "DYNAMIC_DNS", **fields}


def endpoint(**fields: Any) -> dict[str, Any]:
    return entry(endpoints=[fields])


def probe(**fields: Any) -> dict[str, Any]:
    return {"template": {}, "probe": fields}


def patch(apply_to: str = "HTTP_FILTER", operation: str = "ADD", **fields: Any) -> dict[str, Any]:
    change = {"applyTo": apply_to, "patch": {"operation": operation, "value": {"name": "a"}}, **fields}
    return {"configPatches": [change]}


def chain(apply_to: str = "HTTP_FILTER", **found: Any) -> dict[str, Any]:
    return patch(apply_to, match={"listener": {"filterChain": {"filter": found}}})


MANAGER = "envoy.filters.network.http_connection_manager"
MATCH = "spec.configPatches[0].match"

REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    ("ServiceEntry", {"hosts": []}, "spec.hosts", "length"),
    ("ServiceEntry", entry(hosts=["*"]), "spec.hosts[0]", "cannot be wildcard"),
    ("ServiceEntry", entry(hosts=["a b"]), "spec.hosts[0]", "invalid"),
    ("ServiceEntry", entry(addresses=["10.0.0"]), "spec.addresses[0]", "CIDR"),
    ("ServiceEntry", entry(addresses=["10.0.0.0/8"], resolution="DNS"), "spec.addresses[0]", "NONE/STATIC"),
    ("ServiceEntry", entry(ports=[HTTP_80, {**HTTP_80, "number": 81}]), "spec.ports[1].name", "already defined"),
    ("ServiceEntry", entry(ports=[HTTP_80, {**HTTP_80, "name": "b"}]), "spec.ports[1].number", "already defined"),
    ("ServiceEntry", entry(ports=[{**HTTP_80, "number": 0}]), "spec.ports[0].number", ">= 1"),
    ("ServiceEntry", entry(ports=[{**HTTP_80, "targetPort": 70000}]), "spec.ports[0].targetPort", "<= 65535"),
    ("ServiceEntry", entry(ports=[{**HTTP_80, "name": "a.b"}]), "spec.ports[0].name", "invalid port name"),
    ("ServiceEntry", entry(ports=[{**HTTP_80, "protocol": "PIGEON"}]), "spec.ports[0].protocol", "unsupported"),
    (
        "ServiceEntry",
        entry(workloadSelector={"labels": {"a": "b"}}, endpoints=[{"address": "10.0.0.1"}]),
        "spec.endpoints",
        "only one of workloadSelector or endpoints",
    ),
    ("ServiceEntry", entry(workloadSelector={"labels": {"a": "*"}}), "spec.workloadSelector", "wildcard"),
    (
        "ServiceEntry",
        entry(resolution="NONE", endpoints=[{"address": "10.0.0.1"}]),
        "spec.endpoints",
        "resolution type NONE",
    ),
    ("ServiceEntry", endpoint(), "spec.endpoints[0].address", "address is required"),
    ("ServiceEntry", endpoint(address="b.example"), "spec.endpoints[0].address", "not a valid IP address"),
    ("ServiceEntry", endpoint(address="unix://a"), "spec.endpoints[0].address", "absolute path"),
    ("ServiceEntry", endpoint(address="unix:///a/"), "spec.endpoints[0].address", "absolute path"),
    ("ServiceEntry", endpoint(address="unix:///a", ports={"http": 1}), "spec.endpoints[0].ports", "must not include"),
    ("ServiceEntry", {**endpoint(address="unix:///a"), "ports": []}, "spec.ports", "exactly 1 service port"),
    (
        "ServiceEntry",
        endpoint(address="10.0.0.1", ports={"other": 1}),
        "spec.endpoints[0].ports[other]",
        "not defined by the service entry",
    ),
    ("ServiceEntry", endpoint(address="10.0.0.1", ports={"http": 0}), "spec.endpoints[0].ports[...]", ">= 1"),
    ("ServiceEntry", endpoint(address="10.0.0.1", labels={"-": "a"}), "spec.endpoints[0].labels[-]", "invalid tag"),
    ("ServiceEntry", entry(resolution="DNS", hosts=["*.a.example"]), "spec.hosts[0]", "hosts must be FQDN"),
    (
        "ServiceEntry",
        entry(resolution="DNS", endpoints=[{"address": "unix:///a"}]),
        "spec.endpoints[0].address",
        "not a valid FQDN or an IP address",
    ),
    (
        "ServiceEntry",
        entry(resolution="DNS_ROUND_ROBIN", endpoints=[{"address": "a.b"}, {"address": "c.d"}]),
        "spec.endpoints",
        "0 or 1 endpoint",
    ),
    ("ServiceEntry", dynamic(hosts=["a.example"]), "spec.hosts[0]", "must be wildcarded"),
    ("ServiceEntry", dynamic(addresses=["10.0.0.1"]), "spec.addresses", "cannot be set"),
    ("ServiceEntry", dynamic(endpoints=[{"address": "10.0.0.1"}]), "spec.endpoints", "cannot be set"),
    (
        "ServiceEntry",
        dynamic(hosts=["*-a.example"], ports=[{"number": 443, "name": "tls", "protocol": "TLS"}]),
        "spec.hosts[0]",
        "cannot be matched with the server names",
    ),
    ("ServiceEntry", dynamic(ports=[TCP_90]), "spec.ports[0].protocol", "only HTTP, TLS, GRPC, and HTTP2"),
    ("ServiceEntry", entry(hosts=["a.b", "c.d"], ports=[TCP_90]), "spec.hosts", "multiple hosts"),
    ("ServiceEntry", entry(exportTo=["~", "."]), "spec.exportTo", "no one (~) and someone"),
    ("ServiceEntry", entry(resolution="GUESS"), "spec.resolution", "GUESS"),
    ("WorkloadEntry", {}, "spec.address", "address is required"),
    ("WorkloadEntry", {"address": "a b"}, "spec.address", "not a valid FQDN or an IP address"),
    ("WorkloadEntry", {"address": "10.0.0"}, "spec.address", "not a valid FQDN or an IP address"),
    ("WorkloadEntry", {"address": "10.0.0.1", "ports": {"a_b": 1}}, "spec.ports[a_b]", "invalid port name"),
    ("WorkloadEntry", {"address": "10.0.0.1", "weight": -1}, "spec.weight", ">= 0"),
    ("WorkloadGroup", {}, "spec", "template"),
    ("WorkloadGroup", {"template": {}, "metadata": {"labels": {"a b": "c"}}}, "spec.metadata.labels[a b]", "invalid"),
    ("WorkloadGroup", {"template": {"address": "unix://a"}}, "spec.template.address", "absolute path"),
    ("WorkloadGroup", probe(), "spec.probe", "one of httpGet"),
    (
        "WorkloadGroup",
        probe(httpGet={"port": 80}, exec={"command": ["a"]}),
        "spec.probe",
        "not httpGet and exec",
    ),
    ("WorkloadGroup", probe(httpGet={"port": 0}), "spec.probe.httpGet.port", ">= 1"),
    ("WorkloadGroup", probe(httpGet={"port": 80, "scheme": "ftp"}), "spec.probe.httpGet.scheme", "HTTPS"),
    (
        "WorkloadGroup",
        probe(httpGet={"port": 80, "httpHeaders": [{"name": "a b"}]}),
        "spec.probe.httpGet.httpHeaders[0].name",
        "regex",
    ),
    ("WorkloadGroup", probe(exec={"command": []}), "spec.probe.exec.command", "required"),
    ("WorkloadGroup", probe(grpc={"port": 80}), "spec.probe.grpc", "gRPC"),
    ("WorkloadGroup", probe(exec={"command": ["a"]}, periodSeconds=-1), "spec.probe.periodSeconds", ">= 0"),
    ("EnvoyFilter", {"workloadSelector": {"labels": {"": "a"}}}, "spec.workloadSelector", "empty key"),
    (
        "EnvoyFilter",
        {"workloadSelector": {"labels": {"a": "b"}}, "targetRefs": [{"kind": "Service", "name": "a"}]},
        "spec.targetRefs",
        "only one of",
    ),
    (
        "EnvoyFilter",
        {"targetRefs": [{"kind": "Service", "name": "a", "namespace": "b"}]},
        "spec.targetRefs[0].namespace",
        "cross namespace",
    ),
    ("EnvoyFilter", patch("INVALID"), "spec.configPatches[0].applyTo", "missing applyTo"),
    ("EnvoyFilter", {"configPatches": [{"applyTo": "CLUSTER"}]}, "spec.configPatches[0].patch", "missing patch"),
    ("EnvoyFilter", patch(operation="INVALID"), "spec.configPatches[0].patch.operation", "missing patch operation"),
    (
        "EnvoyFilter",
        {"configPatches": [{"applyTo": "CLUSTER", "patch": {"operation": "ADD"}}]},
        "spec.configPatches[0].patch.value",
        "missing patch value",
    ),
    (
        "EnvoyFilter",
        {"configPatches": [{"applyTo": "CLUSTER", "patch": {"operation": "ADD", "value": [1]}}]},
        "spec.configPatches[0].patch.value",
        "object",
    ),
    (
        "EnvoyFilter",
        patch(match={"proxy": {"proxyVersion": "("}}),
        f"{MATCH}.proxy.proxyVersion",
        "invalid regex",
    ),
    ("EnvoyFilter", patch(match={"cluster": {}}), f"{MATCH}.cluster", "non listener match"),
    ("EnvoyFilter", patch("HTTP_ROUTE", match={"listener": {}}), f"{MATCH}.listener", "non routeConfiguration match"),
    ("EnvoyFilter", patch("CLUSTER", match={"listener": {}}), f"{MATCH}.listener", "non cluster match"),
    ("EnvoyFilter", patch(match={"listener": {}, "cluster": {}}), MATCH, "only one of listener"),
    ("EnvoyFilter", patch(match={"context": "WAYPOINT"}), f"{MATCH}.waypoint", "when context is WAYPOINT"),
    ("EnvoyFilter", patch(match={"waypoint": {}}), f"{MATCH}.waypoint", "when context is WAYPOINT"),
    ("EnvoyFilter", chain(), f"{MATCH}.listener.filterChain.filter.name", "no name to match on"),
    (
        "EnvoyFilter",
        chain("NETWORK_FILTER", name=MANAGER, subFilter={"name": "a"}),
        f"{MATCH}.listener.filterChain.filter.subFilter",
        "HTTP_FILTER only",
    ),
    (
        "EnvoyFilter",
        chain(name="a", subFilter={"name": "a"}),
        f"{MATCH}.listener.filterChain.filter.name",
        "requires filter match with envoy.filters.network.http_connection_manager",
    ),
    (
        "EnvoyFilter",
        chain(name=MANAGER, subFilter={}),
        f"{MATCH}.listener.filterChain.filter.subFilter.name",
        "subfilter match has no name",
    ),
]

TAKEN: list[tuple[str, dict[str, Any]]] = [
    ("ServiceEntry", {"hosts": ["*.example"], "location": "MESH_EXTERNAL"}),
    ("ServiceEntry", entry(hosts=["*-a.example"])),
    ("ServiceEntry", entry(resolution="NONE", addresses=["10.0.0.0/8", "::1"], ports=[TCP_90])),
    ("ServiceEntry", entry(exportTo=["~"])),
    ("ServiceEntry", entry(resolution="DNS", hosts=["a.example", "b.example"])),
    ("ServiceEntry", entry(resolution="DNS", hosts=["*.a"], endpoints=[{"address": "b.example"}, {"address": "::1"}])),
    ("ServiceEntry", endpoint(address="10.0.0.1", ports={"http": 8080}, labels={"a": "b"}, locality="a/b", weight=3)),
    ("ServiceEntry", endpoint(address="unix:///var/run/a")),
    ("ServiceEntry", endpoint(address="unix://@a")),
    ("ServiceEntry", endpoint(network="n")),
    ("ServiceEntry", entry(workloadSelector={"labels": {"a": "b"}}, location="MESH_INTERNAL")),
    ("ServiceEntry", dynamic()),
    ("ServiceEntry", dynamic(hosts=["*-a.example"])),
    ("WorkloadEntry", {"address": "vm.example", "ports": {"http": 80}, "serviceAccount": "vm"}),
    ("WorkloadEntry", {"network": "n"}),
    ("WorkloadGroup", {"template": {"serviceAccount": "vm"}, "metadata": {"labels": {"a": "b"}}}),
    ("WorkloadGroup", probe(httpGet={"port": 80, "path": "/", "scheme": "HTTPS"}, periodSeconds=5)),
    ("WorkloadGroup", probe(tcpSocket={"port": 80})),
    ("EnvoyFilter", {}),
    ("EnvoyFilter", patch("BOOTSTRAP", "MERGE")),
    ("EnvoyFilter", patch(operation="REMOVE", match={"context": "ANY", "listener": {"portNumber": 80}})),
    ("EnvoyFilter", chain(name=MANAGER, subFilter={"name": "envoy.filters.http.router"})),
    ("EnvoyFilter", patch("LISTENER_FILTER", match={"proxy": {"proxyVersion": r"^1\.30.*", "metadata": {"a": "b"}}})),
    ("EnvoyFilter", patch(match={"context": "WAYPOINT", "waypoint": {"filter": {"name": "a"}}})),
]

REMARKS: list[tuple[str, dict[str, Any], str]] = [
    ("ServiceEntry", entry(hosts=["*a.example"]), "spec.hosts[0]"),
    ("ServiceEntry", entry(resolution="NONE", ports=[TCP_90]), "spec.addresses"),
    ("ServiceEntry", entry(resolution="NONE", workloadSelector={"labels": {"a": "b"}}), "spec.workloadSelector"),
    ("ServiceEntry", entry(workloadSelector={}), "spec.workloadSelector"),
    (
        "ServiceEntry",
        entry(
            resolution="DNS",
            hosts=["a.b", "c.d"],
            addresses=["10.0.0.1"],
            ports=[{"number": 443, "name": "a", "protocol": "TLS"}],
        ),
        "spec.hosts",
    ),
    ("WorkloadEntry", {"network": "n"}, "spec.address"),
    ("EnvoyFilter", patch(match={"proxy": {"proxyVersion": "1" * 1025}}), f"{MATCH}.proxy.proxyVersion"),
    ("EnvoyFilter", chain("LISTENER", name="a"), f"{MATCH}.listener.filterChain.filter"),
]


@pytest.mark.parametrize(("kind", "document", "path", "words"), REFUSED)
def test_what_istio_refuses_is_refused(kind: str, document: dict[str, Any], path: str, words: str) -> None:
    try:
        found = [(each.path, each.message) for each in validate(decode(kind, document)) if each.severity == "error"]
    except DecodeError as error:
        found = [(error.path, error.message)]
    assert any(place == path and words in message for place, message in found), found


@pytest.mark.parametrize(("kind", "document"), TAKEN)
def test_what_istio_takes_is_taken(kind: str, document: dict[str, Any]) -> None:
    assert not [each for each in validate(decode(kind, document)) if each.severity == "error"]


@pytest.mark.parametrize(("kind", "document", "path"), REMARKS)
def test_what_istio_warns_of_is_warned_of(kind: str, document: dict[str, Any], path: str) -> None:
    assert [each.path for each in validate(decode(kind, document))].count(path) == 1
    assert not [each for each in validate(decode(kind, document)) if each.severity == "error"]
