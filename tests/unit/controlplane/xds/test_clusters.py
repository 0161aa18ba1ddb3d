"""CDS and EDS: limits, load balancing, and who speaks mutual TLS to whom."""

from __future__ import annotations

from typing import Any

import pytest
from envoy.config.cluster.v3.cluster_pb2 import Cluster as Message
from envoy.extensions.filters.http.header_mutation.v3.header_mutation_pb2 import HeaderMutation
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import UpstreamTlsContext
from envoy.extensions.upstreams.http.v3.http_protocol_options_pb2 import HttpProtocolOptions

from mesh_lab.controlplane.xds.telemetry import PEER_HEADER
from mesh_lab.controlplane.xds.typeurls import CDS, EDS
from tests.unit.controlplane.cluster import Cluster, bookinfo, config, endpoints, mesh_config, pod, service
from tests.unit.controlplane.envoy import message
from tests.unit.controlplane.xds.translated import REVIEWS, cluster_of, endpoints_of, resources

NAME = f"outbound|9080||{REVIEWS}"


def rule(host: str = "reviews", **policy: Any) -> dict[str, Any]:
    return config("DestinationRule", host.strip("*."), {"host": host, "trafficPolicy": policy})


def protocol(cluster: Any) -> HttpProtocolOptions:
    options = HttpProtocolOptions()
    cluster.typed_extension_protocol_options["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"].Unpack(options)
    return options


def tls(socket: Any) -> UpstreamTlsContext:
    context = UpstreamTlsContext()
    assert socket.typed_config.Unpack(context)
    return context


def principals(context: UpstreamTlsContext) -> list[str]:
    validation = context.common_tls_context.combined_validation_context.default_validation_context
    return [each.matcher.exact for each in validation.match_typed_subject_alt_names]


def mixed() -> Cluster:
    """reviews with a pod that has a sidecar and one that has none."""
    pods = [pod("reviews-v1-abc-1", "10.244.0.20", version="v1"), pod("reviews-old", "10.244.0.21", meshed=False)]
    return bookinfo().app("reviews", ("http", 9080), pods=pods)


def test_limits_are_none_unless_set() -> None:
    cluster = cluster_of(bookinfo(), NAME)
    (limits,) = cluster.circuit_breakers.thresholds
    assert {
        limits.max_connections.value,
        limits.max_pending_requests.value,
        limits.max_requests.value,
        limits.max_retries.value,
    } == {2**32 - 1}
    assert not limits.track_remaining
    assert cluster.lb_policy == Message.LEAST_REQUEST
    assert cluster.connect_timeout.seconds == 10
    assert not cluster.HasField("outlier_detection")
    assert cluster.common_lb_config.HasField("healthy_panic_threshold")
    assert cluster.common_lb_config.healthy_panic_threshold.value == 0


def test_circuit_breakers() -> None:
    pool = {
        "tcp": {"maxConnections": 1, "connectTimeout": "30ms"},
        "http": {"http1MaxPendingRequests": 2, "http2MaxRequests": 3, "maxRetries": 4, "maxRequestsPerConnection": 5},
    }
    cluster = cluster_of(bookinfo().istio(rule(connectionPool=pool)), NAME)
    (limits,) = cluster.circuit_breakers.thresholds
    assert limits.max_connections.value == 1
    assert limits.max_pending_requests.value == 2
    assert limits.max_requests.value == 3
    assert limits.max_retries.value == 4
    assert limits.track_remaining
    assert cluster.connect_timeout.ToMilliseconds() == 30
    assert protocol(cluster).common_http_protocol_options.max_requests_per_connection.value == 5


@pytest.mark.parametrize(
    "pool",
    [
        {"tcp": {"maxConnections": 1}},
        {"http": {"http1MaxPendingRequests": 1}},
        {"http": {"http2MaxRequests": 1}},
        {"http": {"maxRetries": 1}},
    ],
)
def test_what_remains_is_counted_where_there_is_any_limit(pool: dict[str, Any]) -> None:
    cluster = cluster_of(bookinfo().istio(rule(connectionPool=pool)), NAME)
    assert cluster.circuit_breakers.thresholds[0].track_remaining


def test_requests_connections_end_when_idle_for_as_long_as_connections_may_be() -> None:
    idle = cluster_of(bookinfo().istio(rule(connectionPool={"tcp": {"idleTimeout": "9s"}})), NAME)
    assert protocol(idle).common_http_protocol_options.idle_timeout.seconds == 9
    both = {"tcp": {"idleTimeout": "9s"}, "http": {"idleTimeout": "5s"}}
    shorter = cluster_of(bookinfo().istio(rule(connectionPool=both)), NAME)
    assert protocol(shorter).common_http_protocol_options.idle_timeout.seconds == 5


def test_ejection_has_istios_defaults() -> None:
    found = cluster_of(bookinfo().istio(rule(outlierDetection={})), NAME).outlier_detection
    assert (found.consecutive_5xx.value, found.interval.seconds, found.base_ejection_time.seconds) == (5, 10, 30)
    assert (found.max_ejection_percent.value, found.enforcing_success_rate.value) == (10, 0)


def test_ejection_as_asked_for() -> None:
    asked = {
        "consecutive5xxErrors": 1,
        "consecutiveGatewayErrors": 2,
        "interval": "1s",
        "baseEjectionTime": "3m",
        "maxEjectionPercent": 100,
    }
    found = cluster_of(bookinfo().istio(rule(outlierDetection=asked)), NAME).outlier_detection
    assert (found.consecutive_5xx.value, found.consecutive_gateway_failure.value) == (1, 2)
    assert found.enforcing_consecutive_gateway_failure.value == 100
    assert (found.base_ejection_time.seconds, found.max_ejection_percent.value) == (180, 100)


@pytest.mark.parametrize(
    ("balancer", "expected"),
    [
        ({"simple": "ROUND_ROBIN"}, Message.ROUND_ROBIN),
        ({"simple": "RANDOM"}, Message.RANDOM),
        ({"simple": "LEAST_CONN"}, Message.LEAST_REQUEST),
        ({"consistentHash": {"useSourceIp": True}}, Message.RING_HASH),
        ({"consistentHash": {"useSourceIp": True, "maglev": {"tableSize": 5003}}}, Message.MAGLEV),
    ],
)
def test_load_balancers(balancer: dict[str, Any], expected: int) -> None:
    assert cluster_of(bookinfo().istio(rule(loadBalancer=balancer)), NAME).lb_policy == expected


def test_a_subset_overrides_the_host_and_a_port_overrides_both_as_a_whole() -> None:
    spec = {
        "host": "reviews",
        "trafficPolicy": {"loadBalancer": {"simple": "RANDOM"}, "outlierDetection": {}},
        "subsets": [
            {"name": "v1", "labels": {"version": "v1"}, "trafficPolicy": {"loadBalancer": {"simple": "ROUND_ROBIN"}}},
            {
                "name": "v2",
                "labels": {"version": "v2"},
                "trafficPolicy": {"portLevelSettings": [{"port": {"number": 9080}, "connectionPool": {"tcp": {}}}]},
            },
        ],
    }
    found = bookinfo().istio(config("DestinationRule", "r", spec))
    clusters = {subset: cluster_of(found, f"outbound|9080|{subset}|{REVIEWS}") for subset in ("", "v1", "v2")}
    assert {s: c.lb_policy for s, c in clusters.items()} == {
        "": Message.RANDOM,
        "v1": Message.ROUND_ROBIN,
        "v2": Message.LEAST_REQUEST,
    }
    assert {s: c.HasField("outlier_detection") for s, c in clusters.items()} == {"": True, "v1": True, "v2": False}


def test_the_clients_namespace_speaks_before_the_services() -> None:
    theirs = config("DestinationRule", "r", {"host": REVIEWS, "trafficPolicy": {"loadBalancer": {"simple": "RANDOM"}}})
    ours = config(
        "DestinationRule",
        "r",
        {"host": REVIEWS, "trafficPolicy": {"loadBalancer": {"simple": "ROUND_ROBIN"}}},
        namespace="shop",
    )
    cluster = bookinfo().add("Pod", pod("buyer-1", "10.244.9.9", namespace="shop")).istio(theirs, ours)
    found = message(resources(cluster, "buyer-1", namespace="shop")[CDS][NAME])
    assert found.lb_policy == Message.ROUND_ROBIN
    assert cluster_of(cluster, NAME).lb_policy == Message.RANDOM


@pytest.mark.parametrize(("namespace", "app", "expected"), [("default", "productpage", 7), ("far", "productpage", 1)])
def test_a_rule_for_some_workloads_of_its_namespace_comes_before_one_for_all(
    namespace: str, app: str, expected: int
) -> None:
    def limit(connections: int, **spec: Any) -> dict[str, Any]:
        pool = {"connectionPool": {"tcp": {"maxConnections": connections}}}
        name = f"for-{connections}"
        spec |= {"host": REVIEWS, "trafficPolicy": pool}
        created = "2026-02-02" if "workloadSelector" in spec else "2026-01-01"
        return config("DestinationRule", name, spec, created=created)

    some = limit(7, workloadSelector={"matchLabels": {"app": app}})
    cluster = bookinfo().istio(limit(1), some)
    cluster.add("Pod", pod("productpage-far", "10.244.9.9", namespace="far", app="productpage"))
    name = "productpage-far" if namespace == "far" else "productpage-v1-abc-1"
    found = message(resources(cluster, name, namespace=namespace)[CDS][NAME])
    assert found.circuit_breakers.thresholds[0].max_connections.value == expected


def test_between_sidecars_http_goes_over_http2_and_mutual_tls_to_the_services_own_identity() -> None:
    cluster = cluster_of(bookinfo(), NAME)
    context = tls(cluster.transport_socket)
    assert principals(context) == ["spiffe://cluster.local/ns/default/sa/reviews"]
    assert list(context.common_tls_context.alpn_protocols) == ["istio-h2", "h2"]
    assert context.sni == f"outbound_.9080_._.{REVIEWS}"
    assert protocol(cluster).explicit_http_config.HasField("http2_protocol_options")
    assert context.common_tls_context.tls_certificate_sds_secret_configs[0].name == "default"


def test_one_endpoint_without_a_sidecar_makes_all_choose_by_their_mark() -> None:
    cluster = mixed()
    found = cluster_of(cluster, NAME)
    assert [match.name for match in found.transport_socket_matches] == ["tlsMode-istio", "tlsMode-disabled"]
    assert not found.HasField("transport_socket")
    assert protocol(found).explicit_http_config.HasField("http_protocol_options")
    marked = {
        address: "envoy.transport_socket_match" in each.metadata.filter_metadata
        for address, each in endpoints_of(cluster, NAME).items()
    }
    assert marked == {"10.244.0.20": True, "10.244.0.21": False}


def test_a_service_that_is_scaled_to_nothing_is_not_changed_by_its_first_sidecar() -> None:
    cluster = Cluster().app("a", ("http", 80), pods=[]).add("Pod", pod("client-1", "10.244.0.2"))
    name = "outbound|80||a.default.svc.cluster.local"
    before = resources(cluster, "client-1")[CDS][name]
    assert protocol(message(before)).explicit_http_config.HasField("http2_protocol_options")
    assert message(before).HasField("transport_socket")


@pytest.mark.parametrize(
    "pool",
    [
        {"tcp": {"maxConnections": 1}},
        {"http": {"http1MaxPendingRequests": 1}},
        {"http": {"maxRequestsPerConnection": 1}},
        {"http": {"h2UpgradePolicy": "DO_NOT_UPGRADE"}},
    ],
)
def test_limits_that_only_http1_knows_keep_http1(pool: dict[str, Any]) -> None:
    found = cluster_of(bookinfo().istio(rule(connectionPool=pool)), NAME)
    assert protocol(found).explicit_http_config.HasField("http_protocol_options")
    assert found.transport_socket_matches


@pytest.mark.parametrize("mode", [None, "DISABLE"])
def test_a_rule_that_asks_for_http2_is_obeyed_without_sidecars_too(mode: str | None) -> None:
    policy: dict[str, Any] = {"connectionPool": {"http": {"h2UpgradePolicy": "UPGRADE"}}}
    if mode:
        policy["tls"] = {"mode": mode}
    found = cluster_of(mixed().istio(rule(**policy)), NAME)
    assert protocol(found).explicit_http_config.HasField("http2_protocol_options")
    assert not found.HasField("transport_socket")
    matched = [each.name for each in found.transport_socket_matches]
    assert matched == ([] if mode else ["tlsMode-istio", "tlsMode-disabled"])


ODD = "outbound|7000||odd.default.svc.cluster.local"


def odd() -> Cluster:
    """A service of undeclared protocol, and a gateway that leads to it."""
    cluster = bookinfo().app("odd", ("", 7000), pods=[pod("odd-1", "10.244.1.1")])
    cluster.add("Pod", pod("gate-1", "10.244.0.50", namespace="istio-system", app="gate", meshed=False))
    servers = [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}]
    cluster.istio(config("Gateway", "front", {"selector": {"app": "gate"}, "servers": servers}))
    rules = [{"route": [{"destination": {"host": "odd"}}]}]
    return cluster.istio(config("VirtualService", "r", {"hosts": ["*"], "gateways": ["front"], "http": rules}))


def at_the_edge(cluster: Cluster, name: str) -> Any:
    return message(resources(cluster, "gate-1", namespace="istio-system", kind="router")[CDS][name])


def test_a_server_of_undeclared_protocol_is_spoken_to_as_its_client_speaks_by_sidecars_only() -> None:
    cluster = odd()
    assert protocol(cluster_of(cluster, ODD)).HasField("use_downstream_protocol_config")
    assert protocol(cluster_of(cluster, "inbound|7000||", "odd-1")).HasField("use_downstream_protocol_config")
    assert protocol(at_the_edge(cluster, ODD)).explicit_http_config.HasField("http_protocol_options")


def test_a_rule_that_asks_for_http2_does_not_change_undeclared_ports_in_sidecars() -> None:
    cluster = odd().istio(rule("odd", connectionPool={"http": {"h2UpgradePolicy": "UPGRADE"}}))
    found = cluster_of(cluster, ODD)
    assert protocol(found).HasField("use_downstream_protocol_config")
    (mutual, _) = found.transport_socket_matches
    assert list(tls(mutual.transport_socket).common_tls_context.alpn_protocols) == ["istio-http/1.1"]
    assert protocol(at_the_edge(cluster, ODD)).explicit_http_config.HasField("http2_protocol_options")


@pytest.mark.parametrize("name", ["http", "http2"])
def test_a_rule_may_ask_for_what_the_client_speaks(name: str) -> None:
    cluster = bookinfo().app("web", (name, 7000), pods=[pod("web-1", "10.244.1.1")])
    cluster.istio(rule("web", connectionPool={"http": {"useClientProtocol": True}}))
    found = cluster_of(cluster, "outbound|7000||web.default.svc.cluster.local")
    assert protocol(found).HasField("use_downstream_protocol_config")


def test_where_the_server_takes_no_mutual_tls_none_is_spoken() -> None:
    cluster = bookinfo().istio(config("PeerAuthentication", "p", {"mtls": {"mode": "DISABLE"}}))
    assert not any(
        "envoy.transport_socket_match" in each.metadata.filter_metadata for each in endpoints_of(cluster, NAME).values()
    )
    assert cluster_of(cluster, NAME).transport_socket_matches


@pytest.mark.parametrize(
    ("mode", "socket", "matches"), [("DISABLE", False, False), ("ISTIO_MUTUAL", True, False), ("SIMPLE", True, False)]
)
def test_a_destination_rule_settles_it(mode: str, socket: bool, matches: bool) -> None:
    found = cluster_of(mixed().istio(rule(tls={"mode": mode})), NAME)
    assert (found.HasField("transport_socket"), bool(found.transport_socket_matches)) == (socket, matches)


def test_tls_of_ones_own_trusts_the_systems_authorities() -> None:
    found = cluster_of(bookinfo().istio(rule(tls={"mode": "SIMPLE", "sni": "s", "subjectAltNames": ["s"]})), NAME)
    context = tls(found.transport_socket)
    validation = context.common_tls_context.validation_context
    assert context.sni == "s"
    assert validation.trusted_ca.filename == "/etc/ssl/certs/ca-certificates.crt"
    assert [each.matcher.exact for each in validation.match_typed_subject_alt_names] == ["s"]


@pytest.mark.parametrize(
    ("settings", "named", "verified"),
    [
        ({"mode": "SIMPLE"}, True, True),
        ({"mode": "MUTUAL", "clientCertificate": "/c", "privateKey": "/k"}, True, True),
        ({"mode": "SIMPLE", "sni": "s"}, False, False),
        ({"mode": "SIMPLE", "subjectAltNames": ["s"]}, True, False),
        ({"mode": "SIMPLE", "insecureSkipVerify": True}, True, False),
        ({"mode": "ISTIO_MUTUAL"}, False, False),
        ({"mode": "DISABLE"}, False, False),
    ],
)
def test_tls_of_ones_own_asks_for_a_requests_host_and_wants_its_certificate(
    settings: dict[str, Any], named: bool, verified: bool
) -> None:
    found = protocol(cluster_of(bookinfo().istio(rule(tls=settings)), NAME)).upstream_http_protocol_options
    assert (found.auto_sni, found.auto_san_validation) == (named, verified)


def test_what_is_not_to_be_verified_is_not() -> None:
    cluster = bookinfo().istio(rule(tls={"mode": "SIMPLE", "insecureSkipVerify": True}))
    context = tls(cluster_of(cluster, NAME).transport_socket).common_tls_context
    assert context.WhichOneof("validation_context_type") is None


def test_grpc_is_http2_with_or_without_a_sidecar() -> None:
    cluster = bookinfo().app("rpc", ("grpc", 50051), pods=[pod("rpc-1", "10.244.1.1", meshed=False)])
    found = cluster_of(cluster, "outbound|50051||rpc.default.svc.cluster.local")
    assert protocol(found).explicit_http_config.HasField("http2_protocol_options")


def test_a_headless_service_is_reached_where_the_client_says() -> None:
    head = pod("head-1", "10.244.1.1")
    cluster = bookinfo().add("Service", service("head", ("http", 80), clusterIP="None")).add("Pod", head)
    cluster.add("EndpointSlice", endpoints("head", head, ports=(("http", 80),)))
    name = "outbound|80||head.default.svc.cluster.local"
    found = resources(cluster)
    assert message(found[CDS][name]).type == Message.ORIGINAL_DST
    assert name not in found[EDS]
    assert message(found[CDS][name]).HasField("transport_socket")


def noted(cluster: Message) -> str:
    return cluster.metadata.filter_metadata["istio"].fields["config"].string_value


def test_a_cluster_names_the_rule_that_shapes_it_and_subsets_alone_leave_the_services_own() -> None:
    path = "/apis/networking.istio.io/v1/namespaces/default/destination-rule"
    spec: dict[str, Any] = {"host": "reviews", "subsets": [{"name": "v2", "labels": {"version": "v2"}}]}
    plain, split = bookinfo(), bookinfo().istio(config("DestinationRule", "split", spec))
    assert noted(cluster_of(split, f"outbound|9080|v2|{REVIEWS}")) == f"{path}/split"
    assert cluster_of(split, NAME).SerializeToString() == cluster_of(plain, NAME).SerializeToString()
    assert (
        noted(cluster_of(bookinfo().istio(rule(connectionPool={"tcp": {"maxConnections": 1}})), NAME))
        == f"{path}/reviews"
    )


def test_a_subsets_endpoints_are_those_with_its_labels() -> None:
    spec = {"host": "reviews", "subsets": [{"name": "v2", "labels": {"version": "v2"}}]}
    cluster = bookinfo().istio(config("DestinationRule", "r", spec))
    assert list(endpoints_of(cluster, f"outbound|9080|v2|{REVIEWS}")) == ["10.244.0.21"]
    assert len(endpoints_of(cluster, NAME)) == 3


def test_the_application_is_on_the_loopback_where_the_mesh_says_so() -> None:
    cluster = bookinfo().add("ConfigMap", mesh_config("inboundTrafficPolicy: {mode: LOCALHOST}"))
    (locality,) = cluster_of(cluster, "inbound|9080||").load_assignment.endpoints
    address = locality.lb_endpoints[0].endpoint.address.socket_address
    assert (address.address, address.port_value) == ("127.0.0.1", 9080)


def test_the_application_behind_a_sidecar_sees_a_loopback_address() -> None:
    found = cluster_of(bookinfo(), "inbound|9080||")
    (locality,) = found.load_assignment.endpoints
    address = locality.lb_endpoints[0].endpoint.address.socket_address
    assert (address.address, address.port_value) == ("10.244.0.10", 9080)
    assert found.upstream_bind_config.source_address.address == "127.0.0.6"


def pool(limit: int) -> dict[str, Any]:
    return {"connectionPool": {"tcp": {"maxConnections": limit}}}


def admitted(cluster: Cluster) -> int:
    """The limit of connections between reviews' sidecar and its application; 0 for none."""
    found = cluster_of(cluster, "inbound|8080||", "reviews-1").circuit_breakers.thresholds[0].max_connections.value
    return 0 if found == 2**32 - 1 else int(found)


def called_at_80() -> Cluster:
    """Reviews, whose container's port has another number than its Service's."""
    ports = [{"name": "http", "port": 80, "targetPort": 8080}]
    cluster = Cluster().add("Pod", pod("reviews-1", "10.244.1.1"))
    return cluster.add("Service", service("reviews", ports=ports))


def test_limits_hold_in_the_servers_sidecar_too() -> None:
    cluster = called_at_80()
    assert admitted(cluster) == 0
    http = {"http2MaxRequests": 5, "maxRequestsPerConnection": 6, "idleTimeout": "7s"}
    tcp = {"maxConnections": 3, "connectTimeout": "2s", "tcpKeepalive": {"time": "60s"}}
    cluster.istio(rule(connectionPool={"tcp": tcp, "http": http}, outlierDetection={"interval": "1s"}))
    found = cluster_of(cluster, "inbound|8080||", "reviews-1")
    assert found.circuit_breakers.thresholds[0].max_requests.value == 5
    assert found.connect_timeout.seconds == 2
    assert found.upstream_connection_options.tcp_keepalive.keepalive_time.value == 60
    assert protocol(found).common_http_protocol_options.max_requests_per_connection.value == 6
    assert protocol(found).common_http_protocol_options.idle_timeout.seconds == 7
    assert not found.HasField("outlier_detection")
    kinds = [origin.kind for origin in resources(cluster, "reviews-1")[CDS]["inbound|8080||"].origins]
    assert kinds == ["Service", "DestinationRule"]


def test_the_limits_of_a_port_are_those_of_the_services_port_and_come_first() -> None:
    own = {"portLevelSettings": [{"port": {"number": 80}, **pool(4)}, {"port": {"number": 8080}, **pool(5)}]}
    assert admitted(called_at_80().istio(rule(**pool(3), **own))) == 4


def test_limits_for_some_clients_are_none_for_the_server_and_a_sidecars_come_before_a_rules() -> None:
    some = {"host": "reviews", "trafficPolicy": pool(3), "workloadSelector": {"matchLabels": {"app": "reviews"}}}
    cluster = called_at_80().istio(config("DestinationRule", "some", some))
    assert admitted(cluster) == 0
    cluster.istio(rule(**pool(4)))
    assert admitted(cluster) == 4
    cluster.istio(config("Sidecar", "s", {"inboundConnectionPool": {"tcp": {"maxConnections": 5}}}))
    assert admitted(cluster) == 5


@pytest.mark.parametrize(
    ("cluster", "announced"),
    [
        (bookinfo(), set()),
        (mixed(), {PEER_HEADER}),
        (bookinfo().istio(rule(tls={"mode": "DISABLE"})), {PEER_HEADER}),
        (bookinfo().istio(rule(tls={"mode": "ISTIO_MUTUAL"})), set()),
        (
            bookinfo().app("reviews", ("http", 9080), pods=[pod("reviews-old", "10.244.0.21", meshed=False)]),
            {"x-envoy-peer-metadata", "x-envoy-peer-metadata-id", "x-envoy-decorator-operation"},
        ),
    ],
    ids=["mutual TLS", "some without a sidecar", "TLS turned off", "mutual TLS demanded", "no sidecar"],
)
def test_a_client_names_itself_in_headers_only_where_no_certificate_tells(
    cluster: Cluster, announced: set[str]
) -> None:
    assert headers_added(cluster_of(cluster, NAME)) == announced


def test_a_client_names_itself_to_what_the_mesh_does_not_know() -> None:
    found = headers_added(cluster_of(bookinfo(), "PassthroughCluster"))
    assert found == {"x-envoy-peer-metadata", "x-envoy-peer-metadata-id"}


def headers_added(cluster: Message) -> set[str]:
    """The headers that a cluster's filters set, of which the last hands requests to the codec."""
    filters = protocol(cluster).http_filters
    found = set()
    for each in filters[:-1]:
        config = HeaderMutation()
        assert each.typed_config.Unpack(config)
        found |= {mutation.append.header.key for mutation in config.mutations.request_mutations}
    assert [each.name for each in filters[-1:]] == (["envoy.filters.http.upstream_codec"] if found else [])
    return found
