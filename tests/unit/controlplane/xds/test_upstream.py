"""What a DestinationRule and the mesh say about how servers are spoken to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy
from envoy.extensions.transport_sockets.proxy_protocol.v3.upstream_proxy_protocol_pb2 import (
    ProxyProtocolUpstreamTransport,
)
from google.protobuf.duration_pb2 import Duration

from mesh_lab.controlplane.xds.typeurls import CDS
from tests.unit.controlplane.cluster import Cluster, bookinfo, config, endpoints, mesh_config, pod, service
from tests.unit.controlplane.envoy import message, static, validate
from tests.unit.controlplane.xds.test_clusters import NAME, mixed, protocol, rule
from tests.unit.controlplane.xds.translated import cluster_of, listener_of, resources, routes_to


def accepted(cluster: Cluster, directory: Path) -> None:
    """Envoy itself takes all that the client's sidecar is sent."""
    validate(static(resources(cluster)), directory)


def test_a_retry_budget_is_a_share_of_requests() -> None:
    found = bookinfo().istio(rule(retryBudget={"percent": 10, "minRetryConcurrency": 4}))
    budget = cluster_of(found, NAME).circuit_breakers.thresholds[0].retry_budget
    assert (budget.budget_percent.value, budget.min_retry_concurrency.value) == (10, 4)
    default = cluster_of(bookinfo().istio(rule(retryBudget={})), NAME).circuit_breakers.thresholds[0].retry_budget
    assert (default.budget_percent.value, default.min_retry_concurrency.value) == (20, 3)


def test_a_budgets_interval_reaches_envoy(tmp_path: Path) -> None:
    """Envoy tells by its rules that it has read it: at most so many seconds are a duration to it."""
    found = bookinfo().istio(rule(retryBudget={"budgetInterval": "1.5s"}))
    accepted(found, tmp_path)
    budget = cluster_of(found, NAME).circuit_breakers.thresholds[0].retry_budget
    assert budget.SerializeToString().endswith(Duration(seconds=1, nanos=500_000_000).SerializeToString())
    budget.MergeFromString(b"\x1a\x02\x10\x01" + b"\x1a\x0b\x08" + b"\xff" * 9 + b"\x01")
    spoiled = static(resources(found))
    (cluster,) = (each for each in spoiled.static_resources.clusters if each.name == NAME)
    cluster.circuit_breakers.thresholds[0].retry_budget.CopyFrom(budget)
    with pytest.raises(AssertionError, match=r"[Dd]uration"):
        validate(spoiled, tmp_path)


@pytest.mark.parametrize("meshed", [True, False])
def test_connections_begin_with_the_clients_address(meshed: bool, tmp_path: Path) -> None:
    found = (bookinfo() if meshed else mixed()).istio(rule(proxyProtocol={"version": "V2"}))
    cluster = cluster_of(found, NAME)
    sockets = [match.transport_socket for match in cluster.transport_socket_matches] or [cluster.transport_socket]
    for socket in sockets:
        transport = ProxyProtocolUpstreamTransport()
        assert socket.typed_config.Unpack(transport)
        assert transport.config.version == 1
    accepted(found, tmp_path)


def test_plain_connections_do_so_too() -> None:
    found = bookinfo().istio(rule(proxyProtocol={}, tls={"mode": "DISABLE"}))
    assert cluster_of(found, NAME).transport_socket.name == "envoy.transport_sockets.upstream_proxy_protocol"


def test_status_codes_that_count_as_failures(tmp_path: Path) -> None:
    found = bookinfo().istio(rule(outlierDetection={"outlierDetectionHttpErrorCodes": [429, 503]}))
    matcher = protocol(cluster_of(found, NAME)).outlier_detection.error_matcher
    codes = [r.http_response_headers_match.headers[0].string_match.exact for r in matcher.or_match.rules]
    assert codes == ["429", "503"]
    accepted(found, tmp_path)


def test_pings_of_http2(tmp_path: Path) -> None:
    pool = {"http": {"http2KeepAlive": {"interval": "5s", "timeout": "1s"}}}
    found = bookinfo().istio(rule(connectionPool=pool))
    pings = protocol(cluster_of(found, NAME)).explicit_http_config.http2_protocol_options.connection_keepalive
    assert (pings.interval.seconds, pings.timeout.seconds) == (5, 1)
    accepted(found, tmp_path)


def test_a_cookie_is_made_with_its_attributes(tmp_path: Path) -> None:
    cookie = {"name": "u", "ttl": "1s", "attributes": [{"name": "SameSite", "value": "Strict"}]}
    found = bookinfo().istio(rule(loadBalancer={"consistentHash": {"httpCookie": cookie}}))
    (policy,) = routes_to(found)[0].route.hash_policy
    assert [(a.name, a.value) for a in policy.cookie.attributes] == [("SameSite", "Strict")]
    accepted(found, tmp_path)


@pytest.mark.parametrize(("protocol_name", "post"), [("", False), ("CONNECT", False), ("POST", True)])
def test_connections_go_through_a_tunnel(protocol_name: str, post: bool, tmp_path: Path) -> None:
    proxy = pod("proxy-1", "10.244.3.1")
    found = bookinfo().add("Service", service("proxy", ("tcp", 3128), ip="10.96.3.3")).add("Pod", proxy)
    found.add("EndpointSlice", endpoints("proxy", proxy, ports=(("tcp", 3128),)))
    tunnel = {"targetHost": "a.example.com", "targetPort": 443} | ({"protocol": protocol_name} if protocol_name else {})
    found.istio(rule("proxy", tunnel=tunnel))
    (chain,) = listener_of(found, "10.96.3.3_3128").filter_chains
    message_ = TcpProxy()
    assert chain.filters[-1].typed_config.Unpack(message_)
    assert message_.tunneling_config.hostname == "a.example.com:443"
    assert message_.tunneling_config.use_post is post
    accepted(found, tmp_path)


def test_the_mesh_has_defaults_for_what_a_rule_leaves_out() -> None:
    text = """
defaultTrafficPolicy: {connectionPool: {tcp: {maxConnections: 7}}, outlierDetection: {interval: 3s}}
tcpKeepalive: {time: 60s, probes: 3}
"""
    found = bookinfo().add("ConfigMap", mesh_config(text))
    plain = cluster_of(found, NAME)
    assert plain.circuit_breakers.thresholds[0].max_connections.value == 7
    assert plain.outlier_detection.interval.seconds == 3
    assert plain.upstream_connection_options.tcp_keepalive.keepalive_time.value == 60
    own = {"tcp": {"tcpKeepalive": {"time": "5s"}}}
    ruled = cluster_of(found.istio(rule(connectionPool=own)), NAME)
    assert ruled.circuit_breakers.thresholds[0].max_connections.value == 2**32 - 1
    alive = ruled.upstream_connection_options.tcp_keepalive
    assert (alive.keepalive_time.value, alive.keepalive_probes.value) == (5, 3)
    assert ruled.outlier_detection.interval.seconds == 3


def test_a_port_has_no_budget_of_its_own_but_the_hosts() -> None:
    port = [{"port": {"number": 9080}, "loadBalancer": {"simple": "RANDOM"}}]
    found = cluster_of(bookinfo().istio(rule(retryBudget={}, portLevelSettings=port)), NAME)
    assert found.circuit_breakers.thresholds[0].HasField("retry_budget")


def test_without_export_to_the_meshs_own_holds() -> None:
    buyer = pod("buyer-1", "10.244.9.9", namespace="shop")
    private = "defaultServiceExportTo: ['.']\ndefaultDestinationRuleExportTo: ['.']"
    found = bookinfo().add("Pod", buyer).istio(rule(connectionPool={"tcp": {"maxConnections": 1}}))
    assert NAME in resources(found, "buyer-1", namespace="shop")[CDS]
    found.add("ConfigMap", mesh_config(private))
    assert NAME not in resources(found, "buyer-1", namespace="shop")[CDS]
    assert cluster_of(found, NAME).circuit_breakers.thresholds[0].max_connections.value == 1
    found.add("ConfigMap", mesh_config("defaultDestinationRuleExportTo: ['.']"))
    theirs = message(resources(found, "buyer-1", namespace="shop")[CDS][NAME])
    assert theirs.circuit_breakers.thresholds[0].max_connections.value == 2**32 - 1


def test_retries_go_to_other_localities_when_asked(tmp_path: Path) -> None:
    retries = {"attempts": 3, "retryRemoteLocalities": True}
    spec = {"hosts": ["reviews"], "http": [{"route": [{"destination": {"host": "reviews"}}], "retries": retries}]}
    found = bookinfo().istio(config("VirtualService", "r", spec))
    assert routes_to(found)[0].route.retry_policy.retry_priority.name == "envoy.retry_priorities.previous_priorities"
    accepted(found, tmp_path)


def test_a_redirect_rewrites_the_prefix_that_matched(tmp_path: Path) -> None:
    rules: dict[str, Any] = {"match": [{"uri": {"prefix": "/a/"}}], "redirect": {"prefixRewrite": "/b/"}}
    found = bookinfo().istio(config("VirtualService", "r", {"hosts": ["reviews"], "http": [rules]}))
    assert routes_to(found)[0].redirect.prefix_rewrite == "/b/"
    accepted(found, tmp_path)
