"""LDS for what a pod receives: one listener, with chains for each of its ports by what the client speaks.

STRICT needs more than a TLS chain: plain text would skip it and reach the chain for unknown ports. So each strict port
has a chain for plain text that leads nowhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from envoy.config.core.v3.base_pb2 import TrafficDirection, TransportSocket
from envoy.config.listener.v3.listener_components_pb2 import (
    Filter,
    FilterChain,
    FilterChainMatch,
    ListenerFilterChainMatchPredicate,
)
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_components_pb2 import RetryPolicy, Route, RouteAction, RouteMatch, VirtualHost
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy
from envoy.type.v3.range_pb2 import Int32Range

from mesh_lab.controlplane.model.gateway import ServerTLSSettings
from mesh_lab.controlplane.model.security import Mode
from mesh_lab.controlplane.model.sidecar import IstioIngressListener, Sidecar
from mesh_lab.controlplane.world.kubernetes import Origin, Pod, ServicePort
from mesh_lab.controlplane.world.meshconfig import MeshConfig
from mesh_lab.controlplane.world.snapshot import Config
from mesh_lab.controlplane.xds import access as accesses
from mesh_lab.controlplane.xds import actions, families, http, names, telemetry, tls
from mesh_lab.controlplane.xds.access import Access
from mesh_lab.controlplane.xds.built import Built, build, wire
from mesh_lab.controlplane.xds.clusters import socket_address
from mesh_lab.controlplane.xds.gatewaytls import downstream_context
from mesh_lab.controlplane.xds.memo import memoised
from mesh_lab.controlplane.xds.mtls import PeerPolicies
from mesh_lab.controlplane.xds.proxycontext import ProxyContext
from mesh_lab.controlplane.xds.routes import configuration, fragment
from mesh_lab.controlplane.xds.services import MeshService, Protocol, protocol_of
from mesh_lab.controlplane.xds.trustdomains import TrustDomains
from mesh_lab.controlplane.xds.typeurls import LDS

UNIX = "unix://"
_PLACES = {"127.0.0.1": "127.0.0.1", "[::1]": "127.0.0.1"}
"""The hosts of a default endpoint other than the pod's own address. A pod of the lab has no IPv6."""

_PROXIED = {"HTTP_PROXY": "HTTP"}
"""To Istio, too, requests of a proxy's client are HTTP where a workload is called."""
_WITHIN_TLS = {"HTTPS": "HTTP", "TLS": "TCP"}
"""What is left of a protocol where TLS ends."""

_MESH_HTTP = ("istio-http/1.0", tls.ALPN_HTTP1, tls.ALPN_HTTP2)


@dataclass(frozen=True)
class InboundPort:
    """A port of a pod's container; `number` 0 stands for all that nothing names or states.

    `called_by` is the number of the service's port. `ingress` is the listener of a Sidecar (`stated`) that states the
    port, which then has a cluster of its own also without a service.
    """

    number: int
    protocol: Protocol
    mode: Mode
    service: MeshService | None = None
    called_by: int = 0
    ingress: IstioIngressListener | None = None
    stated: Origin | None = None

    @property
    def tls(self) -> ServerTLSSettings | None:
        """The TLS of the application's own that the Sidecar ends, as in Istio where the mesh's is disabled."""
        return self.ingress.tls if self.ingress is not None and self.mode == "DISABLE" else None

    @property
    def is_known(self) -> bool:
        """Whether a service names the port, or a Sidecar states it."""
        return self.service is not None or self.ingress is not None

    @property
    def cluster(self) -> str:
        """Where its connections go."""
        return names.inbound_cluster(self.number) if self.is_known else names.INBOUND_PASSTHROUGH_CLUSTER

    @property
    def called(self) -> str:
        """The service's host, or else the Sidecar, or the cluster's name: what the metrics go by."""
        if self.service is not None:
            return self.service.hostname
        return f"{self.stated.name}.{self.stated.namespace}" if self.stated else names.INBOUND_PASSTHROUGH_CLUSTER

    @property
    def origins(self) -> tuple[Origin, ...]:
        """The objects that the port is known by."""
        return tuple(filter(None, (self.service.origin if self.service else None, self.stated)))

    def endpoint(self, ip: str) -> tuple[str, int]:
        """Where the application of the pod with that address listens: a socket has no number."""
        given = self.ingress.default_endpoint if self.ingress is not None else ""
        if given.startswith(UNIX):
            return given, 0
        host, _, number = given.rpartition(":")
        return _PLACES.get(host, "") or ip, int(number) if given else self.number


def inbound_ports(
    pod: Pod,
    services: Iterable[tuple[MeshService, tuple[tuple[int | str, int], ...]]],
    policies: PeerPolicies,
    sidecar: Config[Sidecar] | None = None,
) -> tuple[InboundPort, ...]:
    """The ports that services name (the first to name one says what it speaks), those that a policy names, the rest.

    Each service comes with the target and the number of its ports. A Sidecar with ingress listeners has the only ones.
    """
    found: dict[int, InboundPort] = {}
    for service, targets in services:
        for target, number in targets:
            port = service.port(number)
            container = target if isinstance(target, int) else pod.ports.get(target)
            if port is not None and container is not None and container not in found:
                mode = policies.mode(pod.labels, container)
                found[container] = InboundPort(container, port.protocol, mode, service, number)
    if sidecar is not None and sidecar.spec.ingress:
        found = {each.number: each for each in _stated(pod, found, policies, sidecar)}
    for number in policies.ports(pod.labels):
        if number not in found:
            found[number] = InboundPort(number, Protocol.AUTO, policies.mode(pod.labels, number))
    return (*found.values(), InboundPort(0, Protocol.AUTO, policies.mode(pod.labels, 0)))


def _stated(
    pod: Pod, named: Mapping[int, InboundPort], policies: PeerPolicies, sidecar: Config[Sidecar]
) -> Iterator[InboundPort]:
    """The ports of a Sidecar's ingress listeners, each with the service that names it, if there is one."""
    for listener in sidecar.spec.ingress:
        number = listener.port.number
        known = named.get(number)
        service, called_by = (known.service, known.called_by) if known is not None else (None, 0)
        spoken = _PROXIED.get(listener.port.protocol.upper(), listener.port.protocol)
        if listener.tls is not None:
            spoken = _WITHIN_TLS.get(spoken.upper(), spoken)
        protocol = protocol_of(ServicePort("", number, number, "TCP", spoken))
        mode = policies.mode(pod.labels, number)
        yield InboundPort(number, protocol, mode, service, called_by, listener, sidecar.origin)


@memoised
def virtual_inbound(
    ports: tuple[InboundPort, ...],
    access: Access,
    context: ProxyContext,
    origins: tuple[Origin, ...],
) -> Built:
    """The listener that the pod's rules send every incoming connection to."""
    services = [origin for port in ports for origin in port.origins]
    listener = Listener(
        name=names.VIRTUAL_INBOUND,
        address=socket_address("0.0.0.0", names.INBOUND_PORT),
        traffic_direction=TrafficDirection.INBOUND,
        filter_chains=[_trap(), *(chain for port in ports for chain in _chains(port, access, context))],
    )
    families.listen_anywhere(listener, context.mesh)
    listener.listener_filters.append(http.listener_filter("original_dst"))
    for inspector, needs in _INSPECTORS.items():
        _inspect(listener, context.mesh, inspector, [port for port in ports if needs(port)], ports)
    caused = [*services, *access.origins, *origins, *context.telemetry.origins]
    return build(LDS, names.VIRTUAL_INBOUND, wire(listener), caused)


# What has to be looked at before a chain is chosen. A port that does not need it must not wait for it: its server may
# be the one to speak first.
_INSPECTORS: dict[http.Inspector, Callable[[InboundPort], bool]] = {
    "tls_inspector": lambda port: port.mode != "DISABLE" or port.tls is not None,
    "http_inspector": lambda port: port.protocol is Protocol.AUTO and port.mode != "STRICT",
}


def _inspect(
    listener: Listener,
    mesh: MeshConfig,
    inspector: http.Inspector,
    needed: list[InboundPort],
    ports: tuple[InboundPort, ...],
) -> None:
    """Look at connections to the ports where that is needed."""
    if not needed:
        return
    http.detect(listener, mesh, inspector)
    disabled = listener.listener_filters[-1].filter_disabled
    if any(port.number == 0 for port in needed):
        others = [port for port in ports if port not in needed]
        if others:
            disabled.CopyFrom(_to_one_of(others))
    else:
        disabled.not_match.CopyFrom(_to_one_of(needed))


def _to_one_of(ports: Iterable[InboundPort]) -> ListenerFilterChainMatchPredicate:
    predicates = [
        ListenerFilterChainMatchPredicate(destination_port_range=Int32Range(start=port.number, end=port.number + 1))
        for port in ports
    ]
    if len(predicates) == 1:
        return predicates[0]
    return ListenerFilterChainMatchPredicate(or_match=ListenerFilterChainMatchPredicate.MatchSet(rules=predicates))


def _trap() -> FilterChain:
    """A connection to the listener's own port would go round for ever."""
    return FilterChain(
        name="virtualInbound-blackhole",
        filter_chain_match=FilterChainMatch(destination_port={"value": names.INBOUND_PORT}),
        filters=[http.without_logs(names.BLACK_HOLE_CLUSTER)],
    )


def _chains(port: InboundPort, access: Access, context: ProxyContext) -> Iterator[FilterChain]:
    """One port's chains: mutual TLS, then what else its mode lets in."""
    make = _Maker(port, access, context)
    if port.tls is not None:
        yield _terminating_chain(port.tls, make)
        return
    if port.mode != "DISABLE":
        yield from _mutual_chains(port, make)
    if port.mode == "STRICT":
        yield make.chain(Spoken("plaintext-refused", "raw_buffer"), [http.without_logs(names.BLACK_HOLE_CLUSTER)])
        return
    if port.protocol.is_http:
        yield make.chain(Spoken("http", "raw_buffer"), make.http(mutual_tls=False))
        return
    if port.mode != "DISABLE":
        # TLS that is not the mesh's is the application's own.
        yield make.chain(Spoken("tls", "tls"), make.tcp(mutual_tls=False))
    if port.protocol is Protocol.AUTO:
        yield make.chain(Spoken("http", "raw_buffer", http.SNIFFED), make.http(mutual_tls=False))
    yield make.chain(Spoken("tcp", "raw_buffer"), make.tcp(mutual_tls=False))


def _terminating_chain(settings: ServerTLSSettings, make: _Maker) -> FilterChain:
    """The only chain of its port: what is not TLS finds none, and is closed."""
    socket = tls.downstream(downstream_context(settings, defaults=make.context.mesh.tls_defaults))
    verified = settings.mode in ("MUTUAL", "OPTIONAL_MUTUAL")
    if make.port.protocol.is_http:
        return make.chain(Spoken("tls-http", "tls"), make.http(mutual_tls=False, forward_client=verified), socket)
    return make.chain(Spoken("tls-tcp", "tls"), make.tcp(mutual_tls=False), socket)


def _mutual_chains(port: InboundPort, make: _Maker) -> Iterator[FilterChain]:
    """PERMISSIVE distinguishes the mesh's TLS from the application's by ALPN; STRICT takes all TLS for the mesh's."""
    strict = port.mode == "STRICT"
    trust, settings = make.context.mesh.trust_domains, make.context.mesh.mesh_mtls
    socket = tls.mutual_downstream(tls.HTTP_ALPN, trust, settings)
    if port.protocol.is_http:
        spoken = Spoken("mtls-http", "tls", () if strict else tls.MESH_ALPN)
        yield make.chain(spoken, make.http(mutual_tls=True), socket)
        return
    if port.protocol is Protocol.AUTO:
        yield make.chain(Spoken("mtls-http", "tls", _MESH_HTTP), make.http(mutual_tls=True), socket)
    others = tuple(alpn for alpn in tls.MESH_ALPN if port.protocol is not Protocol.AUTO or alpn not in _MESH_HTTP)
    socket = tls.mutual_downstream((), trust, settings)
    yield make.chain(Spoken("mtls-tcp", "tls", () if strict else others), make.tcp(mutual_tls=True), socket)


class Spoken(NamedTuple):
    """What a client speaks, as Envoy's inspectors see it, and the name of the chain for that."""

    name: str
    transport: str
    alpn: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Maker:
    """Makes the chains of one port."""

    port: InboundPort
    access: Access
    context: ProxyContext

    def chain(self, spoken: Spoken, filters: list[Filter], socket: TransportSocket | None = None) -> FilterChain:
        match = FilterChainMatch(transport_protocol=spoken.transport, application_protocols=spoken.alpn)
        if self.port.number:
            match.destination_port.value = self.port.number
        return FilterChain(
            name=f"{self.port.number or 'virtualInbound'}-{spoken.name}",
            filter_chain_match=match,
            filters=filters,
            transport_socket=socket,
        )

    def tcp(self, *, mutual_tls: bool) -> list[Filter]:
        reporting = telemetry.Reporting("destination", "tcp", mutual_tls, self.port.called)
        proxy = TcpProxy(
            stat_prefix=self.port.cluster,
            cluster=self.port.cluster,
            access_log=telemetry.access_logs(self.context, reporting),
        )
        return [*accesses.network_filters(self.access, self.context.mesh.trust_domains), http.tcp_filter(proxy)]

    def http(self, *, mutual_tls: bool, forward_client: bool = False) -> list[Filter]:
        reporting = telemetry.Reporting("destination", "http", mutual_tls, self.port.called)
        manager = http.connection_manager(
            "inbound",
            f"inbound_0.0.0.0_{self.port.number}",
            self.context,
            telemetry.access_logs(self.context, reporting),
            [*([] if mutual_tls else [telemetry.recognise()]), *accesses.http_filters(self.access)],
        )
        manager.rds.CopyFrom(http.rds(self.port.cluster))
        _forward_client_identity(manager, verified=mutual_tls or forward_client)
        return [http.http_filter(manager)]


def _forward_client_identity(manager: HttpConnectionManager, *, verified: bool) -> None:
    """X-Forwarded-Client-Cert has the client's identity, as in Istio; what the client itself sends there is dropped.

    Istio asks for DNS names, too, of which a workload's certificate has none: Envoy, which keeps what it has found in a
    certificate, would look for them again at each request, for 5% of a server's proxy.
    """
    if not verified:
        manager.forward_client_cert_details = HttpConnectionManager.SANITIZE
        return
    manager.forward_client_cert_details = HttpConnectionManager.SANITIZE_SET
    details = manager.set_current_client_cert_details
    details.subject.value = details.uri = True


@memoised
def inbound_routes(port: InboundPort, access: Access, trust: TrustDomains, traced: bool = False) -> Built:
    """All requests go to the application, if the rules allow them. One that it cannot have received is sent again."""
    action = RouteAction(cluster=port.cluster)
    actions.set_timeouts(action, None)
    action.retry_policy.CopyFrom(RetryPolicy(retry_on="reset-before-request", num_retries={"value": 2}))
    route = Route(name="default", match=RouteMatch(prefix="/"), route=action)
    if traced and port.service is not None:
        route.decorator.operation = names.operation(port.service.hostname, port.called_by)
    host = VirtualHost(
        name=f"inbound|http|{port.number}",
        domains=["*"],
        routes=[route],
        request_headers_to_remove=[telemetry.PEER_HEADER],
    )
    return configuration(port.cluster, (fragment(host, port.origins),), access, trust)
