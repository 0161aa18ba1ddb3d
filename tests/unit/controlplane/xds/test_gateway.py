"""LDS and RDS of a gateway."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from envoy.config.route.v3.route_components_pb2 import VirtualHost
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)
from envoy.extensions.filters.network.rbac.v3.rbac_pb2 import RBAC as NetworkRBAC  # noqa: N811 - a message
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy

from mesh_lab.controlplane.xds import Generator, http
from mesh_lab.controlplane.xds.typeurls import CDS, EDS, LDS, RDS
from tests.unit.controlplane.cluster import config, endpoints, mesh_config, pod, service
from tests.unit.controlplane.envoy import message, static, validate
from tests.unit.controlplane.xds.gateways import chains, context, edge, gateway, route, sent, server
from tests.unit.controlplane.xds.translated import hosts_of


def test_it_listens_where_its_service_leads() -> None:
    cluster = edge().istio(gateway(server()), route())
    found = message(sent(cluster)[LDS]["0.0.0.0_8080"])
    assert found.address.socket_address.port_value == 8080
    assert not found.HasField("bind_to_port")
    assert list(hosts_of(sent(cluster), "http.8080")) == ["*:80"]


def test_it_listens_at_a_socket(tmp_path: Path) -> None:
    at = {"port": {"number": 0, "name": "local", "protocol": "HTTP"}, "bind": "unix:///tmp/gateway.sock"}
    found = sent(edge().istio(gateway({**at, "hosts": ["*"]}), route(to="reviews")))
    name = "unix:///tmp/gateway.sock"
    assert message(found[LDS][name]).address.pipe.path == "/tmp/gateway.sock"
    assert list(hosts_of(found, f"http.{name}")) == ["*:0"]
    validate(static(found), tmp_path)


def test_a_port_for_a_proxy_serves_requests_as_http_does() -> None:
    assert "0.0.0.0_8080" in sent(edge().istio(gateway(server(80, "HTTP_PROXY")), route(to="reviews")))[LDS]


def test_a_changed_route_has_no_part_in_the_filters_that_ask_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    make = http.connection_manager
    monkeypatch.setattr(http, "connection_manager", lambda *inputs: made.append(inputs[1]) or make(*inputs))
    cluster, generator = edge().istio(gateway(server()), route(to="reviews")), Generator()
    proxy = cluster.proxy("gate-1", "istio-system", "router")
    before = generator.generate(cluster.snapshot(), proxy)
    assert made == ["outbound_0.0.0.0_8080"]
    after = generator.generate(cluster.istio(route(to="ratings")).snapshot(), proxy)
    assert made == ["outbound_0.0.0.0_8080"]
    assert before[RDS]["http.8080"].version != after[RDS]["http.8080"].version
    assert before[LDS]["0.0.0.0_8080"].version == after[LDS]["0.0.0.0_8080"].version


def test_without_a_gateway_it_listens_to_nothing() -> None:
    found = sent(edge().istio(route()))
    assert not found[LDS]
    assert not found[RDS]


def test_a_gateway_for_other_pods_does_not_concern_it() -> None:
    other = config("Gateway", "front", {"selector": {"istio": "egress"}, "servers": [server()]})
    assert not sent(edge().istio(other, route()))[LDS]


def test_it_is_sent_only_the_clusters_that_its_routes_lead_to() -> None:
    found = sent(edge().istio(gateway(server()), route(to="reviews")))
    assert set(found[CDS]) == {"BlackHoleCluster", "outbound|9080||reviews.default.svc.cluster.local"}
    assert set(found[EDS]) == {"outbound|9080||reviews.default.svc.cluster.local"}


def test_a_headless_service_has_endpoints_there_since_clients_outside_know_none() -> None:
    head = pod("head-1", "10.244.1.1")
    cluster = edge().add("Service", service("head", ("http", 9080), clusterIP="None")).add("Pod", head)
    cluster.add("EndpointSlice", endpoints("head", head, ports=(("http", 9080),)))
    found = sent(cluster.istio(gateway(server()), route(to="head")))
    assert "outbound|9080||head.default.svc.cluster.local" in found[EDS]


@pytest.mark.parametrize(
    ("served", "routed", "expected"),
    [
        ("*", "a.example.com", ["a.example.com"]),
        ("*.example.com", "a.example.com", ["a.example.com"]),
        ("a.example.com", "*", ["a.example.com"]),
        ("*.example.com", "*", ["*.example.com"]),
        ("a.example.com", "b.example.com", []),
        ("./a.example.com", "a.example.com", ["a.example.com"]),
        ("other/a.example.com", "a.example.com", []),
        ("*/a.example.com", "a.example.com", ["a.example.com"]),
    ],
)
def test_the_narrower_of_two_hosts_is_served(served: str, routed: str, expected: list[str]) -> None:
    found = hosts_of(sent(edge().istio(gateway(server(80, "HTTP", served)), route(routed))), "http.8080")
    assert [domain for host in found.values() for domain in host.domains] == expected


def test_routes_of_several_virtual_services_for_a_host_add_up_oldest_first() -> None:
    old = route(
        "a.example.com",
        name="z",
        to="reviews",
        http=[{"match": [{"uri": {"prefix": "/r"}}], "route": [{"destination": {"host": "reviews"}}]}],
    )
    young = route("a.example.com", name="a")
    young["metadata"]["creationTimestamp"] = "2027-01-01"
    found = hosts_of(sent(edge().istio(gateway(server()), young, old)), "http.8080")["a.example.com:80"]
    assert [r.route.cluster.split("|")[3].split(".")[0] for r in found.routes] == ["reviews", "productpage"]


def named(name: str, created: str, *matches: dict[str, Any], host: str = "a.example", **spec: Any) -> dict[str, Any]:
    """A VirtualService whose only route bears its name."""
    rule = {"name": name, "route": [{"destination": {"host": "reviews"}}]} | (
        {"match": list(matches)} if matches else {}
    )
    made = route(host, name=name, http=[rule], **spec)
    made["metadata"]["creationTimestamp"] = created
    return made


@pytest.mark.parametrize("everything", [(), ({"uri": {"prefix": "/"}},), ({"uri": {"regex": ".*"}},)])
def test_a_host_split_into_several_virtual_services_has_what_takes_all_last(everything: tuple[Any, ...]) -> None:
    cluster = edge().istio(
        gateway(server()),
        named("a-generic", "2026-01-01", *everything),
        named("b-api", "2026-01-02", {"uri": {"prefix": "/api"}}),
        named("c-test", "2026-01-03", {"uri": {"prefix": "/"}, "headers": {"x": {"exact": "1"}}}),
        named("d-late", "2026-01-04"),
    )
    found = hosts_of(sent(cluster), "http.8080")["a.example:80"]
    assert [each.name for each in found.routes] == ["b-api", "c-test", "a-generic", "d-late"]


def test_a_virtual_service_without_a_rule_for_a_gateway_leaves_its_host_to_others() -> None:
    elsewhere = named("narrow", "2026-01-01", {"port": 443})
    tcp = route("a.example", name="tcp", http=[], tcp=[{"route": [{"destination": {"host": "reviews"}}]}])
    cluster = edge().istio(gateway(server()), elsewhere, tcp, named("wide", "2026-01-02", host="*"))
    assert list(hosts_of(sent(cluster), "http.8080")) == ["*:80"]


def test_a_host_is_redirected_to_tls_when_any_of_its_servers_says_so() -> None:
    plain = gateway(server(80, "HTTP", "a.example"))
    redirecting = gateway(
        server(80, "HTTP", "*.example", "a.example", httpsRedirect=True), name="later", created="2026-02-02"
    )
    found = hosts_of(sent(edge().istio(plain, redirecting, route("a.example"))), "http.8080")
    assert found["a.example:80"].require_tls == found["*.example:redirect"].require_tls == VirtualHost.ALL


@pytest.mark.parametrize("selector", [{}, None])
def test_a_gateway_without_a_selector_is_for_every_gateway(selector: dict[str, str] | None) -> None:
    spec = {"servers": [server()]} | ({} if selector is None else {"selector": selector})
    assert "0.0.0.0_8080" in sent(edge().istio(config("Gateway", "front", spec), route()))[LDS]


def test_a_virtual_service_names_a_gateway_of_another_namespace_in_full() -> None:
    cluster = edge().istio(gateway(server(), namespace="istio-system"), route(gateways=["istio-system/front"]))
    assert list(hosts_of(sent(cluster), "http.8080")) == ["*:80"]
    assert hosts_of(sent(edge().istio(gateway(server(), namespace="istio-system"), route())), "http.8080") == {}


def test_plain_requests_are_sent_to_https() -> None:
    cluster = edge().istio(
        gateway(server(80, "HTTP", "a.example.com", "b.example.com", httpsRedirect=True)), route("a.example.com")
    )
    found = hosts_of(sent(cluster), "http.8080")
    assert {domain: host.require_tls for host in found.values() for domain in host.domains} == {
        "a.example.com": VirtualHost.ALL,
        "b.example.com": VirtualHost.ALL,
    }


@pytest.mark.parametrize(
    ("server_of", "rules"),
    [
        (server(9000, "TCP"), {"tcp": [{"route": [{"destination": {"host": "odd"}}]}]}),
        (
            server(9000, "TLS", mode="SIMPLE", credentialName="cert"),
            {"tcp": [{"route": [{"destination": {"host": "odd"}}]}]},
        ),
        (
            server(9000, "TLS", mode="PASSTHROUGH"),
            {"tls": [{"match": [{"sniHosts": ["a.example"]}], "route": [{"destination": {"host": "odd"}}]}]},
        ),
    ],
)
def test_connections_to_a_port_of_unknown_protocol_say_that_they_are_tcp_and_policies_hold_for_them(
    server_of: dict[str, Any], rules: dict[str, Any]
) -> None:
    cluster = edge().add("Service", service("odd", ("", 7000)))
    routed = config("VirtualService", "r", {"hosts": ["a.example"], "gateways": ["front"], **rules})
    denied = config("AuthorizationPolicy", "d", {"action": "DENY", "rules": [{}]}, namespace="istio-system")
    cluster.istio(gateway(server_of), routed, denied)
    (chain,) = chains(cluster, "0.0.0.0_9001")
    names = [each.name.rpartition(".")[2] for each in chain.filters]
    assert names == ["rbac", "set_filter_state", "tcp_proxy"]
    proxy = TcpProxy()
    assert chain.filters[-1].typed_config.Unpack(proxy)
    assert proxy.cluster == "outbound|7000||odd.default.svc.cluster.local"
    assert "AuthorizationPolicy" in {origin.kind for origin in sent(cluster)[LDS]["0.0.0.0_9001"].origins}


def test_connections_within_tls_that_ends_here_go_where_tcp_rules_send_them() -> None:
    shares = [{"match": [{"port": 443}], "route": [{"destination": {"host": "reviews", "port": {"number": 9080}}}]}]
    routed = config("VirtualService", "r", {"hosts": ["a.example"], "gateways": ["front"], "tcp": shares})
    servers = gateway(server(443, "TLS", "a.example", mode="SIMPLE", credentialName="cert"))
    (chain,) = chains(edge().istio(servers, routed), "0.0.0.0_8443")
    assert list(chain.filter_chain_match.server_names) == ["a.example"]
    assert not context(chain).common_tls_context.alpn_protocols
    certificates = context(chain).common_tls_context.tls_certificate_sds_secret_configs
    assert [each.name for each in certificates] == ["kubernetes://cert"]
    proxy = TcpProxy()
    assert chain.filters[-1].typed_config.Unpack(proxy)
    assert proxy.cluster == "outbound|9080||reviews.default.svc.cluster.local"


def test_connections_through_a_gateway_last_as_long_as_a_destination_rule_says() -> None:
    shares = [{"route": [{"destination": {"host": "reviews", "port": {"number": 9080}}}]}]
    routed = config("VirtualService", "r", {"hosts": ["*"], "gateways": ["front"], "tcp": shares})
    pool = {"connectionPool": {"tcp": {"idleTimeout": "90s"}}}
    rule = config("DestinationRule", "r", {"host": "reviews", "trafficPolicy": pool})
    cluster = edge().istio(gateway(server(9000, "TCP")), routed, rule)
    (chain,) = chains(cluster, "0.0.0.0_9001")
    proxy = TcpProxy()
    assert chain.filters[-1].typed_config.Unpack(proxy)
    assert proxy.idle_timeout.seconds == 90
    assert "DestinationRule" in {origin.kind for origin in sent(cluster)[LDS]["0.0.0.0_9001"].origins}


TCP_ROUTE = [{"route": [{"destination": {"host": "reviews", "port": {"number": 9080}}}]}]
TLS_ROUTE = [{"match": [{"sniHosts": ["a.example"]}], **TCP_ROUTE[0]}]


@pytest.mark.parametrize(
    ("served", "rules", "listener"),
    [
        (server(9000, "TCP"), {"hosts": ["*"], "tcp": TCP_ROUTE}, "0.0.0.0_9001"),
        (server(443, "TLS", "a.example", mode="PASSTHROUGH"), {"tls": TLS_ROUTE}, "0.0.0.0_8443"),
        (server(443, "TLS", "a.example", mode="SIMPLE", credentialName="cert"), {"tcp": TCP_ROUTE}, "0.0.0.0_8443"),
    ],
)
def test_connections_through_a_gateway_are_judged_by_its_policies(
    served: dict[str, Any], rules: dict[str, Any], listener: str
) -> None:
    """They were let in, whatever the policies of the gateway said."""
    routed = config("VirtualService", "r", {"hosts": ["a.example"], "gateways": ["front"], **rules})
    rule = {"from": [{"source": {"ipBlocks": ["10.0.0.0/8"]}}]}
    policy = config("AuthorizationPolicy", "p", {"action": "DENY", "rules": [rule]}, namespace="istio-system")
    cluster = edge().istio(gateway(served), routed, policy)
    (chain,) = chains(cluster, listener)
    judged = NetworkRBAC()
    assert chain.filters[0].typed_config.Unpack(judged)
    assert list(judged.rules.policies) == ["ns[istio-system]-policy[p]-rule[0]"]
    assert "AuthorizationPolicy" in {origin.kind for origin in sent(cluster)[LDS][listener].origins}


def test_connections_go_by_port_and_a_targets_name_is_looked_up() -> None:
    shares = [{"match": [{"port": 9000}], "route": [{"destination": {"host": "reviews", "port": {"number": 9080}}}]}]
    routed = config("VirtualService", "r", {"hosts": ["*"], "gateways": ["front"], "tcp": shares})
    (chain,) = chains(edge().istio(gateway(server(9000, "TCP")), routed), "0.0.0.0_9001")
    proxy = TcpProxy()
    assert chain.filters[-1].typed_config.Unpack(proxy)
    assert proxy.cluster == "outbound|9080||reviews.default.svc.cluster.local"


def test_a_rule_for_some_clients_is_not_for_a_gateway_that_is_none_of_them() -> None:
    def destinations(**match: Any) -> list[str]:
        destination = {"destination": {"host": "reviews", "port": {"number": 9080}}}
        rules = [{"match": [match], "route": [destination]}, {"route": [{"destination": {"host": "productpage"}}]}]
        cluster = edge().istio(gateway(server()), route("a.example", http=rules))
        (host,) = hosts_of(sent(cluster), "http.8080").values()
        return [each.route.cluster.split("|")[3].partition(".")[0] for each in host.routes]

    assert destinations(sourceLabels={"app": "productpage"}) == ["productpage"]
    assert destinations(sourceNamespace="default") == ["productpage"]
    assert destinations(sourceLabels={"app": "gate"}, sourceNamespace="istio-system") == ["reviews"]


def test_connections_of_some_clients_are_not_those_of_a_gateway_that_is_none_of_them() -> None:
    match = {"sniHosts": ["pass.example"], "sourceLabels": {"app": "productpage"}}
    tls = [{"match": [match], "route": [{"destination": {"host": "reviews"}}]}]
    passed = config("VirtualService", "r", {"hosts": ["pass.example"], "gateways": ["front"], "tls": tls})
    servers = gateway(server(443, "TLS", "pass.example", mode="PASSTHROUGH"))
    assert "0.0.0.0_8443" not in sent(edge().istio(servers, passed))[LDS]


def test_a_redirect_over_tls_names_no_port_that_https_implies() -> None:
    servers = gateway(server(443, "HTTPS", "a.example", mode="SIMPLE", credentialName="cert"))
    cluster = edge().istio(servers, route("a.example", http=[{"redirect": {"uri": "/b", "port": 443}}]))
    (host,) = hosts_of(sent(cluster), "https.443.https-443-a.example.front.default").values()
    assert host.routes[0].redirect.port_redirect == 0


TWO_PROXIES = "gatewayTopology: {numTrustedProxies: 2, proxyProtocol: {}}"


@pytest.mark.parametrize(
    ("mesh", "own", "expected"),
    [
        ("", "", (0, False)),
        (TWO_PROXIES, "", (2, True)),
        ("", TWO_PROXIES, (2, True)),
        (TWO_PROXIES, "gatewayTopology: {numTrustedProxies: 1}", (1, False)),
        (TWO_PROXIES, "concurrency: 2", (2, True)),
        (TWO_PROXIES, "gatewayTopology: {numTrustedProxies: many}", (2, True)),
    ],
)
def test_what_stands_before_a_gateway_is_said_by_the_mesh_or_its_pod(
    tmp_path: Path, mesh: str, own: str, expected: tuple[int, bool]
) -> None:
    cluster = edge(own).istio(gateway(server(), server(443, "HTTPS", mode="SIMPLE", credentialName="cert")), route())
    if mesh:
        cluster.add("ConfigMap", mesh_config(f"defaultConfig: {{{mesh}}}"))
    for listener in map(message, sent(cluster)[LDS].values()):
        names = [each.name for each in listener.listener_filters]
        assert ("envoy.filters.listener.proxy_protocol" in names[:1]) is expected[1], "it is read before all else"
        (manager,) = (each.typed_config for each in listener.filter_chains[0].filters)
        found = HttpConnectionManager()
        assert manager.Unpack(found)
        assert found.xff_num_trusted_hops == expected[0]
    assert len(sent(cluster)[LDS]) == 2
    assert dict(cluster.snapshot().invalid) == {}, "nothing of it is without effect"
    validate(static(sent(cluster)), tmp_path)
