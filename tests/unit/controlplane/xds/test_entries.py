"""ServiceEntries: their clusters, endpoints, listeners and routes."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from envoy.config.cluster.v3.cluster_pb2 import Cluster as ClusterMessage
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import UpstreamTlsContext
from envoy.extensions.upstreams.http.v3.http_protocol_options_pb2 import HttpProtocolOptions

from mesh_lab.controlplane.delivery.secrets import credential
from mesh_lab.controlplane.xds import Generator
from mesh_lab.controlplane.xds.typeurls import CDS, EDS, LDS, RDS
from tests.unit.controlplane.cluster import Cluster, bookinfo, config, mesh_config, pod
from tests.unit.controlplane.envoy import message, static, validate
from tests.unit.controlplane.xds.translated import CLIENT, cluster_of, hosts_of, listener_of, resources

HTTP = {"number": 80, "name": "http", "protocol": "HTTP"}
HTTPS = {"number": 443, "name": "https", "protocol": "HTTPS"}
TCP = {"number": 5432, "name": "tcp", "protocol": "TCP"}


def entry(name: str, *hosts: str, **spec: Any) -> dict[str, Any]:
    created = spec.pop("created", "2026-01-01")
    namespace = spec.pop("namespace", "default")
    return config("ServiceEntry", name, {"hosts": list(hosts), **spec}, created=created, namespace=namespace)


def httpbin(**spec: Any) -> dict[str, Any]:
    return entry("httpbin-ext", "httpbin.org", **{"ports": [HTTP], "resolution": "DNS", **spec})


def judged(cluster: Cluster, directory: Path) -> None:
    """Envoy accepts what the client is sent."""
    validate(static(resources(cluster)), directory)


def clusters_of(chains: Any) -> dict[tuple[str, ...], str]:
    """Where the chains of connections lead, by their server names or else their ranges."""
    found = {}
    for chain in chains:
        proxy = TcpProxy()
        if chain.filters[-1].typed_config.Unpack(proxy):
            match = chain.filter_chain_match
            ranges = [f"{each.address_prefix}/{each.prefix_len.value}" for each in match.prefix_ranges]
            found[(*match.server_names, *ranges)] = proxy.cluster
    return found


def test_a_host_by_dns_is_a_cluster_that_looks_it_up(tmp_path: Path) -> None:
    cluster = bookinfo().istio(httpbin())
    made = cluster_of(cluster, "outbound|80||httpbin.org")
    assert made.type == ClusterMessage.STRICT_DNS
    assert made.dns_refresh_rate.seconds == 60
    assert made.respect_dns_ttl
    assert made.dns_lookup_family == ClusterMessage.V4_ONLY
    assert made.connect_timeout.seconds == 10
    (locality,) = made.load_assignment.endpoints
    (endpoint,) = locality.lb_endpoints
    address = endpoint.endpoint.address.socket_address
    assert (address.address, address.port_value) == ("httpbin.org", 80)
    assert not made.HasField("transport_socket")
    assert not made.transport_socket_matches
    assert "outbound|80||httpbin.org" not in resources(cluster)[EDS]
    judged(cluster, tmp_path)


def test_its_requests_are_routed_by_their_host() -> None:
    found = resources(bookinfo().istio(httpbin()))
    hosts = hosts_of(found, "80")
    assert list(hosts) == ["httpbin.org:80", "allow_any"]
    assert list(hosts["httpbin.org:80"].domains) == ["httpbin.org", "httpbin.org."]
    assert hosts["httpbin.org:80"].routes[0].route.cluster == "outbound|80||httpbin.org"
    assert "0.0.0.0_80" in found[LDS]


def test_all_that_is_made_of_it_is_its_own() -> None:
    found = resources(bookinfo().istio(httpbin()))
    for url, name in ((CDS, "outbound|80||httpbin.org"), (RDS, "80")):
        assert ("ServiceEntry", "default", "httpbin-ext") in {origin.key for origin in found[url][name].origins}


def test_hosts_that_nobody_knows_are_refused_where_only_the_registry_is_allowed() -> None:
    cluster = bookinfo().istio(httpbin())
    cluster.add("ConfigMap", mesh_config("outboundTrafficPolicy: {mode: REGISTRY_ONLY}"))
    found = resources(cluster)
    (route,) = hosts_of(found, "80")["block_all"].routes
    assert route.direct_response.status == 502
    assert clusters_of([message(found[LDS]["0.0.0.0_80"]).default_filter_chain]) == {(): "BlackHoleCluster"}


def test_tls_goes_by_its_server_name(tmp_path: Path) -> None:
    cluster = bookinfo().istio(
        entry("google", "www.google.com", "*.example.com", ports=[HTTPS], resolution="NONE"),
        entry("cnn", "edition.cnn.com", ports=[HTTPS], resolution="DNS"),
    )
    listener = listener_of(cluster, "0.0.0.0_443")
    assert clusters_of(listener.filter_chains) == {
        (host,): f"outbound|443||{host}" for host in ("*.example.com", "edition.cnn.com", "www.google.com")
    }
    assert clusters_of([listener.default_filter_chain]) == {(): "PassthroughCluster"}
    assert [each.name for each in listener.listener_filters] == ["envoy.filters.listener.tls_inspector"]
    judged(cluster, tmp_path)


def test_a_port_that_speaks_http_for_one_and_tls_for_another_tells_them_apart(tmp_path: Path) -> None:
    cluster = bookinfo().istio(
        entry("a", "a.example.com", ports=[{**HTTP, "number": 443}], resolution="DNS"),
        entry("b", "b.example.com", ports=[HTTPS], resolution="DNS"),
    )
    listener = listener_of(cluster, "0.0.0.0_443")
    assert [list(c.filter_chain_match.application_protocols) for c in listener.filter_chains] == [
        ["http/1.0", "http/1.1", "h2c"],
        [],
    ]
    judged(cluster, tmp_path)


def test_tcp_goes_by_the_address_or_the_range(tmp_path: Path) -> None:
    cluster = bookinfo().istio(
        entry("db", "db.example.com", ports=[TCP], addresses=["198.18.0.7/32", "198.18.0.8"], resolution="NONE"),
        entry("net", "net.example.com", ports=[TCP], addresses=["198.18.1.0/24"], resolution="NONE"),
    )
    for address in ("198.18.0.7", "198.18.0.8"):
        assert clusters_of(listener_of(cluster, f"{address}_5432").filter_chains) == {
            (): "outbound|5432||db.example.com"
        }
    shared = listener_of(cluster, "0.0.0.0_5432")
    assert clusters_of(shared.filter_chains) == {("198.18.1.0/24",): "outbound|5432||net.example.com"}
    assert clusters_of([shared.default_filter_chain]) == {(): "PassthroughCluster"}
    judged(cluster, tmp_path)


def test_tcp_without_an_address_takes_the_port_and_the_oldest_has_it(tmp_path: Path) -> None:
    cluster = bookinfo().istio(
        entry("a", "a.example.com", ports=[TCP], resolution="DNS", created="2026-02-02"),
        entry("z", "z.example.com", ports=[TCP], resolution="DNS", created="2026-02-01"),
    )
    assert clusters_of(listener_of(cluster, "0.0.0.0_5432").filter_chains) == {(): "outbound|5432||z.example.com"}
    judged(cluster, tmp_path)


def test_a_port_of_no_protocol_is_sniffed_at_every_address(tmp_path: Path) -> None:
    cluster = bookinfo().istio(entry("x", "x.example.com", ports=[{"number": 7000, "name": "any"}], resolution="DNS"))
    assert "x.example.com:7000" in hosts_of(resources(cluster), "7000")
    judged(cluster, tmp_path)


@pytest.mark.parametrize(
    ("resolution", "kind"),
    [("NONE", ClusterMessage.ORIGINAL_DST), ("STATIC", ClusterMessage.EDS), ("DNS", ClusterMessage.STRICT_DNS)],
)
def test_where_endpoints_come_from(resolution: str, kind: int, tmp_path: Path) -> None:
    given = [{"address": "198.18.0.9"}] if resolution == "STATIC" else []
    cluster = bookinfo().istio(httpbin(resolution=resolution, endpoints=given))
    assert cluster_of(cluster, "outbound|80||httpbin.org").type == kind
    judged(cluster, tmp_path)


def test_one_address_of_a_name_is_one_endpoint(tmp_path: Path) -> None:
    cluster = bookinfo().istio(httpbin(resolution="DNS_ROUND_ROBIN"))
    made = cluster_of(cluster, "outbound|80||httpbin.org")
    assert made.type == ClusterMessage.LOGICAL_DNS
    judged(cluster, tmp_path)


def test_endpoints_have_their_own_ports_localities_and_weights() -> None:
    spec = {
        "resolution": "STATIC",
        "ports": [{**HTTP, "targetPort": 8080}],
        "endpoints": [
            {"address": "198.18.0.9", "ports": {"http": 9090}, "weight": 3, "locality": "us/east/a"},
            {"address": "198.18.0.10"},
        ],
    }
    built = resources(bookinfo().istio(httpbin(**spec)))[EDS]["outbound|80||httpbin.org"]
    first, second = message(built).endpoints
    assert [e.endpoint.address.socket_address.port_value for e in first.lb_endpoints] == [8080]
    assert (second.locality.region, second.locality.sub_zone) == ("us", "a")
    assert second.load_balancing_weight.value == 3
    assert [e.endpoint.address.socket_address.port_value for e in second.lb_endpoints] == [9090]


def test_another_port_than_the_one_that_was_called() -> None:
    made = cluster_of(
        bookinfo().istio(httpbin(resolution="NONE", ports=[{**HTTP, "targetPort": 8080}])), "outbound|80||httpbin.org"
    )
    assert made.original_dst_lb_config.upstream_port_override.value == 8080


def test_workloads_are_selected_by_their_labels() -> None:
    cluster = bookinfo().istio(
        entry(
            "ratings",
            "ratings.example.com",
            ports=[{**HTTP, "targetPort": 9080}],
            location="MESH_INTERNAL",
            resolution="STATIC",
            workloadSelector={"labels": {"app": "ratings"}},
        ),
        config("WorkloadEntry", "vm", {"address": "198.18.0.9", "labels": {"app": "ratings"}, "serviceAccount": "vm"}),
        config("WorkloadEntry", "other", {"address": "198.18.0.10", "labels": {"app": "other"}}),
    )
    built = resources(cluster)[EDS]["outbound|80||ratings.example.com"]
    (locality,) = message(built).endpoints
    found = {e.endpoint.address.socket_address.address: e for e in locality.lb_endpoints}
    assert set(found) == {"198.18.0.9", "10.244.0.12"}
    assert all("envoy.transport_socket_match" in e.metadata.filter_metadata for e in found.values())
    assert ("WorkloadEntry", "default", "vm") in {origin.key for origin in built.origins}


def test_a_service_selects_workload_entries_beside_its_pods() -> None:
    vm = config("WorkloadEntry", "vm", {"address": "198.18.0.9", "ports": {"http": 8080}, "labels": {"app": "ratings"}})
    built = resources(bookinfo().istio(vm))[EDS]["outbound|9080||ratings.default.svc.cluster.local"]
    (locality,) = message(built).endpoints
    addresses = [e.endpoint.address.socket_address for e in locality.lb_endpoints]
    assert [(a.address, a.port_value) for a in addresses] == [("10.244.0.12", 9080), ("198.18.0.9", 8080)]


def test_who_may_see_it() -> None:
    cluster = bookinfo().istio(httpbin(namespace="other", exportTo=["."]))
    assert "outbound|80||httpbin.org" not in resources(cluster)[CDS]
    cluster.istio(httpbin(namespace="third", exportTo=["default"]))
    assert "outbound|80||httpbin.org" in resources(cluster)[CDS]


def test_a_service_of_the_cluster_comes_before_an_entry_for_its_host() -> None:
    host = "reviews.default.svc.cluster.local"
    cluster = bookinfo().istio(entry("mine", host, ports=[{**HTTP, "number": 9080}], resolution="DNS"))
    assert cluster_of(cluster, f"outbound|9080||{host}").type == ClusterMessage.EDS


def test_entries_of_one_namespace_add_up_their_ports() -> None:
    cluster = bookinfo().istio(httpbin(), entry("more", "httpbin.org", ports=[HTTPS], resolution="DNS"))
    found = resources(cluster)
    assert {"outbound|80||httpbin.org", "outbound|443||httpbin.org"} <= set(found[CDS])
    origins = {origin.key for origin in found[CDS]["outbound|443||httpbin.org"].origins}
    assert ("ServiceEntry", "default", "more") in origins


def test_tls_is_begun_for_plain_requests(tmp_path: Path) -> None:
    rule = config(
        "DestinationRule",
        "originate",
        {
            "host": "httpbin.org",
            "trafficPolicy": {"portLevelSettings": [{"port": {"number": 80}, "tls": {"mode": "SIMPLE"}}]},
        },
    )
    named = httpbin(ports=[{**HTTP, "targetPort": 443}], subjectAltNames=["httpbin.org"])
    cluster = bookinfo().istio(named, rule)
    made = cluster_of(cluster, "outbound|80||httpbin.org")
    context = UpstreamTlsContext()
    assert made.transport_socket.typed_config.Unpack(context)
    names = context.common_tls_context.validation_context.match_typed_subject_alt_names
    assert [each.matcher.exact for each in names] == ["httpbin.org"]
    (locality,) = made.load_assignment.endpoints
    assert locality.lb_endpoints[0].endpoint.address.socket_address.port_value == 443
    judged(cluster, tmp_path)


def test_rules_for_server_names_hold_on_sidecars(tmp_path: Path) -> None:
    route = config(
        "VirtualService",
        "tls",
        {
            "hosts": ["*.example.com"],
            "tls": [
                {
                    "match": [{"port": 443, "sniHosts": ["a.example.com", "*.example.com"]}],
                    "route": [{"destination": {"host": "b.example.org", "port": {"number": 443}}}],
                }
            ],
        },
    )
    cluster = bookinfo().istio(
        entry("wild", "*.example.com", ports=[HTTPS]),
        entry("b", "b.example.org", ports=[HTTPS], resolution="DNS"),
        route,
    )
    listener = listener_of(cluster, "0.0.0.0_443")
    assert clusters_of(listener.filter_chains) == {
        ("a.example.com", "*.example.com"): "outbound|443||b.example.org",
        ("b.example.org",): "outbound|443||b.example.org",
    }
    judged(cluster, tmp_path)


def test_rules_for_subnets_hold_on_sidecars(tmp_path: Path) -> None:
    def to(host: str) -> list[dict[str, Any]]:
        return [{"destination": {"host": host, "port": {"number": 5432}}}]

    route = config(
        "VirtualService",
        "tcp",
        {
            "hosts": ["db.example.com"],
            "tcp": [{"match": [{"destinationSubnets": ["198.18.5.0/24"]}], "route": to("other.example.com")}],
        },
    )
    cluster = bookinfo().istio(
        entry("db", "db.example.com", ports=[TCP], resolution="DNS"),
        entry("other", "other.example.com", ports=[TCP], resolution="DNS", created="2026-03-03"),
        route,
    )
    listener = listener_of(cluster, "0.0.0.0_5432")
    assert clusters_of(listener.filter_chains) == {("198.18.5.0/24",): "outbound|5432||other.example.com"}
    assert clusters_of([listener.default_filter_chain]) == {(): "outbound|5432||db.example.com"}
    judged(cluster, tmp_path)


def test_an_egress_gateway_is_on_the_way(tmp_path: Path) -> None:
    cluster = bookinfo()
    cluster.app("egress", ("tls", 443), pods=[pod("egress-1", "10.244.2.1", istio="egressgateway")])
    gateway = config(
        "Gateway",
        "egress",
        {
            "selector": {"istio": "egressgateway"},
            "servers": [
                {
                    "port": {"number": 443, "name": "tls", "protocol": "TLS"},
                    "hosts": ["edition.cnn.com"],
                    "tls": {"mode": "PASSTHROUGH"},
                }
            ],
        },
    )

    def rule(where: str, host: str) -> dict[str, Any]:
        match = {"gateways": [where], "port": 443, "sniHosts": ["edition.cnn.com"]}
        return {"match": [match], "route": [{"destination": {"host": host, "port": {"number": 443}}}]}

    inner = "egress.default.svc.cluster.local"
    route = config(
        "VirtualService",
        "through",
        {
            "hosts": ["edition.cnn.com"],
            "gateways": ["mesh", "egress"],
            "tls": [rule("mesh", inner), rule("egress", "edition.cnn.com")],
        },
    )
    cluster.istio(entry("cnn", "edition.cnn.com", ports=[HTTPS], resolution="DNS"), gateway, route)
    sent = listener_of(cluster, "0.0.0.0_443")
    assert clusters_of(sent.filter_chains) == {("edition.cnn.com",): f"outbound|443||{inner}"}
    found = Generator().generate(cluster.snapshot(), cluster.proxy("egress-1", kind="router"))
    onward = message(found[LDS]["0.0.0.0_443"]).filter_chains
    assert clusters_of(onward) == {("edition.cnn.com",): "outbound|443||edition.cnn.com"}
    assert message(found[CDS]["outbound|443||edition.cnn.com"]).type == ClusterMessage.STRICT_DNS
    validate(static(found), tmp_path)


def test_other_changes_leave_what_is_made_of_it_alone() -> None:
    cluster = bookinfo().istio(httpbin())
    generator = Generator()
    before = generator.generate(cluster.snapshot(), cluster.proxy(CLIENT))
    cluster.istio(entry("other", "other.example.com", ports=[TCP], resolution="DNS"))
    after = generator.generate(cluster.snapshot(), cluster.proxy(CLIENT))
    name = "outbound|80||httpbin.org"
    assert after[CDS][name] is before[CDS][name]
    assert after[LDS]["0.0.0.0_80"] is before[LDS]["0.0.0.0_80"]


def test_a_gateway_begins_tls_with_the_name_that_each_request_is_for() -> None:
    rule = config("DestinationRule", "tls", {"host": "edition.cnn.com", "trafficPolicy": {"tls": {"mode": "SIMPLE"}}})
    cluster = bookinfo().istio(entry("cnn", "edition.cnn.com", ports=[HTTPS], resolution="DNS"), rule)
    made = cluster_of(cluster, "outbound|443||edition.cnn.com")
    options = HttpProtocolOptions()
    (packed,) = made.typed_extension_protocol_options.values()
    assert packed.Unpack(options)
    assert options.upstream_http_protocol_options.auto_sni
    assert options.upstream_http_protocol_options.auto_san_validation


@pytest.mark.parametrize("selected", [True, False])
def test_a_sidecar_has_the_secret_of_a_rule_that_selects_it(selected: bool) -> None:
    selector = {"workloadSelector": {"matchLabels": {"app": "productpage"}}} if selected else {}
    tls = {"mode": "MUTUAL", "credentialName": "client", "sni": "httpbin.org"}
    cluster = bookinfo().istio(
        httpbin(),
        config("DestinationRule", "tls", {"host": "httpbin.org", "trafficPolicy": {"tls": tls}, **selector}),
    )
    data = {key: base64.b64encode(b"pem").decode() for key in ("tls.crt", "tls.key", "ca.crt")}
    cluster.add("Secret", {"metadata": {"namespace": "default", "name": "client"}, "data": data})
    context = UpstreamTlsContext()
    made = cluster_of(cluster, "outbound|80||httpbin.org")
    assert made.transport_socket.typed_config.Unpack(context)
    names = [each.name for each in context.common_tls_context.tls_certificate_sds_secret_configs]
    assert names == (["kubernetes://client"] if selected else [])
    assert context.sni == "httpbin.org"
    for name in ("kubernetes://client", "kubernetes://client-cacert"):
        given = credential(cluster.snapshot(), cluster.proxy(CLIENT), name)
        assert (given is not None) == selected
    assert credential(cluster.snapshot(), cluster.proxy("ratings-v1-abc-1"), "kubernetes://client") is None


def test_calls_to_the_outside_may_go_to_a_proxy(tmp_path: Path) -> None:
    proxy = {"host": "proxy.example.com", "port": {"number": 3128}}
    limits = {
        "egress": [{"hosts": ["./reviews.default.svc.cluster.local"]}],
        "outboundTrafficPolicy": {"mode": "ALLOW_ANY", "egressProxy": proxy},
    }
    cluster = bookinfo().istio(
        entry("proxy", "proxy.example.com", ports=[{**TCP, "number": 3128}], resolution="DNS"),
        config("Sidecar", "s", limits),
    )
    onward = "outbound|3128||proxy.example.com"
    found = resources(cluster)
    assert clusters_of(message(found[LDS]["virtualOutbound"]).filter_chains[1:]) == {(): onward}
    assert hosts_of(found, "9080")["allow_any"].routes[0].route.cluster == onward
    assert onward in found[CDS]
    judged(cluster, tmp_path)
