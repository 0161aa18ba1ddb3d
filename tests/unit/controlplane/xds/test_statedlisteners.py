"""Egress listeners of a Sidecar that state a port: where they listen, what they show, when they do nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy

from mesh_lab.controlplane.report.analysis import analyse
from mesh_lab.controlplane.xds.typeurls import CDS, LDS, RDS
from tests.unit.controlplane.cluster import Cluster, bookinfo, config, service
from tests.unit.controlplane.envoy import message, static, validate
from tests.unit.controlplane.xds.translated import hosts_of, listener_of, resources

DETAILS, REVIEWS = (f"{name}.default.svc.cluster.local" for name in ("details", "reviews"))
DATABASE = "db.default.svc.cluster.local"


def stating(*listeners: dict[str, Any]) -> Cluster:
    cluster = bookinfo().add("Service", service("db", ("tcp-db", 5432), ip="10.96.1.1"))
    return cluster.istio(config("Sidecar", "own", {"egress": list(listeners)}))


def at(number: int, *hosts: str, protocol: str = "HTTP", **more: Any) -> dict[str, Any]:
    return {"port": {"number": number, "protocol": protocol, "name": "own"}, "hosts": list(hosts), **more}


def listeners(cluster: Cluster) -> set[str]:
    return set(resources(cluster)[LDS]) - {"virtualInbound", "virtualOutbound"}


def routed(cluster: Cluster, number: int) -> set[str]:
    return {name.partition(":")[0] for name in hosts_of(resources(cluster), str(number))} - {"allow_any"}


def findings(cluster: Cluster) -> list[tuple[str, str, str]]:
    found = [each for each in analyse(cluster.snapshot()) if each.origin.kind == "Sidecar"]
    return [(each.severity, each.path, each.message) for each in found]


def test_a_listener_that_captures_nothing_is_bound_at_the_pods_loopback(tmp_path: Path) -> None:
    cluster = stating(at(9080, f"./{DETAILS}", captureMode="NONE"))
    assert listeners(cluster) == {"127.0.0.1_9080"}
    listener = listener_of(cluster, "127.0.0.1_9080")
    assert listener.bind_to_port.value
    (chain,) = listener.filter_chains
    manager = HttpConnectionManager()
    assert chain.filters[-1].typed_config.Unpack(manager)
    assert manager.rds.route_config_name == "9080"
    assert routed(cluster, 9080) == {DETAILS}
    validate(static(resources(cluster)), tmp_path)


def test_an_address_is_taken_from_what_is_redirected_unless_nothing_is_captured() -> None:
    cluster = stating(at(9080, f"./{DETAILS}", bind="10.9.9.9"))
    assert listeners(cluster) == {"10.9.9.9_9080"}
    assert not listener_of(cluster, "10.9.9.9_9080").bind_to_port.value
    bound = stating(at(9080, f"./{DETAILS}", bind="127.0.0.2", captureMode="NONE"))
    assert listener_of(bound, "127.0.0.2_9080").bind_to_port.value


def test_connections_go_to_the_service_and_nowhere_else(tmp_path: Path) -> None:
    cluster = stating(at(5432, "./*", protocol="TCP", captureMode="NONE"))
    assert listeners(cluster) == {"127.0.0.1_5432"}
    (chain,) = listener_of(cluster, "127.0.0.1_5432").filter_chains
    proxy = TcpProxy()
    assert chain.filters[-1].typed_config.Unpack(proxy)
    assert proxy.cluster == f"outbound|5432||{DATABASE}"
    validate(static(resources(cluster)), tmp_path)


def test_what_is_captured_has_the_listener_for_all_other_ports() -> None:
    cluster = stating(at(9080, f"./{DETAILS}", captureMode="NONE"), {"hosts": [f"./{REVIEWS}", f"./{DATABASE}"]})
    assert listeners(cluster) == {"127.0.0.1_9080", "0.0.0.0_9080", "10.96.1.1_5432"}
    assert routed(cluster, 9080) == {DETAILS, REVIEWS}


def test_the_stated_protocol_counts() -> None:
    assert listeners(stating(at(5432, "./*", protocol="TCP"))) == {"10.96.1.1_5432"}
    cluster = stating(at(5432, "./*"))
    assert listeners(cluster) == {"0.0.0.0_5432"}
    assert routed(cluster, 5432) == {DATABASE}


def test_a_port_that_no_host_has_does_nothing_and_says_so() -> None:
    cluster = stating(at(9999, "./*"), {"hosts": ["./*"]})
    assert "0.0.0.0_9999" not in listeners(cluster)
    text = "has no effect: none of the listener's hosts has port 9999"
    assert findings(cluster) == [("warning", "spec.egress[0].port", text)]
    assert findings(stating(at(9080, f"./{DATABASE}"))) == [
        ("warning", "spec.egress[0].port", text.replace("9999", "9080"))
    ]
    assert findings(stating(at(9080, "./*"))) == []


def domains(cluster: Cluster, routes: str) -> dict[str, list[str]]:
    found = message(resources(cluster)[RDS][routes])
    return {host.name: list(host.domains) for host in found.virtual_hosts if host.name != "allow_any"}


def manager_of(cluster: Cluster, name: str) -> HttpConnectionManager:
    (chain,) = listener_of(cluster, name).filter_chains
    manager = HttpConnectionManager()
    assert chain.filters[-1].typed_config.Unpack(manager)
    return manager


def test_a_proxy_leads_requests_to_each_port_of_its_hosts(tmp_path: Path) -> None:
    cluster = stating(at(3128, f"./{DETAILS}", protocol="HTTP_PROXY", bind="127.0.0.1", captureMode="NONE"))
    assert listeners(cluster) == {"127.0.0.1_3128"}
    assert listener_of(cluster, "127.0.0.1_3128").bind_to_port.value
    assert manager_of(cluster, "127.0.0.1_3128").rds.route_config_name == "3128"
    (found,) = domains(cluster, "3128").values()
    assert {DETAILS, f"{DETAILS}:9080", "details", "details:9080"} <= set(found)
    assert not message(resources(cluster)[RDS]["3128"]).ignore_port_in_host_matching
    assert f"outbound|9080||{DETAILS}" in resources(cluster)[CDS]
    validate(static(resources(cluster)), tmp_path)


def test_a_proxy_tells_the_ports_of_a_host_apart(tmp_path: Path) -> None:
    cluster = bookinfo().add("Service", service("two", ("http-a", 8081), ("http", 80), ("tcp", 90)))
    host = "two.default.svc.cluster.local"
    cluster.istio(config("Sidecar", "own", {"egress": [at(3128, f"./{host}", protocol="HTTP_PROXY")]}))
    assert listeners(cluster) == {"0.0.0.0_3128"}
    assert not listener_of(cluster, "0.0.0.0_3128").bind_to_port.value
    found = domains(cluster, "3128")
    assert ("two" in found[f"{host}:80"], "two:80" in found[f"{host}:80"]) == (True, True)
    assert ("two" in found[f"{host}:8081"], "two:8081" in found[f"{host}:8081"]) == (False, True)
    assert f"{host}:90" not in found
    validate(static(resources(cluster)), tmp_path)


def test_a_proxy_follows_virtual_services() -> None:
    rule = config("VirtualService", "v", {"hosts": ["outside.example"], "http": [{"directResponse": {"status": 204}}]})
    cluster = stating(at(3128, "./*", protocol="HTTP_PROXY")).istio(rule)
    assert domains(cluster, "3128")["outside.example:80"] == ["outside.example"]


def test_requests_at_a_socket_go_by_their_host(tmp_path: Path) -> None:
    cluster = stating(at(0, f"./{DETAILS}", f"./{REVIEWS}", bind="unix:///tmp/own.sock"))
    name = "unix:///tmp/own.sock"
    assert listeners(cluster) == {name}
    listener = listener_of(cluster, name)
    assert (listener.address.pipe.path, listener.bind_to_port.value) == ("/tmp/own.sock", True)
    assert manager_of(cluster, name).rds.route_config_name == name
    assert {host.partition(":")[0] for host in domains(cluster, name)} == {DETAILS, REVIEWS}
    validate(static(resources(cluster)), tmp_path)


def test_connections_at_a_socket_go_to_the_host_with_one_port(tmp_path: Path) -> None:
    cluster = stating(at(0, f"./{DATABASE}", protocol="TCP", bind="unix://@own"))
    listener = listener_of(cluster, "unix://@own")
    assert listener.address.pipe.path == "@own"
    (chain,) = listener.filter_chains
    proxy = TcpProxy()
    assert chain.filters[-1].typed_config.Unpack(proxy)
    assert proxy.cluster == f"outbound|5432||{DATABASE}"
    validate(static(resources(cluster)), tmp_path)


def test_beside_them_all_else_is_captured() -> None:
    cluster = stating(at(3128, "./*", protocol="HTTP_PROXY", captureMode="NONE"), {"hosts": [f"./{DATABASE}"]})
    assert listeners(cluster) == {"127.0.0.1_3128", "10.96.1.1_5432"}
    assert "9080" not in resources(cluster)[RDS]


@pytest.mark.parametrize(
    ("listener", "needed"),
    [
        (at(3128, "./nobody.default.svc.cluster.local", protocol="HTTP_PROXY"), "a port"),
        (
            at(0, "./two.default.svc.cluster.local", protocol="TCP", bind="unix:///a"),
            "one port only, which connections could go to",
        ),
    ],
)
def test_what_can_lead_nowhere_says_so(listener: dict[str, Any], needed: str) -> None:
    cluster = bookinfo().add("Service", service("two", ("tcp-a", 1), ("tcp-b", 2)))
    cluster.istio(config("Sidecar", "own", {"egress": [listener]}))
    assert listeners(cluster) == set()
    text = f"has no effect: none of the listener's hosts has {needed}"
    assert findings(cluster) == [("warning", "spec.egress[0].port", text)]
