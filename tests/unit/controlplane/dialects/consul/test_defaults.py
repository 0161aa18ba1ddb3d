"""ServiceDefaults and ProxyDefaults: protocols, mutual TLS, and how a service calls others."""

from __future__ import annotations

import pytest
from envoy.config.cluster.v3.cluster_pb2 import Cluster as ClusterMessage

from mesh_lab.controlplane.dialects.consul.checks import problems
from mesh_lab.controlplane.dialects.consul.kinds import ProxyDefaults, ServiceDefaults
from mesh_lab.controlplane.model.decoding import decode_as
from mesh_lab.controlplane.xds import Generator
from mesh_lab.controlplane.xds.generator import policies_of
from mesh_lab.controlplane.xds.scope import registry_of
from mesh_lab.controlplane.xds.services import Protocol
from mesh_lab.controlplane.xds.together import peers_of
from mesh_lab.controlplane.xds.typeurls import CDS
from tests.unit.controlplane.cluster import Cluster, Object, config, service
from tests.unit.controlplane.dialects.consul.objects import (
    CLIENT,
    HOST,
    addresses,
    conditions,
    consul,
    defaults,
    resolver,
    splitter,
    synced,
)
from tests.unit.controlplane.envoy import message


def mode(cluster: Cluster, app: str = "reviews") -> str:
    snapshot = cluster.snapshot()
    return policies_of(peers_of(snapshot), "default", "istio-system").mode({"app": app}, 9080)


def shared(**spec: object) -> Object:
    return config("ProxyDefaults", "global", dict(spec))


def test_a_service_with_defaults_takes_mutual_tls_only_as_with_consul() -> None:
    cluster = consul(defaults())
    assert (mode(cluster), mode(cluster, "ratings")) == ("STRICT", "PERMISSIVE")


@pytest.mark.parametrize(
    ("objects", "wanted"),
    [
        ([defaults(mutualTLSMode="permissive")], "PERMISSIVE"),
        ([defaults(), shared(mutualTLSMode="permissive")], "PERMISSIVE"),
        ([defaults(mutualTLSMode="strict"), shared(mutualTLSMode="permissive")], "STRICT"),
        ([shared(mutualTLSMode="strict")], "STRICT"),
        ([shared()], "PERMISSIVE"),
    ],
)
def test_the_nearest_mode_that_is_stated_holds(objects: list[Object], wanted: str) -> None:
    assert mode(consul(*objects)) == wanted


def test_an_older_peer_authentication_decides_and_both_say_so() -> None:
    spec = {"selector": {"matchLabels": {"app": "reviews"}}, "mtls": {"mode": "PERMISSIVE"}}
    cluster = consul(defaults(), config("PeerAuthentication", "mine", spec, created="2025-01-01"))
    assert mode(cluster) == "PERMISSIVE"
    told = conditions(cluster, "ServiceDefaults")["HasFindings"]["message"]
    assert "PeerAuthentication default/mine is older, and so it decides on mutual TLS" in told


@pytest.mark.parametrize(
    ("stated", "wanted"),
    [("tcp", Protocol.TCP), ("http", Protocol.HTTP), ("http2", Protocol.HTTP2), ("grpc", Protocol.GRPC)],
)
def test_a_services_protocol_is_what_its_defaults_say(stated: str, wanted: Protocol) -> None:
    found = registry_of(consul(defaults(protocol=stated)).snapshot()).services[HOST]
    assert [port.protocol for port in found.ports] == [wanted]


def test_of_several_ports_those_that_state_nothing_speak_it() -> None:
    cluster = consul(defaults(protocol="grpc")).add("Service", service("reviews", ("http", 9080), ("other", 7000)))
    found = registry_of(cluster.snapshot()).services[HOST]
    assert [port.protocol for port in found.ports] == [Protocol.HTTP, Protocol.GRPC]


def test_proxy_defaults_state_it_for_all_others() -> None:
    cluster = consul(shared(config={"protocol": "http"}), resolver(), splitter({"weight": 100, "serviceSubset": "v1"}))
    assert synced(cluster, "ServiceSplitter")[0] == "True"


def calls(cluster: Cluster, client: str, host: str = HOST) -> ClusterMessage:
    made = Generator().generate(cluster.snapshot(), cluster.proxy(client))
    found: ClusterMessage = message(made[CDS][f"outbound|9080||{host}"])
    return found


def test_limits_and_checks_are_for_the_calls_of_that_service() -> None:
    override = {
        "name": "reviews",
        "connectTimeoutMs": 1500,
        "limits": {"maxConnections": 3, "maxPendingRequests": 4, "maxConcurrentRequests": 5},
        "passiveHealthCheck": {"interval": "2s", "maxFailures": 7, "baseEjectionTime": "9s"},
    }
    caller = config("ServiceDefaults", "productpage", {"upstreamConfig": {"overrides": [override]}})
    cluster = consul(caller, resolver(loadBalancer={"policy": "random"}))
    theirs, others = calls(cluster, CLIENT), calls(cluster, "ratings-v1-abc-1")
    limits = theirs.circuit_breakers.thresholds[0]
    assert (limits.max_connections.value, limits.max_pending_requests.value, limits.max_requests.value) == (3, 4, 5)
    assert (theirs.outlier_detection.consecutive_5xx.value, theirs.outlier_detection.interval.seconds) == (7, 2)
    assert (theirs.connect_timeout.seconds, theirs.lb_policy) == (1, ClusterMessage.RANDOM)
    assert (others.HasField("outlier_detection"), others.lb_policy) == (False, ClusterMessage.RANDOM)
    assert addresses(cluster, f"outbound|9080|v2|{HOST}") == ["10.244.0.21"]


def test_defaults_are_for_all_upstreams_without_an_override() -> None:
    upstreams = {"defaults": {"connectTimeoutMs": 2000}, "overrides": [{"name": "ratings", "connectTimeoutMs": 3000}]}
    cluster = consul(config("ServiceDefaults", "productpage", {"upstreamConfig": upstreams}))
    ratings = "ratings.default.svc.cluster.local"
    assert calls(cluster, CLIENT).connect_timeout.seconds == 2
    assert calls(cluster, CLIENT, ratings).connect_timeout.seconds == 3


@pytest.mark.parametrize(
    ("kind", "spec", "path", "severity"),
    [
        (ServiceDefaults, {"protocol": "udp"}, "spec.protocol", "error"),
        (ServiceDefaults, {"envoyExtensions": [{"name": "lua"}]}, "spec.envoyExtensions[0]", "error"),
        (ServiceDefaults, {"meshGateway": {"mode": "x"}}, "spec.meshGateway.mode", "error"),
        (ServiceDefaults, {"meshGateway": {"mode": "local"}}, "spec.meshGateway.mode", "warning"),
        (ServiceDefaults, {"externalSNI": "a"}, "spec.externalSNI", "warning"),
        (ServiceDefaults, {"maxInboundConnections": 1}, "spec.maxInboundConnections", "warning"),
        (ServiceDefaults, {"balanceInboundConnections": "x"}, "spec.balanceInboundConnections", "error"),
        (ServiceDefaults, {"upstreamConfig": {"overrides": [{}]}}, "spec.upstreamConfig.overrides[0].name", "error"),
        (
            ServiceDefaults,
            {"upstreamConfig": {"defaults": {"limits": {"maxConnections": 0}}}},
            "spec.upstreamConfig.defaults.limits.maxConnections",
            "error",
        ),
        (
            ServiceDefaults,
            {"upstreamConfig": {"defaults": {"envoyClusterJSON": "{}"}}},
            "spec.upstreamConfig.defaults.envoyClusterJSON",
            "error",
        ),
        (ProxyDefaults, {"config": {"protocol": 1}}, "spec.config.protocol", "error"),
        (ProxyDefaults, {"config": {"envoy_tracing_json": "{}"}}, "spec.config.envoy_tracing_json", "warning"),
        (ProxyDefaults, {"accessLogs": {"enabled": True}}, "spec.accessLogs", "warning"),
    ],
)
def test_what_is_refused_and_what_has_no_effect(kind: type, spec: Object, path: str, severity: str) -> None:
    name = "global" if kind is ProxyDefaults else "a"
    found = {each.path: each.severity for each in problems(name, decode_as(kind, spec))}
    assert found == {path: severity}
