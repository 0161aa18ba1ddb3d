"""CDS: one cluster for each port of each service, and one more for each subset of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3 import address_pb2, base_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2
from envoy.extensions.filters.http.upstream_codec.v3.upstream_codec_pb2 import UpstreamCodec
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpFilter
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2
from google.protobuf.struct_pb2 import Struct, Value
from msgspec import structs

from mesh_lab.controlplane.model import DestinationRule
from mesh_lab.controlplane.model.destinationrule import ClientTLSSettings
from mesh_lab.controlplane.world.meshconfig import MeshConfig
from mesh_lab.controlplane.xds import dynamicdns, exchange, names, telemetry, tls
from mesh_lab.controlplane.xds.balancing import (
    apply_connection_pool,
    apply_load_balancer,
    apply_outlier_detection,
    is_passthrough,
)
from mesh_lab.controlplane.xds.built import Built, any_of, build, wire
from mesh_lab.controlplane.xds.durations import duration
from mesh_lab.controlplane.xds.localities import Nearness, apply_nearness, nearness_of
from mesh_lab.controlplane.xds.memo import memoised
from mesh_lab.controlplane.xds.origins import note
from mesh_lab.controlplane.xds.policies import HostRules, Policy, effective
from mesh_lab.controlplane.xds.services import MeshPort, MeshService, Protocol, Resolution
from mesh_lab.controlplane.xds.statnames import stat_name
from mesh_lab.controlplane.xds.typeurls import CDS
from mesh_lab.controlplane.xds.upstream import announce_client, apply_http

_DNS_JITTER = "100ms"
UNIX = "unix://"
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_CODEC = HttpFilter(name="envoy.filters.http.upstream_codec", typed_config=any_of(UpstreamCodec()))
ANNOUNCING = (telemetry.announce(), _CODEC)
INTRODUCING = (exchange.introduce(), _CODEC)
"""To servers that the mesh does not know."""


@dataclass(frozen=True)
class Peers:
    """What is known of a port's endpoints: their identities (SPIFFE), and whether all of them speak mutual TLS.

    And whether some have a sidecar, which a policy may still make accept plain text.
    """

    principals: tuple[str, ...] = ()
    all_mutual: bool = False
    some_meshed: bool = False


@dataclass(frozen=True)
class View:
    """A port of a service, or a subset of its endpoints, as its clients see it, which are sidecars or gateways.

    `located` are the endpoints that are looked up by their names (`ClusterLoadAssignment`). `backed`: others stand in
    for its endpoints (see `fallbacks`).
    """

    service: MeshService
    port: MeshPort
    subset: str
    rules: HostRules | None
    peers: Peers
    mesh: MeshConfig
    gateway: bool
    located: bytes = b""
    backed: bool = False

    @cached_property
    def policy(self) -> Policy:
        """What the DestinationRules of the host say for the port and the subset."""
        return effective(self.rules, self.port.number, self.subset, self.mesh.default_traffic_policy)

    @property
    def nearness(self) -> Nearness | None:
        """How its endpoints are preferred by locality."""
        return nearness_of(self.mesh, self.policy.load_balancer, self.service.traffic_distribution)

    @property
    def detects_failures(self) -> bool:
        """Whether endpoints that fail are left out for a time."""
        return self.policy.outlier_detection is not None

    @property
    def listed(self) -> bool:
        """Whether the cluster's endpoints are listed, and so carry marks of their own."""
        resolution = self.service.resolution
        return (resolution is Resolution.ENDPOINTS or resolution.by_name) and not self.passes_on

    @property
    def passes_on(self) -> bool:
        """Whether a rule sends connections to the address that the client chose."""
        return is_passthrough(self.policy.load_balancer)

    @property
    def may_have_secrets(self) -> bool:
        """Whether the client is given Secrets: a gateway, and a sidecar that a rule selects by its labels."""
        return self.gateway or (self.rules is not None and self.rules.selective)

    @property
    def may_be_mutual(self) -> bool:
        """Whether mutual TLS is spoken without a rule that says so: never to what is outside of the mesh."""
        return self.mesh.enable_auto_mtls and not self.service.outside

    @property
    def may_be_plain(self) -> bool:
        """Whether a sidecar may be called without mutual TLS, and so without a certificate of the client."""
        if self.policy.tls is not None:
            return self.policy.tls.mode in (None, "DISABLE")
        return not (self.may_be_mutual and self.peers.all_mutual)

    @property
    def demands_upgrade(self) -> bool:
        """Whether a rule demands HTTP/2. On a port of undeclared protocol a sidecar stays with its application's."""
        http = self.policy.connection_pool.http if self.policy.connection_pool else None
        return (
            (self.port.protocol is Protocol.HTTP or (self.gateway and self.port.protocol is Protocol.AUTO))
            and http is not None
            and http.h2_upgrade_policy == "UPGRADE"
            and not http.use_client_protocol
        )

    @property
    def may_upgrade(self) -> bool:
        """HTTP/2 between sidecars, unless a rule says no, or sets limits that only make sense for HTTP/1.1."""
        pool = self.policy.connection_pool
        http = pool.http if pool else None
        if http and http.h2_upgrade_policy in ("UPGRADE", "DO_NOT_UPGRADE"):
            return http.h2_upgrade_policy == "UPGRADE"
        limited = bool(pool and pool.tcp and pool.tcp.max_connections) or bool(
            http and (http.http1_max_pending_requests or http.max_requests_per_connection or http.use_client_protocol)
        )
        return self.mesh.h2_upgrade_policy == "UPGRADE" and not limited


@memoised
def outbound(view: View) -> Built:
    """The cluster of a port of a service.

    To a server of undeclared protocol a sidecar speaks what its application speaks. Clients of a gateway are from
    outside, and negotiate HTTP/2 whenever it is offered: it speaks HTTP/1.1 to such a server.
    """
    service, port, policy = view.service, view.port, view.policy
    named = names.own_cluster if view.backed else names.outbound_cluster
    name = named(port.number, view.subset, service.hostname)
    stat = stat_name(view.mesh.outbound_cluster_stat_name, name, service, port, view.subset)
    cluster = Cluster(name=name, alt_stat_name=stat, connect_timeout=duration(view.mesh.connect_timeout))
    _note_rule(cluster, view)
    _set_discovery(cluster, view)
    apply_load_balancer(cluster, policy.load_balancer)
    apply_nearness(cluster, view.nearness, detected=view.detects_failures)
    apply_connection_pool(cluster, policy.connection_pool, view.mesh.tcp_keepalive, policy.retry_budget)
    apply_outlier_detection(cluster, policy.outlier_detection)
    upgraded = _set_transport(cluster, view)
    announce_client(cluster, policy.proxy_protocol)
    as_client = not view.gateway and port.protocol is Protocol.AUTO
    # A gateway sends requests to a port for TLS where it begins the TLS.
    spoken = Protocol.HTTP if _needs_name(policy.tls) and port.protocol is Protocol.TLS else port.protocol
    options = protocol_options(spoken, policy, upgraded=upgraded, as_client=as_client)
    if options is not None:
        options.http_filters.extend(_said_of_client(view))
        _name_server(options, policy.tls)
        apply_http(options, policy)
        set_options(cluster, options)
    origins = [service.origin, *service.origins, *(view.rules.origins if view.rules is not None else ())]
    return build(CDS, name, wire(cluster), origins)


def _note_rule(cluster: Cluster, view: View) -> None:
    """Note the rule that shapes the cluster. One that only adds subsets leaves the service's own as it is."""
    rules = view.rules
    if rules is not None and (view.subset or rules.policy is not None):
        rule = rules.origins[0]
        if rule.kind != DestinationRule.__name__:
            return
        note(cluster.metadata, "destination-rule", rule.namespace, rule.name)


def _said_of_client(view: View) -> tuple[HttpFilter, ...]:
    """What a server is told of its client, beside what a certificate says of it."""
    if view.peers.some_meshed:
        return ANNOUNCING if view.may_be_plain else ()
    operation = names.operation(view.service.hostname, view.port.number)
    return () if view.gateway else (exchange.introduce(operation), _CODEC)


def _set_discovery(cluster: Cluster, view: View) -> None:
    """Where endpoints come from: EDS, DNS, the name that each request is for, or the address that the client chose."""
    resolution = view.service.resolution
    if resolution is Resolution.DYNAMIC_DNS:
        dynamicdns.set_discovery(cluster, verified=_is_verified(view.policy.tls))
    elif view.passes_on:
        cluster.type = Cluster.ORIGINAL_DST
        cluster.lb_policy = Cluster.CLUSTER_PROVIDED
    elif resolution is Resolution.ENDPOINTS:
        cluster.type = Cluster.EDS
        cluster.eds_cluster_config.CopyFrom(Cluster.EdsClusterConfig(eds_config=tls.ads(), service_name=cluster.name))
        cluster.eds_cluster_config.eds_config.initial_fetch_timeout.FromSeconds(0)
    elif resolution.by_name:
        cluster.type = Cluster.STRICT_DNS if resolution is Resolution.DNS else Cluster.LOGICAL_DNS
        cluster.load_assignment.ParseFromString(view.located)
        _set_lookup(cluster, view.mesh)
    else:
        cluster.type = Cluster.ORIGINAL_DST
        cluster.lb_policy = Cluster.CLUSTER_PROVIDED
        if view.port.target and view.port.target != view.port.number:
            cluster.original_dst_lb_config.upstream_port_override.value = view.port.target


def _set_lookup(cluster: Cluster, mesh: MeshConfig) -> None:
    """How names are looked up: as long as the answer says, and each `dnsRefreshRate` where it says nothing."""
    cluster.dns_lookup_family = lookup_family(mesh)
    cluster.dns_refresh_rate.CopyFrom(duration(mesh.dns_refresh_rate))
    cluster.dns_jitter.CopyFrom(duration(_DNS_JITTER))
    cluster.respect_dns_ttl = True


def lookup_family(mesh: MeshConfig) -> Cluster.DnsLookupFamily.ValueType:
    """Which addresses are looked up: where pods have both families, both, and Envoy tries one after the other."""
    return Cluster.ALL if mesh.dual_stack else Cluster.V4_ONLY


def one_endpoint(cluster: str, address: str, port: int) -> endpoint_pb2.ClusterLoadAssignment:
    """The only endpoint of a cluster."""
    return endpoint_pb2.ClusterLoadAssignment(
        cluster_name=cluster,
        endpoints=[
            endpoint_components_pb2.LocalityLbEndpoints(
                lb_endpoints=[
                    endpoint_components_pb2.LbEndpoint(
                        endpoint=endpoint_components_pb2.Endpoint(address=address_of(address, port))
                    )
                ]
            )
        ],
    )


def address_of(address: str, port: int) -> address_pb2.Address:
    """An address and a TCP port, or the socket that `unix://PATH` names."""
    if address.startswith(UNIX):
        return address_pb2.Address(pipe=address_pb2.Pipe(path=address.removeprefix(UNIX)))
    return socket_address(address, port)


def socket_address(address: str, port: int) -> address_pb2.Address:
    """An address and a TCP port."""
    return address_pb2.Address(socket_address=address_pb2.SocketAddress(address=address, port_value=port))


def _set_transport(cluster: Cluster, view: View) -> bool:
    """Set how connections are encrypted. True when they are upgraded to HTTP/2, which every sidecar understands.

    A rule that demands it vouches for the applications too: then all are, encrypted or not.

    An application without a sidecar may not, and a cluster speaks one protocol to all of its endpoints. So a service
    is upgraded while all of them have sidecars; otherwise the endpoint's own mark decides between mutual TLS and plain
    text. (Envoy could negotiate, but until the first answer it opens a connection for each request and keeps them all.)
    Where endpoints are not listed they carry no mark: there it is all or nothing.
    """
    settings, protocol, peers, demanded = view.policy.tls, view.port.protocol, view.peers, view.demands_upgrade
    if settings is not None and settings.mode in (None, "DISABLE"):
        return demanded
    if settings is not None and settings.mode in ("SIMPLE", "MUTUAL"):
        alpn = ("h2",) if demanded else _plain_alpn(protocol)
        named = settings.subject_alt_names or view.service.subject_alt_names
        given = settings if view.may_have_secrets else _without_secret(settings)
        cluster.transport_socket.CopyFrom(tls.settings_upstream(given, alpn, named, view.mesh.tls_defaults))
        return demanded
    if settings is None and not (view.may_be_mutual and (view.listed or _are_mutual(peers))):
        return demanded
    must = settings is not None
    for_all = must or peers.all_mutual
    upgraded = demanded or (protocol is Protocol.HTTP and for_all and view.may_upgrade)
    sni = settings.sni if settings and settings.sni else names.sni(view.port.number, view.subset, view.service.hostname)
    principals = _subject_names(settings, peers, view.service)
    mutual = tls.mutual_upstream(sni, principals, _mesh_alpn(protocol, upgraded=upgraded))
    if (upgraded and for_all) or must or not view.listed:
        cluster.transport_socket.CopyFrom(mutual)
    else:
        cluster.transport_socket_matches.extend(_matches(mutual))
    return upgraded


def _without_secret(settings: ClientTLSSettings) -> ClientTLSSettings:
    """TLS as a sidecar begins it that is not given the Secret: Istio's then sends plain text, which would show all."""
    return structs.replace(settings, mode="SIMPLE", credential_name="") if settings.credential_name else settings


def _are_mutual(peers: Peers) -> bool:
    return peers.all_mutual and bool(peers.principals)


def _subject_names(settings: ClientTLSSettings | None, peers: Peers, service: MeshService) -> tuple[str, ...]:
    if settings and settings.subject_alt_names:
        return tuple(settings.subject_alt_names)
    return (*peers.principals, *service.subject_alt_names)


def _mesh_alpn(protocol: Protocol, *, upgraded: bool) -> tuple[str, ...]:
    if upgraded:
        return (tls.ALPN_HTTP2, "h2")
    if protocol.is_http2:
        return (tls.ALPN_HTTP2,)
    return (tls.ALPN_HTTP1,) if protocol in (Protocol.HTTP, Protocol.AUTO) else (tls.ALPN_TCP,)


def _plain_alpn(protocol: Protocol) -> tuple[str, ...]:
    return ("h2",) if protocol.is_http2 else ("http/1.1",) if protocol is Protocol.HTTP else ()


def _matches(mutual: base_pb2.TransportSocket) -> list[Cluster.TransportSocketMatch]:
    marked = Struct(fields={"tlsMode": Value(string_value="istio")})
    match = Cluster.TransportSocketMatch
    return [
        match(name="tlsMode-istio", match=marked, transport_socket=mutual),
        match(name="tlsMode-disabled", match=Struct(), transport_socket=tls.raw_buffer()),
    ]


def protocol_options(
    protocol: Protocol, policy: Policy, *, upgraded: bool, as_client: bool
) -> http_protocol_options_pb2.HttpProtocolOptions | None:
    """The HTTP that is spoken to a server: what the client speaks (`as_client`, or a rule says so), or one version."""
    if not (protocol.is_http or protocol is Protocol.AUTO):
        return None
    http = policy.connection_pool.http if policy.connection_pool else None
    options = http_protocol_options_pb2.HttpProtocolOptions()
    if as_client or (http is not None and http.use_client_protocol):
        options.use_downstream_protocol_config.http2_protocol_options.allow_connect = True
    elif upgraded or protocol.is_http2:
        options.explicit_http_config.http2_protocol_options.allow_connect = True
    else:
        options.explicit_http_config.http_protocol_options.SetInParent()
    if http is not None and http.max_requests_per_connection:
        options.common_http_protocol_options.max_requests_per_connection.value = http.max_requests_per_connection
    tcp = policy.connection_pool.tcp if policy.connection_pool else None
    idle = (http.idle_timeout if http else None) or (tcp.idle_timeout if tcp else None)
    if idle:
        options.common_http_protocol_options.idle_timeout.CopyFrom(duration(idle))
    if tcp is not None and tcp.max_connection_duration:
        options.common_http_protocol_options.max_connection_duration.CopyFrom(duration(tcp.max_connection_duration))
    if http is not None and http.max_concurrent_streams:
        _limit_streams(options, http.max_concurrent_streams)
    return options


def _needs_name(settings: ClientTLSSettings | None) -> bool:
    return settings is not None and settings.mode in ("SIMPLE", "MUTUAL") and not settings.sni


def _is_verified(settings: ClientTLSSettings | None) -> bool:
    """Whether a rule begins TLS in which the certificate must be for the host of the request."""
    if settings is None or not _needs_name(settings):
        return False
    return not (settings.subject_alt_names or settings.insecure_skip_verify)


def _name_server(options: http_protocol_options_pb2.HttpProtocolOptions, settings: ClientTLSSettings | None) -> None:
    """Derive the server name from each request where a rule for TLS names none; the certificate must be for it.

    Only requests have a host: for TCP connections there is no server name.
    """
    if _needs_name(settings):
        options.upstream_http_protocol_options.auto_sni = True
    if _is_verified(settings):
        options.upstream_http_protocol_options.auto_san_validation = True


def set_options(cluster: Cluster, options: http_protocol_options_pb2.HttpProtocolOptions | None) -> None:
    """The HTTP that a cluster speaks, if any."""
    if options is not None:
        cluster.typed_extension_protocol_options[_HTTP_OPTIONS].CopyFrom(any_of(options))


def _limit_streams(options: http_protocol_options_pb2.HttpProtocolOptions, limit: int) -> None:
    """Limit concurrent streams, where HTTP/2 is spoken at all."""
    for part in ("explicit_http_config", "use_downstream_protocol_config"):
        if options.HasField(part) and getattr(options, part).HasField("http2_protocol_options"):
            getattr(options, part).http2_protocol_options.max_concurrent_streams.value = limit


def subsets_of(service: MeshService, rules: HostRules | None) -> Iterator[str]:
    """The whole service, as an empty name, and its subsets. Names that are looked up for each request have none."""
    yield ""
    if rules is not None and service.resolution is not Resolution.DYNAMIC_DNS:
        yield from (subset.name for subset in rules.subsets)
