"""LDS and RDS of a gateway."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from envoy.config.route.v3.route_components_pb2 import VirtualHost
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)
from envoy.extensions.filters.network.rbac.v3.rbac_pb2 import RBAC as NetworkRBAC  # noqa: N811 - a message
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy
from envoy.extensions.transport_sockets.tls.v3.common_pb2 import CertificateValidationContext
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import Secret
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import DownstreamTlsContext
from google.protobuf.any_pb2 import Any as AnyMessage

from mesh_lab.controlplane.delivery.secrets import GATEWAY_PREFIX, credential
from mesh_lab.controlplane.xds import Resources
from mesh_lab.controlplane.xds.typeurls import CDS, EDS, LDS, RDS
from tests.unit.controlplane.cluster import Cluster, bookinfo, config, endpoints, mesh_config, pod, service
from tests.unit.controlplane.envoy import message, static, validate
from tests.unit.controlplane.xds.translated import hosts_of, resources

HTTPS = "0.0.0.0_8443"
PORTS = [
    {"name": "http2", "port": 80, "targetPort": 8080},
    {"name": "https", "port": 443, "targetPort": 8443},
    {"name": "tcp", "port": 9000, "targetPort": "raw"},
]


def edge(proxy_config: str = "") -> Cluster:
    """Bookinfo with a gateway's pod in istio-system, which may have settings of its own."""
    gate = pod("gate-1", "10.244.0.50", namespace="istio-system", app="gate", istio="ingressgateway", meshed=False)
    gate["spec"]["containers"] = [{"name": "istio-proxy", "ports": [{"name": "raw", "containerPort": 9001}]}]
    gate["metadata"]["annotations"] = {"proxy.istio.io/config": proxy_config} if proxy_config else {}
    cluster = bookinfo().add("Pod", gate)
    cluster.add("Service", service("gate", namespace="istio-system", ip="10.96.9.9", ports=PORTS))
    return secret(cluster, "cert")


def secret(
    cluster: Cluster, name: str, namespace: str = "istio-system", keys: tuple[str, ...] = ("tls.crt", "tls.key")
) -> Cluster:
    data = {key: base64.b64encode(b"pem").decode() for key in keys}
    return cluster.add("Secret", {"metadata": {"namespace": namespace, "name": name}, "data": data})


def server(port: int = 80, protocol: str = "HTTP", *hosts: str, **tls: Any) -> dict[str, Any]:
    name = "-".join([protocol.lower(), str(port), *hosts])
    found: dict[str, Any] = {
        "port": {"number": port, "name": name, "protocol": protocol},
        "hosts": list(hosts) or ["*"],
    }
    return found | ({"tls": tls} if tls else {})


def gateway(*servers: dict[str, Any], name: str = "front", namespace: str = "default", **more: Any) -> dict[str, Any]:
    return config(
        "Gateway",
        name,
        {"selector": {"istio": "ingressgateway"}, "servers": list(servers)},
        namespace=namespace,
        **more,
    )


def route(*hosts: str, to: str = "productpage", name: str = "r", **spec: Any) -> dict[str, Any]:
    rules = {"http": [{"route": [{"destination": {"host": to, "port": {"number": 9080}}}]}]}
    return config("VirtualService", name, {"hosts": list(hosts) or ["*"], "gateways": ["front"], **rules, **spec})


def sent(cluster: Cluster) -> Resources:
    return resources(cluster, "gate-1", namespace="istio-system", kind="router")


def chains(cluster: Cluster, name: str) -> list[Any]:
    return list(message(sent(cluster)[LDS][name]).filter_chains)


def context(chain: Any) -> DownstreamTlsContext:
    found = DownstreamTlsContext()
    assert chain.transport_socket.typed_config.Unpack(found)
    return found


def test_it_listens_where_its_service_leads() -> None:
    cluster = edge().istio(gateway(server()), route())
    found = message(sent(cluster)[LDS]["0.0.0.0_8080"])
    assert found.address.socket_address.port_value == 8080
    assert not found.HasField("bind_to_port")
    assert list(hosts_of(sent(cluster), "http.8080")) == ["*:80"]


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


def test_tls_ends_with_the_hosts_own_secret() -> None:
    cluster = secret(edge(), "other", keys=("tls.crt", "tls.key", "ca.crt")).istio(
        gateway(
            server(443, "HTTPS", "a.example.com", mode="SIMPLE", credentialName="cert"),
            server(443, "HTTPS", "b.example.com", mode="MUTUAL", credentialName="other", minProtocolVersion="TLSV1_3"),
            server(443, "HTTPS", "c.example.com", mode="SIMPLE", credentialName="missing"),
        ),
        route("a.example.com"),
    )
    simple, mutual = chains(cluster, "0.0.0.0_8443")
    assert list(simple.filter_chain_match.server_names) == ["a.example.com"]
    certificates = context(simple).common_tls_context.tls_certificate_sds_secret_configs
    assert [each.name for each in certificates] == ["kubernetes://cert"]
    assert not context(simple).require_client_certificate.value
    assert list(mutual.filter_chain_match.server_names) == ["b.example.com"]
    assert context(mutual).require_client_certificate.value
    validation = context(mutual).common_tls_context.combined_validation_context
    assert validation.validation_context_sds_secret_config.name == "kubernetes://other-cacert"
    manager = HttpConnectionManager()
    assert simple.filters[-1].typed_config.Unpack(manager)
    assert list(hosts_of(sent(cluster), manager.rds.route_config_name)) == ["a.example.com:443"]


def test_a_listener_waits_for_the_secrets_of_the_chains_that_it_has() -> None:
    cluster = edge().istio(
        gateway(
            server(443, "HTTPS", "a.example", mode="MUTUAL", credentialName="cert", caCertCredentialName="clients"),
            server(443, "HTTPS", "b.example", mode="SIMPLE", credentialName="missing"),
            server(443, "TLS", "c.example", mode="SIMPLE", credentialName="unused"),
        ),
        route("a.example"),
    )
    secret(secret(cluster, "clients", keys=("ca.crt",)), "unused")
    found = sent(cluster)[LDS]["0.0.0.0_8443"].secrets
    assert found == ("kubernetes://cert", "kubernetes://clients-cacert")


def test_a_missing_secret_does_not_hold_back_the_rest_and_is_taken_up_when_it_comes() -> None:
    cluster = edge().istio(gateway(server(443, "HTTPS", mode="SIMPLE", credentialName="late")), route())
    assert not sent(cluster)[LDS]
    assert chains(secret(cluster, "late"), "0.0.0.0_8443")


@pytest.mark.parametrize(
    ("named", "holder", "asked_for"),
    [
        ({}, "cert", "cert-cacert"),
        ({}, "cert-cacert", "cert-cacert"),
        ({"caCertCredentialName": "clients"}, "clients", "clients-cacert"),
        ({"caCertCredentialName": "clients-cacert"}, "clients-cacert", "clients-cacert"),
    ],
)
def test_clients_are_verified_by_an_authority_whose_absence_holds_nothing_else_back(
    named: dict[str, str], holder: str, asked_for: str
) -> None:
    mutual = server(443, "HTTPS", "b.example", mode="MUTUAL", credentialName="cert", **named)
    simple = server(443, "HTTPS", "a.example", mode="SIMPLE", credentialName="cert")
    cluster = edge().istio(gateway(simple, mutual), route("a.example", "b.example"))
    assert [list(c.filter_chain_match.server_names) for c in chains(cluster, "0.0.0.0_8443")] == [["a.example"]]
    keys = ("tls.crt", "tls.key", "ca.crt") if holder == "cert" else ("ca.crt",)
    _, chain = chains(secret(cluster, holder, keys=keys), "0.0.0.0_8443")
    validation = context(chain).common_tls_context.combined_validation_context
    assert validation.validation_context_sds_secret_config.name == f"kubernetes://{asked_for}"
    given = credential(
        cluster.snapshot(), cluster.proxy("gate-1", "istio-system", "router"), f"{GATEWAY_PREFIX}{asked_for}"
    )
    assert given is not None
    assert [origin.kind for origin in given.origins] == ["Secret", "Gateway"], "a NACK concerns both"


def test_a_secret_of_another_namespace_is_not_the_gateways() -> None:
    cluster = secret(edge(), "theirs", "default")
    cluster.istio(gateway(server(443, "HTTPS", mode="SIMPLE", credentialName="theirs")), route())
    assert not sent(cluster)[LDS]


def test_plain_requests_are_sent_to_https() -> None:
    cluster = edge().istio(
        gateway(server(80, "HTTP", "a.example.com", "b.example.com", httpsRedirect=True)), route("a.example.com")
    )
    found = hosts_of(sent(cluster), "http.8080")
    assert {domain: host.require_tls for host in found.values() for domain in host.domains} == {
        "a.example.com": VirtualHost.ALL,
        "b.example.com": VirtualHost.ALL,
    }


def test_tls_is_passed_on_by_name() -> None:
    shares = [
        {
            "match": [{"sniHosts": ["a.example.com"]}],
            "route": [{"destination": {"host": "reviews", "port": {"number": 9080}}}],
        }
    ]
    routed = config("VirtualService", "r", {"hosts": ["a.example.com"], "gateways": ["front"], "tls": shares})
    cluster = edge().istio(gateway(server(443, "TLS", "a.example.com", mode="PASSTHROUGH")), routed)
    (chain,) = chains(cluster, "0.0.0.0_8443")
    proxy = TcpProxy()
    assert chain.filters[-1].typed_config.Unpack(proxy)
    assert list(chain.filter_chain_match.server_names) == ["a.example.com"]
    assert proxy.cluster == "outbound|9080||reviews.default.svc.cluster.local"
    assert not chain.HasField("transport_socket")


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


@pytest.mark.parametrize("protocol", ["TLS", "HTTPS"])
def test_settings_that_name_no_mode_pass_tls_on(protocol: str) -> None:
    shares = [
        {
            "match": [{"sniHosts": ["a.example.com"]}],
            "route": [{"destination": {"host": "reviews", "port": {"number": 9080}}}],
        }
    ]
    routed = config("VirtualService", "r", {"hosts": ["a.example.com"], "gateways": ["front"], "tls": shares})
    chosen = []
    for tls in ({"mode": "PASSTHROUGH"}, {}):
        made = {**server(443, protocol, "a.example.com"), "tls": tls}
        (chain,) = chains(edge().istio(gateway(made), routed), "0.0.0.0_8443")
        chosen.append(chain)
    assert chosen[0] == chosen[1]


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


def test_it_forwards_a_clients_certificate_and_drops_what_clients_send_of_it() -> None:
    (chain,) = chains(edge().istio(gateway(server()), route()), "0.0.0.0_8080")
    manager = HttpConnectionManager()
    assert chain.filters[-1].typed_config.Unpack(manager)
    assert manager.forward_client_cert_details == HttpConnectionManager.SANITIZE_SET
    assert manager.use_remote_address.value


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


def test_mutual_tls_of_the_mesh_is_passed_on_by_the_cluster_that_its_server_name_says(tmp_path: Path) -> None:
    passing = server(443, "TLS", "*.default.svc.cluster.local", mode="AUTO_PASSTHROUGH")
    plain = pod("old-1", "10.244.1.1", meshed=False)
    cluster = edge().add("Service", service("old", ("http", 80))).add("Pod", plain)
    cluster.add("EndpointSlice", endpoints("old", plain, ports=(("http", 80),)))
    subsets = {"host": "reviews", "subsets": [{"name": "v1", "labels": {"version": "v1"}}]}
    found = sent(cluster.istio(gateway(passing), config("DestinationRule", "r", subsets)))
    names = {f"outbound_.9080_.{subset}_.reviews.default.svc.cluster.local" for subset in ("", "v1")}
    chains = message(found[LDS]["0.0.0.0_8443"]).filter_chains
    assert names <= {name for chain in chains for name in chain.filter_chain_match.server_names}
    assert names <= set(found[CDS])
    assert all(not message(found[CDS][name]).HasField("transport_socket") for name in names)
    assert not message(found[EDS]["outbound_.80_._.old.default.svc.cluster.local"]).endpoints
    assert "outbound_.80_._.gate.istio-system.svc.cluster.local" not in found[CDS]
    validate(static(found), tmp_path)


def test_a_server_may_have_certificates_of_two_kinds_in_files() -> None:
    files = [{"serverCertificate": f"/{kind}.pem", "privateKey": f"/{kind}.key"} for kind in ("rsa", "ecdsa")]
    (chain,) = chains(edge().istio(gateway(server(443, "HTTPS", mode="SIMPLE", tlsCertificates=files)), route()), HTTPS)
    given = context(chain).common_tls_context.tls_certificates
    assert [each.certificate_chain.filename for each in given] == ["/rsa.pem", "/ecdsa.pem"]


def test_clients_certificates_may_be_taken_unverified() -> None:
    cluster = secret(edge(), "cert", keys=("tls.crt", "tls.key", "ca.crt"))
    mutual = server(443, "HTTPS", mode="MUTUAL", credentialName="cert", insecureSkipVerify=True)
    (chain,) = chains(cluster.istio(gateway(mutual), route()), HTTPS)
    validation = context(chain).common_tls_context.combined_validation_context.default_validation_context
    assert validation.trust_chain_verification == CertificateValidationContext.ACCEPT_UNTRUSTED


@pytest.mark.parametrize(("authority", "revoked"), [("ca.crt", "ca.crl"), ("cacert", "crl")])
def test_a_secret_may_list_what_is_revoked(authority: str, revoked: str) -> None:
    cluster = secret(edge(), "cert", keys=("tls.crt", "tls.key", authority, revoked))
    proxy = cluster.proxy("gate-1", "istio-system", "router")
    found = credential(cluster.snapshot(), proxy, f"{GATEWAY_PREFIX}cert-cacert")
    assert found is not None
    sent_as = Secret()
    assert AnyMessage.FromString(found.body).Unpack(sent_as)
    assert sent_as.validation_context.crl.inline_bytes == b"pem"


@pytest.mark.parametrize(("app", "given"), [("productpage", True), ("details", False), ("", False)])
def test_a_sidecar_is_given_the_secrets_of_rules_that_select_it(app: str, given: bool) -> None:
    cluster = secret(bookinfo(), "mine", "default", keys=("tls.crt", "tls.key", "ca.crt"))
    tls = {"portLevelSettings": [{"port": {"number": 9080}, "tls": {"mode": "MUTUAL", "credentialName": "mine"}}]}
    selector = {"workloadSelector": {"matchLabels": {"app": app}}} if app else {}
    cluster.istio(config("DestinationRule", "r", {"host": "reviews", "trafficPolicy": tls, **selector}))
    for name in ("mine", "mine-cacert"):
        found = credential(cluster.snapshot(), cluster.proxy("productpage-v1-abc-1"), f"{GATEWAY_PREFIX}{name}")
        assert (found is not None) is given
    assert credential(cluster.snapshot(), cluster.proxy("productpage-v1-abc-1"), f"{GATEWAY_PREFIX}other") is None


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
