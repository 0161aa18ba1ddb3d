"""What resources say about things that are not there."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from mesh_lab.controlplane.report.analysis import analyse
from tests.unit.controlplane.cluster import Cluster, bookinfo, config, pod, service

ROUTE: dict[str, Any] = {"route": [{"destination": {"host": "reviews"}}]}
SUBSETS = config("DestinationRule", "r", {"host": "reviews", "subsets": [{"name": "v1", "labels": {"version": "v1"}}]})


def found(cluster: Cluster, *configs: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(f.code, f.path, f.message) for f in analyse(cluster.istio(*configs).snapshot())]


def virtual_service(rule: dict[str, Any] = ROUTE, name: str = "v", **spec: Any) -> dict[str, Any]:
    return config("VirtualService", name, {"hosts": ["reviews"], "http": [rule], **spec})


def to(host: str, **more: Any) -> dict[str, Any]:
    return {"route": [{"destination": {"host": host, **more}}]}


def gateway(**server: Any) -> dict[str, Any]:
    given = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"], **server}
    return config("Gateway", "front", {"selector": {"app": "gate"}, "servers": [given]})


def edge() -> Cluster:
    gate = pod("gate-1", "10.244.0.50", namespace="istio-system", app="gate", meshed=False)
    return bookinfo().add("Pod", gate).add("Service", service("gate", ("http", 80), namespace="istio-system"))


def test_what_is_in_order_is_not_remarked_upon() -> None:
    assert (
        found(edge(), SUBSETS, gateway(), virtual_service(to("reviews", subset="v1"), gateways=["front", "mesh"])) == []
    )


@pytest.mark.parametrize(
    ("rule", "path", "name"),
    [
        (to("nobody"), "spec.http[0].route[0].destination.host", 'host not found: "nobody"'),
        (to("reviews", subset="v9"), "spec.http[0].route[0].destination.subset", 'not found: "reviews+v9"'),
        (to("reviews", port={"number": 1}), "spec.http[0].route[0].destination.port.number", 'not found: "reviews:1"'),
        ({**ROUTE, "mirror": {"host": "nobody"}}, "spec.http[0].mirror.host", 'not found: "nobody"'),
    ],
)
def test_a_route_that_leads_nowhere(rule: dict[str, Any], path: str, name: str) -> None:
    ((code, where, message),) = found(bookinfo(), SUBSETS, virtual_service(rule))
    assert (code, where) == ("IST0101", path)
    assert name in message


def test_a_subset_may_come_from_a_rule_for_many_hosts() -> None:
    wide = config("DestinationRule", "w", {"host": "*.local", "subsets": [{"name": "v1", "labels": {"version": "v1"}}]})
    assert found(bookinfo(), wide, virtual_service(to("reviews", subset="v1"))) == []


def test_a_service_of_several_ports_needs_a_choice() -> None:
    cluster = bookinfo().add("Service", service("two", ("http", 80), ("http-admin", 81)))
    ((code, path, message),) = found(cluster, virtual_service(to("two")))
    assert (code, path) == ("IST0112", "spec.http[0].route[0].destination")
    assert "exposes multiple ports [80, 81]" in message


def test_a_gateway_that_nobody_has() -> None:
    ((code, path, message),) = found(bookinfo(), virtual_service(gateways=["front"]))
    assert (code, path, message) == ("IST0101", "spec.gateways[0]", 'Referenced gateway not found: "front"')


def test_a_gateway_that_serves_other_hosts() -> None:
    (remark,) = found(edge(), gateway(hosts=["a.example.com"]), virtual_service(gateways=["front"]))
    assert remark[:2] == ("IST0132", "spec.hosts")


def test_a_gateway_that_no_pod_runs() -> None:
    ((code, path, message),) = found(bookinfo(), gateway())
    assert (code, path) == ("IST0101", "spec.selector")
    assert '"app=gate"' in message


def test_a_gateway_without_a_selector_is_held_against_all_gateways() -> None:
    given = {"port": {"number": 81, "name": "x", "protocol": "HTTP"}, "hosts": ["*"]}
    open_to_all = config("Gateway", "front", {"servers": [given]})
    ((code, path, _),) = found(edge(), open_to_all)
    assert (code, path) == ("IST0101", "spec.selector"), "an application's pod is no gateway"
    gate = pod("gate-1", "10.244.0.50", namespace="istio-system", app="gate", meshed=False)
    gate["metadata"]["annotations"] = {"inject.istio.io/templates": "gateway"}
    ((code, path, _),) = found(edge().add("Pod", gate), open_to_all)
    assert (code, path) == ("IST0104", "spec.servers[0].port.number")


def test_a_gateways_port_that_its_service_has_not() -> None:
    (remark,) = found(edge(), gateway(port={"number": 81, "name": "x", "protocol": "HTTP"}))
    assert remark[:2] == ("IST0104", "spec.servers[0].port.number")


@pytest.mark.parametrize("target", [8080, "web"])
def test_a_gateways_port_may_be_that_of_its_service_or_that_of_its_pod(target: int | str) -> None:
    gate = pod("gate-1", "10.244.0.50", namespace="istio-system", app="gate", meshed=False)
    gate["spec"]["containers"] = [{"name": "main", "ports": [{"name": "web", "containerPort": 8080}]}]
    ports = [{"name": "http", "port": 80, "targetPort": target, "protocol": "TCP"}]
    cluster = bookinfo().add("Pod", gate).add("Service", service("gate", namespace="istio-system", ports=ports))
    for number in (80, 8080):
        assert found(cluster, gateway(port={"number": number, "name": "x", "protocol": "HTTP"})) == []


def test_a_certificate_that_is_not_there() -> None:
    tls = {
        "tls": {"mode": "SIMPLE", "credentialName": "cert"},
        "port": {"number": 80, "name": "h", "protocol": "HTTPS"},
    }
    (remark,) = found(edge(), gateway(**tls))
    assert remark[1:] == ("spec.servers[0].tls.credentialName", 'Referenced credentialName not found: "cert"')
    data = {key: base64.b64encode(b"pem").decode() for key in ("tls.crt", "tls.key")}
    there = edge().add("Secret", {"metadata": {"namespace": "istio-system", "name": "cert"}, "data": data})
    assert found(there, gateway(**tls)) == []


def test_two_virtual_services_for_one_host() -> None:
    remarks = found(bookinfo(), virtual_service(), virtual_service(name="w"))
    assert [code for code, _, _ in remarks] == ["IST0109", "IST0109"]
    assert "default/v, default/w" in remarks[0][2]


def test_a_rule_that_is_never_reached() -> None:
    unreached = config("VirtualService", "v", {"hosts": ["reviews"], "http": [ROUTE, ROUTE]})
    assert [remark[:2] for remark in found(bookinfo(), unreached)] == [("IST0130", "spec.http[1]")]


def test_a_destination_rule_for_nobody_and_a_subset_of_nothing() -> None:
    nobody = config("DestinationRule", "n", {"host": "nobody"})
    nothing = config(
        "DestinationRule", "r", {"host": "reviews", "subsets": [{"name": "v9", "labels": {"version": "v9"}}]}
    )
    assert [remark[:2] for remark in found(bookinfo(), nobody, nothing)] == [
        ("IST0101", "spec.host"),
        ("IST0173", "spec.subsets[0].labels"),
    ]


def test_a_namespace_that_is_not_there() -> None:
    cluster = bookinfo().add("Namespace", {"metadata": {"name": "default", "labels": {"istio-injection": "enabled"}}})
    rule = {"from": [{"source": {"namespaces": ["default", "nowhere", "any*"]}}]}
    ((_, path, message),) = found(cluster, config("AuthorizationPolicy", "a", {"rules": [rule]}))
    assert (path, message) == (
        "spec.rules[0].from[0].source.namespaces",
        'Referenced namespace not found: "nowhere"',
    )


def test_what_cannot_be_used_is_among_the_findings() -> None:
    first, second = found(bookinfo(), config("VirtualService", "v", {"hosts": ["reviews"], "http": [{"x": 1}]}))
    assert first[:2] == ("IST0106", "spec.http[0]")
    assert second[:2] == ("IST0106", "spec")
    assert "HTTP requests to reviews are answered with 503" in second[2]


@pytest.mark.parametrize(
    ("older", "younger", "lost"),
    [
        ("HTTP", "HTTP", None),
        ("HTTP", "HTTPS", "a.example"),
        ("HTTPS", "HTTP", "a.example"),
        ("HTTPS", "HTTPS", "a.example"),
        ("TCP", "TCP", "a.example"),
    ],
)
def test_of_two_gateways_on_a_port_the_younger_has_a_finding_for_what_it_does_not_get(
    older: str, younger: str, lost: str | None
) -> None:
    def front(name: str, protocol: str, created: str) -> dict[str, Any]:
        tls = {"tls": {"mode": "ISTIO_MUTUAL"}} if protocol == "HTTPS" else {}
        server = {"port": {"number": 80, "name": "p", "protocol": protocol}, "hosts": ["a.example"], **tls}
        return config("Gateway", name, {"selector": {"app": "gate"}, "servers": [server]}, created=created)

    remarks = found(edge(), front("b", older, "2026-01-01"), front("a", younger, "2026-02-02"))
    if lost is None:
        assert remarks == []
        return
    ((code, path, message),) = remarks
    assert (code, path) == ("IST0145", "spec.servers[0]")
    assert message.startswith("Conflict with gateways default/b (workload selector app=gate, port 80, hosts a.example)")
