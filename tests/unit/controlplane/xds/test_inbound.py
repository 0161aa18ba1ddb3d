"""LDS and RDS for what a pod receives: which chain takes which connection."""

from __future__ import annotations

from typing import Any

import pytest
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import DownstreamTlsContext

from mesh_lab.controlplane.xds.typeurls import LDS
from tests.unit.controlplane.cluster import Cluster, bookinfo, config, mesh_config, pod, service
from tests.unit.controlplane.xds.translated import hosts_of, listener_of, resources

SERVER = "reviews-v1-abc-1"
MESH = ("istio", "istio-peer-exchange", "istio-http/1.0", "istio-http/1.1", "istio-h2")


def peer(mode: str, **spec: Any) -> dict[str, Any]:
    return config("PeerAuthentication", "p", {"mtls": {"mode": mode}, **spec})


def chains(cluster: Cluster, pod_name: str = SERVER) -> list[Any]:
    return list(listener_of(cluster, "virtualInbound", pod_name).filter_chains)


def chosen(cluster: Cluster, port: int, transport: str, alpn: str = "", pod_name: str = SERVER) -> Any:
    """The chain that Envoy takes: by port, then transport, then ALPN; at each step what names a value comes first."""
    found = chains(cluster, pod_name)
    by_port = [c for c in found if c.filter_chain_match.destination_port.value == port]
    found = by_port or [c for c in found if not c.filter_chain_match.HasField("destination_port")]
    found = [c for c in found if c.filter_chain_match.transport_protocol in (transport, "")]
    by_alpn = [c for c in found if alpn and alpn in c.filter_chain_match.application_protocols]
    found = by_alpn or [c for c in found if not c.filter_chain_match.application_protocols]
    assert len(found) < 2
    return found[0] if found else None


def target(chain: Any) -> str:
    """What a chain does: `http` or `tcp` to a cluster, with `mtls` before it where a certificate is demanded."""
    last = chain.filters[-1].typed_config
    manager, proxy = HttpConnectionManager(), TcpProxy()
    kind, cluster = (
        ("http", manager.rds.route_config_name)
        if last.Unpack(manager)
        else ("tcp", proxy.cluster if last.Unpack(proxy) else "?")
    )
    context = DownstreamTlsContext()
    mutual = chain.transport_socket.typed_config.Unpack(context) and context.require_client_certificate.value
    return f"{'mtls ' if mutual else ''}{kind} {cluster}"


def test_permissive_takes_the_meshs_tls_the_applications_own_and_plain_text() -> None:
    cluster = bookinfo()
    assert target(chosen(cluster, 9080, "tls", "istio-h2")) == "mtls http inbound|9080||"
    assert target(chosen(cluster, 9080, "tls", "istio")) == "mtls http inbound|9080||"
    assert target(chosen(cluster, 9080, "raw_buffer")) == "http inbound|9080||"
    assert target(chosen(cluster, 12345, "tls", "h2")) == "tcp InboundPassthroughCluster"


def test_a_port_that_speaks_http_takes_no_tls_but_the_meshs() -> None:
    assert chosen(bookinfo(), 9080, "tls", "h2") is None


def test_strict_leads_plain_text_nowhere_on_known_and_unknown_ports() -> None:
    cluster = bookinfo().istio(peer("STRICT"))
    for port in (9080, 12345):
        assert target(chosen(cluster, port, "raw_buffer")) == "tcp BlackHoleCluster"
    assert target(chosen(cluster, 9080, "tls", "h2")) == "mtls http inbound|9080||"
    assert target(chosen(cluster, 12345, "tls")) == "mtls tcp InboundPassthroughCluster"


def test_disable_hands_everything_on_as_it_is() -> None:
    cluster = bookinfo().istio(peer("DISABLE"))
    assert target(chosen(cluster, 9080, "raw_buffer")) == "http inbound|9080||"
    assert target(chosen(cluster, 12345, "raw_buffer", "http/1.1")) == "http InboundPassthroughCluster"
    assert target(chosen(cluster, 12345, "raw_buffer")) == "tcp InboundPassthroughCluster"


@pytest.mark.parametrize(
    ("policies", "mode"),
    [
        ([("istio-system", {"mtls": {"mode": "STRICT"}})], "STRICT"),
        ([("istio-system", {"mtls": {"mode": "STRICT"}}), ("default", {"mtls": {"mode": "PERMISSIVE"}})], "PERMISSIVE"),
        ([("istio-system", {"mtls": {"mode": "STRICT"}}), ("default", {"mtls": {"mode": "UNSET"}})], "STRICT"),
        (
            [
                ("default", {"mtls": {"mode": "PERMISSIVE"}}),
                ("default", {"selector": {"matchLabels": {"app": "reviews"}}, "mtls": {"mode": "STRICT"}}),
            ],
            "STRICT",
        ),
        ([("default", {"selector": {"matchLabels": {"app": "ratings"}}, "mtls": {"mode": "STRICT"}})], "PERMISSIVE"),
        ([("elsewhere", {"mtls": {"mode": "STRICT"}})], "PERMISSIVE"),
        (
            [
                (
                    "default",
                    {
                        "selector": {"matchLabels": {"app": "reviews"}},
                        "mtls": {"mode": "STRICT"},
                        "portLevelMtls": {"9080": {"mode": "PERMISSIVE"}},
                    },
                )
            ],
            "PERMISSIVE",
        ),
    ],
)
def test_the_nearest_policy_decides(policies: list[tuple[str, dict[str, Any]]], mode: str) -> None:
    cluster = bookinfo()
    for index, (namespace, spec) in enumerate(policies):
        cluster.istio(config("PeerAuthentication", f"p{index}", spec, namespace=namespace))
    plain = target(chosen(cluster, 9080, "raw_buffer"))
    assert plain == ("tcp BlackHoleCluster" if mode == "STRICT" else "http inbound|9080||")


def test_a_port_that_only_a_policy_names_has_its_mode() -> None:
    spec = {"selector": {"matchLabels": {"app": "reviews"}}, "portLevelMtls": {"7777": {"mode": "STRICT"}}}
    cluster = bookinfo().istio(config("PeerAuthentication", "p", spec))
    assert target(chosen(cluster, 7777, "raw_buffer")) == "tcp BlackHoleCluster"
    assert target(chosen(cluster, 7778, "raw_buffer")) == "tcp InboundPassthroughCluster"


def test_a_port_of_unknown_protocol_is_detected_by_its_first_bytes() -> None:
    cluster = bookinfo().app("odd", ("", 7000), pods=[pod("odd-1", "10.244.1.1")])
    assert target(chosen(cluster, 7000, "raw_buffer", "http/1.1", "odd-1")) == "http inbound|7000||"
    assert target(chosen(cluster, 7000, "raw_buffer", "", "odd-1")) == "tcp inbound|7000||"
    assert target(chosen(cluster, 7000, "tls", "istio-http/1.1", "odd-1")) == "mtls http inbound|7000||"
    assert target(chosen(cluster, 7000, "tls", "istio", "odd-1")) == "mtls tcp inbound|7000||"


def test_a_services_port_may_lead_to_a_containers_port_by_name() -> None:
    named = pod("web-1", "10.244.1.1")
    named["spec"]["containers"] = [{"name": "web", "ports": [{"name": "serve", "containerPort": 8181}]}]
    ports = [{"name": "http", "port": 80, "targetPort": "serve"}]
    cluster = Cluster().add("Pod", named).add("Service", service("web", ports=ports))
    assert target(chosen(cluster, 8181, "raw_buffer", "", "web-1")) == "http inbound|8181||"


def test_sniffing_is_left_out_where_the_protocol_is_known() -> None:
    listener = listener_of(bookinfo(), "virtualInbound", SERVER)
    assert [f.name.rsplit(".")[-1] for f in listener.listener_filters] == [
        "original_dst",
        "tls_inspector",
        "http_inspector",
    ]
    known = listener.listener_filters[-1].filter_disabled.destination_port_range
    assert (known.start, known.end) == (9080, 9081)
    assert not listener.listener_filters[1].HasField("filter_disabled")


def inspected(cluster: Cluster, inspector: str, port: int) -> bool:
    """Whether an inspector looks at connections to a port."""
    listener = listener_of(cluster, "virtualInbound", SERVER)
    found = [f for f in listener.listener_filters if f.name.endswith(inspector)]
    return bool(found) and not (found[0].HasField("filter_disabled") and holds(found[0].filter_disabled, port))


def holds(predicate: Any, port: int) -> bool:
    if predicate.HasField("not_match"):
        return not holds(predicate.not_match, port)
    if predicate.HasField("or_match"):
        return any(holds(each, port) for each in predicate.or_match.rules)
    return bool(predicate.destination_port_range.start <= port < predicate.destination_port_range.end)


@pytest.mark.parametrize(
    ("everywhere", "here", "tls", "http"),
    [
        ("DISABLE", "DISABLE", (False, False), (True, True)),
        ("DISABLE", "STRICT", (True, False), (False, True)),
        ("DISABLE", "PERMISSIVE", (True, False), (True, True)),
        ("PERMISSIVE", "DISABLE", (False, True), (True, True)),
        ("STRICT", "STRICT", (True, True), (False, False)),
        ("STRICT", "DISABLE", (False, True), (True, False)),
        ("STRICT", "PERMISSIVE", (True, True), (True, False)),
    ],
)
def test_a_connection_waits_for_no_more_than_its_port_needs_to_know(
    everywhere: str, here: str, tls: tuple[bool, bool], http: tuple[bool, bool]
) -> None:
    selector = {"matchLabels": {"app": "reviews"}}
    cluster = bookinfo().istio(peer(everywhere, selector=selector, portLevelMtls={"7000": {"mode": here}}))
    assert tuple(inspected(cluster, "tls_inspector", port) for port in (7000, 12345)) == tls
    assert tuple(inspected(cluster, "http_inspector", port) for port in (7000, 12345)) == http


def test_a_client_that_says_nothing_is_waited_for_as_long_as_the_mesh_says() -> None:
    cluster = bookinfo()
    listener = listener_of(cluster, "virtualInbound", SERVER)
    assert listener.HasField("listener_filters_timeout")
    assert listener.listener_filters_timeout.ToMilliseconds() == 0
    cluster.add("ConfigMap", mesh_config("protocolDetectionTimeout: 100ms"))
    listener = listener_of(cluster, "virtualInbound", SERVER)
    assert listener.listener_filters_timeout.ToMilliseconds() == 100
    assert listener.continue_on_listener_filters_timeout


def manager_of(chain: Any) -> HttpConnectionManager:
    manager = HttpConnectionManager()
    assert chain.filters[-1].typed_config.Unpack(manager)
    return manager


def test_the_application_gets_the_clients_identity_from_its_proxy_only() -> None:
    cluster = bookinfo()
    mutual = manager_of(chosen(cluster, 9080, "tls", "istio-h2"))
    assert mutual.forward_client_cert_details == HttpConnectionManager.SANITIZE_SET
    details = mutual.set_current_client_cert_details
    assert (details.subject.value, details.uri, details.dns, details.cert) == (True, True, False, False)
    plain = manager_of(chosen(cluster, 9080, "raw_buffer"))
    assert plain.forward_client_cert_details == HttpConnectionManager.SANITIZE


def test_requests_are_handed_on_without_a_time_limit() -> None:
    (host,) = hosts_of(resources(bookinfo(), SERVER), "inbound|9080||").values()
    (route,) = host.routes
    assert route.route.cluster == "inbound|9080||"
    assert (route.route.HasField("timeout"), route.route.timeout.ToNanoseconds()) == (True, 0)
    assert route.route.retry_policy.retry_on == "reset-before-request"


def test_every_chain_is_for_itself() -> None:
    cluster = bookinfo().istio(
        peer("PERMISSIVE", selector={"matchLabels": {"app": "reviews"}}, portLevelMtls={"9": {"mode": "STRICT"}})
    )
    keys = [
        (c.filter_chain_match.destination_port.value, c.filter_chain_match.transport_protocol, alpn)
        for c in chains(cluster)
        for alpn in c.filter_chain_match.application_protocols or [""]
    ]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(("older", "newer"), [("reviews", "all-of-it"), ("all-of-it", "reviews")])
def test_of_two_services_of_a_port_the_older_one_says_what_it_speaks_and_is_called(older: str, newer: str) -> None:
    cluster = bookinfo()
    for name, day in ((newer, 2), (older, 1)):
        made = service(name, ("http", 9080), selector={"app": "reviews"})
        made["metadata"]["creationTimestamp"] = f"2026-01-0{day}T00:00:00Z"
        cluster.add("Service", made)
    listener = resources(cluster, SERVER)[LDS]["virtualInbound"]
    assert [origin.name for origin in listener.origins if origin.kind == "Service"] == [older]
