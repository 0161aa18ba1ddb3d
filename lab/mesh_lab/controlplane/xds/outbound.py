"""LDS for what an application sends: one listener for each port number of HTTP, one for each address of a TCP service.

Hosts of ServiceEntries that have no address share the listener of their port number: TLS goes by its server name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from envoy.config.core.v3.address_pb2 import CidrRange
from envoy.config.core.v3.base_pb2 import TrafficDirection
from envoy.config.listener.v3.listener_components_pb2 import Filter, FilterChain, FilterChainMatch
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy

from mesh_lab.controlplane.world.kubernetes import Origin
from mesh_lab.controlplane.world.snapshot import ServiceEndpoints
from mesh_lab.controlplane.xds import dnscapture, dynamicdns, families, http, names, telemetry
from mesh_lab.controlplane.xds.built import Built, build, by_name, wire
from mesh_lab.controlplane.xds.clusters import address_of, socket_address
from mesh_lab.controlplane.xds.imports import Egress
from mesh_lab.controlplane.xds.memo import memoised
from mesh_lab.controlplane.xds.proxycontext import ProxyContext
from mesh_lab.controlplane.xds.routes import has_shared_routes, sniffed_name
from mesh_lab.controlplane.xds.scope import Scope
from mesh_lab.controlplane.xds.services import MeshPort, MeshService, Protocol, Resolution
from mesh_lab.controlplane.xds.tcp import Entrance, Way, forward, mark, ways_of
from mesh_lab.controlplane.xds.typeurls import LDS

Headless = tuple[tuple[str, ServiceEndpoints], ...]


@memoised
@by_name
def sidecar_listeners(scope: Scope, context: ProxyContext, headless: Headless) -> Iterator[Built]:
    """All outbound listeners. `headless` are the endpoints of headless services by hostname."""
    endpoints = dict(headless)
    limiting = (scope.sidecar.origin,) if scope.sidecar is not None else ()
    outside = scope.outside(context.mesh)
    yield virtual_outbound(context, outside, limiting)
    domain = context.mesh.cluster_domain
    everywhere: dict[int, list[Forwarding]] = {}
    for service in sorted(scope.services, key=lambda service: service.created):
        if service.resolution is Resolution.ALIAS:
            continue
        for port in scope.ports_of(service, captured=True):
            if port.protocol.is_http:
                everywhere.setdefault(port.number, [])
                continue
            for addresses in _addresses(service, endpoints):
                ways = ways_of(scope, Entrance(service, port, port.number), domain)
                yield address_listener(addresses, Forwarding(service, port, ways), context, outside)
            ranges = tuple(each for each in service.ranges if "/" in each)
            if ranges or service.anywhere:
                entrance = Entrance(service, port, port.number, ranges, shared=True)
                forwarding = Forwarding(service, port, ways_of(scope, entrance, domain))
                everywhere.setdefault(port.number, []).append(forwarding)
    requests = {
        port.number
        for service in scope.services
        for port in scope.ports_of(service, captured=True)
        if has_shared_routes(service, port)
    }
    looked_up = {port.number for s in scope.services if s.resolution is Resolution.DYNAMIC_DNS for port in s.ports}
    for number, forwardings in everywhere.items():
        if number in names.OWN_PORTS:
            continue
        here = context._replace(looks_up=number in looked_up)
        yield shared_listener(number, tuple(forwardings), number in requests, here, outside, limiting)
    if context.own.captures_dns:
        yield dnscapture.listener(scope.services)
    for listener in scope.egress:
        if listener.address and listener.port not in names.OWN_PORTS:
            here = context._replace(looks_up=listener.port in looked_up)
            yield from _stated(scope, listener, here, outside, limiting)


def _stated(
    scope: Scope, egress: Egress, context: ProxyContext, outside: str, limiting: tuple[Origin, ...]
) -> Iterator[Built]:
    """The listener that a Sidecar states with an address of its own; none where no host has its port.

    A generic one passes requests to any port of its hosts, and connections to a host that has one port only.
    """
    shown = [
        Forwarding(service, port, ways_of(scope, Entrance(service, port, port.number), context.mesh.cluster_domain))
        for service in sorted(scope.services, key=lambda service: service.created)
        if service.resolution is not Resolution.ALIAS and egress.shows_service(service.namespace, service.hostname)
        for port in service.ports
        if egress.takes(port.number, len(service.ports))
    ]
    if shown:
        yield stated_listener(egress, tuple(shown), context, outside, limiting)


@dataclass(frozen=True)
class Forwarding:
    """Where the connections to a port of a service go."""

    service: MeshService
    port: MeshPort
    ways: tuple[Way, ...]

    @property
    def origins(self) -> Iterator[Origin]:
        """The objects that say so."""
        yield self.service.origin
        yield from self.service.origins
        for way in self.ways:
            yield from way.origins


Addresses = tuple[str, ...]
"""An address, and the one of the other IP family that is for the same connections."""


def _addresses(service: MeshService, endpoints: Mapping[str, ServiceEndpoints]) -> list[Addresses]:
    """The service's own addresses, or those of a headless service's pods."""
    own = [(each,) for each in service.ranges if "/" not in each]
    if service.address:
        return [(service.address, *service.other_family), *own]
    known = endpoints.get(service.hostname) if not own and not service.is_entry else None
    return [(each.address, *each.more) for each in known.endpoints] if known is not None else [*own]


@memoised
def virtual_outbound(context: ProxyContext, outside: str, origins: tuple[Origin, ...]) -> Built:
    """The listener that the pod's nftables rules send every connection to.

    It hands each to the listener of its original destination. What has none goes where it was going, or nowhere. A
    connection to this very port would go round for ever.
    """
    listener = Listener(
        name=names.VIRTUAL_OUTBOUND,
        address=socket_address("0.0.0.0", names.OUTBOUND_PORT),
        use_original_dst={"value": True},
        traffic_direction=TrafficDirection.OUTBOUND,
        filter_chains=[
            FilterChain(
                name="virtualOutbound-trap",
                filter_chain_match=FilterChainMatch(destination_port={"value": names.OUTBOUND_PORT}),
                filters=[http.without_logs(names.BLACK_HOLE_CLUSTER)],
            ),
            FilterChain(name="virtualOutbound-catchall-tcp", filters=[_onward(outside, context)]),
        ],
    )
    families.listen_anywhere(listener, context.mesh)
    return build(LDS, names.VIRTUAL_OUTBOUND, wire(listener), [*origins, *context.telemetry.origins])


def _onward(outside: str, context: ProxyContext) -> Filter:
    """The route of connections to unknown destinations: to a cluster, which may lead nowhere."""
    return http.tcp_filter(TcpProxy(stat_prefix=outside, cluster=outside, access_log=_tcp_logs(context)))


@memoised
def shared_listener(
    port: int,
    forwardings: tuple[Forwarding, ...],
    requests: bool,
    context: ProxyContext,
    outside: str,
    origins: tuple[Origin, ...],
) -> Built:
    """Connections to a port number at any address: of requests the Host decides, of TLS the server name, else ranges.

    What none of them takes is for an address outside the mesh that has this port, too.
    """
    name = names.listener("0.0.0.0", port)
    rest = FilterChain(name="PassthroughFilterChain", filters=[_onward(outside, context)])
    listener = _listener(name, "0.0.0.0", port)
    families.listen_anywhere(listener, context.mesh)
    _fill(listener, forwardings, str(port) if requests else "", rest, context)
    stating = (origin for forwarding in forwardings for origin in forwarding.origins)
    return build(LDS, name, wire(listener), [*stating, *origins, *context.telemetry.origins])


@memoised
def address_listener(addresses: Addresses, forwarding: Forwarding, context: ProxyContext, outside: str) -> Built:
    """Connections to one address (of each family): TCP, TLS by its server name, or the protocol that sniffing detects.

    The first address names it.
    """
    service, port = forwarding.service, forwarding.port
    name = names.listener(addresses[0], port.number)
    rest = FilterChain(name="PassthroughFilterChain", filters=[_onward(outside, context)])
    listener = _listener(name, addresses[0], port.number)
    families.listen_at(listener, addresses[1:])
    routes = sniffed_name(service, port) if port.protocol is Protocol.AUTO else ""
    _fill(listener, (forwarding,), routes, rest, context)
    return build(LDS, name, wire(listener), [*forwarding.origins, *context.telemetry.origins])


@memoised
def stated_listener(
    egress: Egress,
    forwardings: tuple[Forwarding, ...],
    context: ProxyContext,
    outside: str,
    origins: tuple[Origin, ...],
) -> Built:
    """Connections to an address that a Sidecar states: requests go by their Host, others to the oldest service.

    At a socket of the pod nothing was redirected, so there is no other destination that a connection could go on to.
    """
    name = names.listener(egress.address, egress.port)
    listener = _listener(name, egress.address, egress.port)
    listener.bind_to_port.value = egress.bound
    if egress.protocol.is_http:
        listener.filter_chains.append(FilterChain(filters=[_http(name, egress.routes, context)]))
    else:
        onward = names.BLACK_HOLE_CLUSTER if egress.bound else outside
        rest = FilterChain(name="PassthroughFilterChain", filters=[_onward(onward, context)])
        _fill(listener, forwardings, "", rest, context)
    stating = (origin for forwarding in forwardings for origin in forwarding.origins)
    return build(LDS, name, wire(listener), [*stating, *origins, *context.telemetry.origins])


def _fill(
    listener: Listener, forwardings: Iterable[Forwarding], routes: str, rest: FilterChain, context: ProxyContext
) -> None:
    """The chains of a listener; HTTP in plain text goes to the routes of that name, if there is one.

    What no chain takes goes to the default chain: Envoy does not go back from a transport protocol that one chain names
    to the chains that name none, so that plain text other than HTTP would find no chain at all. Of connections that two
    services claim the older one gets them.
    """
    taken: set[tuple[str, str]] = set()
    chains: list[FilterChain] = []
    for way in (way for forwarding in forwardings for way in forwarding.ways):
        ranges = way.ranges or ("",)
        free = [each for each in way.server_names or ("",) if not any((part, each) in taken for part in ranges)]
        if not free:
            continue
        taken.update((part, each) for part in ranges for each in free)
        chain = FilterChain(filters=[*mark(marked=way.marked), *_looked_up(way), _tcp(listener.name, way, context)])
        if free == [""] and ranges == ("",):
            rest = chain
            continue
        chain.filter_chain_match.server_names.extend(filter(None, free))
        chain.filter_chain_match.prefix_ranges.extend(_range(each) for each in way.ranges)
        chains.append(chain)
    if routes:
        match = FilterChainMatch(transport_protocol="raw_buffer", application_protocols=http.SNIFFED)
        listener.filter_chains.append(
            FilterChain(filter_chain_match=match, filters=[_http(listener.name, routes, context)])
        )
    listener.filter_chains.extend(chains)
    if not listener.filter_chains:
        listener.filter_chains.append(rest)
        return
    listener.default_filter_chain.CopyFrom(rest)
    named = any(chain.filter_chain_match.server_names for chain in chains)
    inspectors: list[http.Inspector] = ["tls_inspector"] if named else []
    inspectors += ["http_inspector"] if routes else []
    if inspectors:
        http.detect(listener, context.mesh, *inspectors)


def _range(text: str) -> CidrRange:
    address, _, length = text.partition("/")
    return CidrRange(address_prefix=address, prefix_len={"value": int(length or (128 if ":" in address else 32))})


def _listener(name: str, address: str, port: int) -> Listener:
    """A listener without chains yet."""
    return Listener(
        name=name,
        address=address_of(address, port),
        bind_to_port={"value": False},
        traffic_direction=TrafficDirection.OUTBOUND,
    )


def _http(name: str, routes: str, context: ProxyContext) -> Filter:
    logs = telemetry.access_logs(context, telemetry.Reporting("source", "http"))
    before = [dynamicdns.by_host()] if context.looks_up else []
    manager = http.connection_manager("outbound", f"outbound_{name}", context, logs, before)
    manager.rds.CopyFrom(http.rds(routes))
    return http.http_filter(manager)


def _looked_up(way: Way) -> list[Filter]:
    return [dynamicdns.by_server_name(way.looked_up_at)] if way.looked_up_at else []


def _tcp_logs(context: ProxyContext) -> list[object]:
    return list(telemetry.access_logs(context, telemetry.Reporting("source", "tcp")))


def _tcp(name: str, way: Way, context: ProxyContext) -> Filter:
    proxy = TcpProxy(stat_prefix=f"outbound_{name}", access_log=_tcp_logs(context))
    forward(proxy, way.shares, way.policy)
    return http.tcp_filter(proxy)
