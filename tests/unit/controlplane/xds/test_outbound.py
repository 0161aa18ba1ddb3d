"""LDS for what an application sends."""

from __future__ import annotations

from typing import Any

import pytest
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy

from mesh_lab.controlplane.world import kubernetes
from mesh_lab.controlplane.world.kubernetes import ServicePort
from mesh_lab.controlplane.xds.services import Protocol, protocol_of
from mesh_lab.controlplane.xds.typeurls import LDS, RDS
from mesh_lab.publishedports import mark
from tests.unit.controlplane.cluster import Cluster, bookinfo, config, endpoints, mesh_config, pod, service
from tests.unit.controlplane.xds.translated import listener_of, resources


def outbound(cluster: Cluster) -> set[str]:
    return set(resources(cluster)[LDS]) - {"virtualOutbound", "virtualInbound"}


def tcp(filter_: Any) -> TcpProxy:
    proxy = TcpProxy()
    assert filter_.typed_config.Unpack(proxy)
    return proxy


@pytest.mark.parametrize(
    ("name", "app_protocol", "number", "expected"),
    [
        ("http", "", 80, Protocol.HTTP),
        ("http-web", "", 80, Protocol.HTTP),
        ("httpx", "", 80, Protocol.AUTO),
        ("HTTP2-x", "", 80, Protocol.HTTP2),
        ("grpc-web-x", "", 80, Protocol.GRPC),
        ("grpc", "", 80, Protocol.GRPC),
        ("https", "", 443, Protocol.TLS),
        ("mysql", "", 80, Protocol.TCP),
        ("", "", 3306, Protocol.TCP),
        ("", "", 80, Protocol.AUTO),
        ("tcp", "http", 80, Protocol.HTTP),
        ("http", "kubernetes.io/h2c", 80, Protocol.HTTP2),
        ("http", "example.com/mine", 80, Protocol.HTTP),
    ],
)
def test_a_ports_protocol(name: str, app_protocol: str, number: int, expected: Protocol) -> None:
    assert protocol_of(ServicePort(name, number, number, "TCP", app_protocol)) is expected


def test_ports_that_are_there_for_the_host_are_tcp_to_the_mesh() -> None:
    """As HTTP, each sidecar would take all requests to the number that the lab happens to have on the host."""
    ports = [{"name": "http2", "port": 38080, "targetPort": 8080}, {"name": "http2-80", "port": 80, "targetPort": 8080}]
    metadata = {"name": "istio-ingressgateway", "namespace": "istio-system", "annotations": mark([38080])}
    found = kubernetes.service({"metadata": metadata, "spec": {"ports": ports}}).ports
    assert {port.port: protocol_of(port) for port in found} == {38080: Protocol.TCP, 80: Protocol.HTTP2}


def test_http_has_one_listener_for_a_port_number_and_tcp_one_for_an_address() -> None:
    cluster = bookinfo().app("db", ("tcp-db", 5432), pods=[pod("db-1", "10.244.1.1")])
    cluster.app("odd", ("", 7000), pods=[pod("odd-1", "10.244.1.2")])
    addresses = {s.name: s.cluster_ip for s in cluster.snapshot().services.values()}
    assert outbound(cluster) == {"0.0.0.0_9080", f"{addresses['db']}_5432", f"{addresses['odd']}_7000"}


def test_listeners_wait_for_what_the_virtual_one_hands_them() -> None:
    virtual = listener_of(bookinfo(), "virtualOutbound")
    assert virtual.use_original_dst.value
    assert virtual.address.socket_address.port_value == 15001
    assert not listener_of(bookinfo(), "0.0.0.0_9080").bind_to_port.value


def test_what_is_unknown_goes_where_it_was_going_and_a_loop_goes_nowhere() -> None:
    loop, rest = listener_of(bookinfo(), "virtualOutbound").filter_chains
    assert loop.filter_chain_match.destination_port.value == 15001
    assert tcp(loop.filters[-1]).cluster == "BlackHoleCluster"
    assert tcp(rest.filters[-1]).cluster == "PassthroughCluster"


def test_only_the_registry_means_that_nothing_else_gets_out() -> None:
    cluster = bookinfo().istio(config("Sidecar", "s", {"outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"}}))
    _, rest = listener_of(cluster, "virtualOutbound").filter_chains
    assert tcp(rest.filters[-1]).cluster == "BlackHoleCluster"


def chosen(listener: Any, transport: str, alpn: str = "") -> Any:
    """The chain that Envoy takes: from a transport protocol that a chain names it goes back to the default one only."""
    found = list(listener.filter_chains)
    found = [c for c in found if c.filter_chain_match.transport_protocol == transport] or [
        c for c in found if not c.filter_chain_match.transport_protocol
    ]
    by_alpn = [c for c in found if alpn and alpn in c.filter_chain_match.application_protocols]
    found = by_alpn or [c for c in found if not c.filter_chain_match.application_protocols]
    default = listener.default_filter_chain if listener.HasField("default_filter_chain") else None
    return found[0] if found else default


def routes_of(chain: Any) -> str:
    manager = HttpConnectionManager()
    assert chain.filters[-1].typed_config.Unpack(manager)
    return str(manager.rds.route_config_name)


def says_tcp(chain: Any) -> bool:
    return bool(chain.filters[0].name == "envoy.filters.network.set_filter_state")


def test_on_a_port_of_unknown_protocol_http_is_routed_and_all_else_passes_as_tcp() -> None:
    cluster = bookinfo().add("Service", service("odd", ("", 7000), ip="10.96.1.1"))
    found = listener_of(cluster, "10.96.1.1_7000")
    assert routes_of(chosen(found, "raw_buffer", "http/1.1")) == "odd.default.svc.cluster.local:7000"
    for plain in (chosen(found, "raw_buffer"), chosen(found, "tls", "h2")):
        assert tcp(plain.filters[-1]).cluster == "outbound|7000||odd.default.svc.cluster.local"
        assert says_tcp(plain)


def test_what_is_no_http_on_an_http_port_is_for_somewhere_outside_the_mesh() -> None:
    found = listener_of(bookinfo(), "0.0.0.0_9080")
    assert routes_of(chosen(found, "raw_buffer", "h2c")) == "9080"
    for plain in (chosen(found, "raw_buffer"), chosen(found, "tls", "h2")):
        assert tcp(plain.filters[-1]).cluster == "PassthroughCluster"
    closed = bookinfo().istio(config("Sidecar", "s", {"outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"}}))
    plain = chosen(listener_of(closed, "0.0.0.0_9080"), "raw_buffer")
    assert tcp(plain.filters[-1]).cluster == "BlackHoleCluster"
    assert [o.kind for o in resources(closed)[LDS]["0.0.0.0_9080"].origins] == ["Sidecar"]


@pytest.mark.parametrize(
    ("port", "policy", "said"),
    [
        (("", 7000), {}, True),
        (("kafka", 7000), {}, True),
        (("http", 7000), {}, True),
        (("tcp", 7000), {}, False),
        (("", 7000), {"tls": {"mode": "ISTIO_MUTUAL"}}, True),
        (("", 7000), {"tls": {"mode": "SIMPLE"}}, False),
    ],
)
def test_connections_say_that_they_are_tcp_where_their_destination_may_speak_http(
    port: tuple[str, int], policy: dict[str, Any], said: bool
) -> None:
    cluster = bookinfo().add("Service", service("db", ("tcp", 5432), ip="10.96.1.1"), service("other", port))
    to = [{"destination": {"host": "other", "port": {"number": 7000}}}]
    cluster.istio(config("VirtualService", "db", {"hosts": ["db"], "tcp": [{"route": to}]}))
    cluster.istio(config("DestinationRule", "other", {"host": "other", "trafficPolicy": policy}))
    (chain,) = listener_of(cluster, "10.96.1.1_5432").filter_chains
    assert says_tcp(chain) == said


@pytest.mark.parametrize("listener", ["0.0.0.0_9080", "10.96.1.1_7000"])
def test_a_client_that_says_nothing_is_waited_for_as_long_as_the_mesh_says(listener: str) -> None:
    cluster = bookinfo().add("Service", service("odd", ("", 7000), ip="10.96.1.1"))
    found = listener_of(cluster, listener)
    assert [f.name.rpartition(".")[2] for f in found.listener_filters] == ["http_inspector"]
    assert found.HasField("listener_filters_timeout")
    assert found.listener_filters_timeout.ToMilliseconds() == 0
    cluster.add("ConfigMap", mesh_config("protocolDetectionTimeout: 100ms"))
    found = listener_of(cluster, listener)
    assert found.listener_filters_timeout.ToMilliseconds() == 100
    assert found.continue_on_listener_filters_timeout


def test_a_headless_services_pods_each_have_a_listener_for_tcp() -> None:
    head = pod("head-1", "10.244.1.1")
    cluster = bookinfo().add("Service", service("head", ("tcp", 9000), clusterIP="None")).add("Pod", head)
    cluster.add("EndpointSlice", endpoints("head", head, ports=(("tcp", 9000),)))
    assert "10.244.1.1_9000" in outbound(cluster)


def test_a_headless_services_port_of_unknown_protocol_is_sniffed_pod_by_pod() -> None:
    head = pod("head-1", "10.244.1.1")
    cluster = bookinfo().add("Service", service("head", ("", 9000), clusterIP="None")).add("Pod", head)
    cluster.add("EndpointSlice", endpoints("head", head, ports=(("", 9000),)))
    found = listener_of(cluster, "10.244.1.1_9000")
    assert routes_of(chosen(found, "raw_buffer", "http/1.1")) == "head.default.svc.cluster.local:9000"
    assert says_tcp(chosen(found, "raw_buffer"))
    assert "head.default.svc.cluster.local:9000" in resources(cluster)[RDS]


def test_connections_are_shared_out_as_a_virtual_service_says() -> None:
    cluster = bookinfo().add("Service", service("db", ("tcp", 5432), ip="10.96.1.1"))
    shares = [
        {"destination": {"host": "db", "subset": "old"}, "weight": 80},
        {"destination": {"host": "db", "subset": "new"}, "weight": 20},
    ]
    cluster.istio(config("VirtualService", "db", {"hosts": ["db"], "tcp": [{"route": shares}]}))
    (chain,) = listener_of(cluster, "10.96.1.1_5432").filter_chains
    weights = {each.name: each.weight for each in tcp(chain.filters[-1]).weighted_clusters.clusters}
    host = "db.default.svc.cluster.local"
    assert weights == {f"outbound|5432|old|{host}": 80, f"outbound|5432|new|{host}": 20}


def test_connections_last_and_stay_with_an_endpoint_as_a_destination_rule_says() -> None:
    cluster = bookinfo().add("Service", service("db", ("tcp", 5432), ip="10.96.1.1"))
    pool = {"connectionPool": {"tcp": {"idleTimeout": "90s", "maxConnectionDuration": "2m"}}}
    sticky = {"loadBalancer": {"consistentHash": {"useSourceIp": True}}}
    rule = {"host": "db", "trafficPolicy": pool, "subsets": [{"name": "v1", "trafficPolicy": sticky}]}
    cluster.istio(config("DestinationRule", "db", rule))
    (chain,) = listener_of(cluster, "10.96.1.1_5432").filter_chains
    proxy = tcp(chain.filters[-1])
    assert (proxy.idle_timeout.seconds, proxy.max_downstream_connection_duration.seconds) == (90, 120)
    assert not proxy.hash_policy
    to = [{"destination": {"host": "db", "subset": "v1"}}]
    cluster.istio(config("VirtualService", "db", {"hosts": ["db"], "tcp": [{"route": to}]}))
    (chain,) = listener_of(cluster, "10.96.1.1_5432").filter_chains
    proxy = tcp(chain.filters[-1])
    assert proxy.hash_policy[0].HasField("source_ip")
    assert proxy.idle_timeout.seconds == 90
    kinds = [origin.kind for origin in resources(cluster)[LDS]["10.96.1.1_5432"].origins]
    assert {"DestinationRule", "VirtualService"} <= set(kinds)


def test_a_sidecar_is_sent_no_more_than_its_sidecar_resource_lets_in() -> None:
    cluster = bookinfo().add("Service", service("far", ("http", 8000), namespace="far"))
    assert "0.0.0.0_8000" in outbound(cluster)
    cluster.istio(config("Sidecar", "s", {"egress": [{"hosts": ["./*"]}]}))
    assert "0.0.0.0_8000" not in outbound(cluster)
    only = {"workloadSelector": {"labels": {"app": "productpage"}}, "egress": [{"hosts": ["far/*"]}]}
    cluster.istio(config("Sidecar", "mine", only))
    assert outbound(cluster) == {"0.0.0.0_8000"}


@pytest.mark.parametrize(
    ("export_to", "seen"), [("", True), (".", False), ("*", True), ("default,other", True), ("~", False)]
)
def test_a_service_may_keep_to_its_namespace(export_to: str, seen: bool) -> None:
    far = service("far", ("http", 8000), namespace="far")
    far["metadata"]["annotations"] = {"networking.istio.io/exportTo": export_to}
    assert ("0.0.0.0_8000" in outbound(bookinfo().add("Service", far))) == seen
