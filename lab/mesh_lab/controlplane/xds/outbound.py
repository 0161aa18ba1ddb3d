"""LDS for what an application sends: one listener for each HTTP port number, one for each TCP service's address."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from envoy.config.core.v3.base_pb2 import TrafficDirection
from envoy.config.listener.v3.listener_components_pb2 import Filter, FilterChain, FilterChainMatch
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy

from mesh_lab.controlplane.world.kubernetes import Origin
from mesh_lab.controlplane.world.meshconfig import MeshConfig
from mesh_lab.controlplane.world.snapshot import ServiceEndpoints
from mesh_lab.controlplane.xds import http, names, telemetry
from mesh_lab.controlplane.xds.built import Built, build, by_name, wire
from mesh_lab.controlplane.xds.clusters import socket_address
from mesh_lab.controlplane.xds.memo import memoised
from mesh_lab.controlplane.xds.policies import Policy
from mesh_lab.controlplane.xds.proxycontext import ProxyContext
from mesh_lab.controlplane.xds.routes import sniffed_name
from mesh_lab.controlplane.xds.scope import Scope
from mesh_lab.controlplane.xds.services import MeshPort, MeshService, Protocol, Resolution
from mesh_lab.controlplane.xds.tcp import Share, forward, mark, must_announce_tcp, policy_of, tcp_shares
from mesh_lab.controlplane.xds.typeurls import LDS

Headless = tuple[tuple[str, ServiceEndpoints], ...]


@memoised
@by_name
def sidecar_listeners(scope: Scope, context: ProxyContext, headless: Headless) -> Iterator[Built]:
    """All outbound listeners. `headless` are the endpoints of headless services by hostname."""
    endpoints = dict(headless)
    limiting = (scope.sidecar.origin,) if scope.sidecar is not None else ()
    mode = _mode(scope, context.mesh)
    yield virtual_outbound(context, mode, limiting)
    seen: set[int] = set()
    for service in scope.services:
        if service.resolution is Resolution.ALIAS:
            continue
        for port in service.ports:
            if port.protocol.is_http:
                if port.number not in seen:
                    seen.add(port.number)
                    yield http_listener(port.number, context, mode, limiting)
                continue
            forwarding = _forwarding(scope, service, port, context.mesh.cluster_domain)
            for address in _addresses(service, endpoints):
                yield address_listener(address, forwarding, context)


@dataclass(frozen=True)
class Forwarding:
    """Where the TCP connections to a port of a service go, by which policy; `marked`: see `tcp.must_announce_tcp`."""

    service: MeshService
    port: MeshPort
    shares: tuple[Share, ...]
    policy: Policy
    origins: tuple[Origin, ...]
    marked: bool


def _forwarding(scope: Scope, service: MeshService, port: MeshPort, domain: str) -> Forwarding:
    shares = tcp_shares(scope, service, port, domain) or (_whole(service, port),)
    rules = scope.rules.get(shares[0].host)
    origins = rules.origins if rules is not None else ()
    return Forwarding(service, port, shares, policy_of(scope.rules, shares), origins, must_announce_tcp(scope, shares))


def _whole(service: MeshService, port: MeshPort) -> Share:
    """All connections to a port of a service that no VirtualService routes."""
    return Share(service.hostname, port.number, "", 1, ())


def _addresses(service: MeshService, endpoints: Mapping[str, ServiceEndpoints]) -> list[str]:
    """The service's own address, or those of a headless service's pods."""
    if service.address:
        return [service.address]
    known = endpoints.get(service.hostname)
    return [endpoint.address for endpoint in known.endpoints] if known is not None else []


def _mode(scope: Scope, mesh: MeshConfig) -> str:
    policy = scope.sidecar.spec.outbound_traffic_policy if scope.sidecar else None
    return (policy or mesh.outbound_traffic_policy).mode


@memoised
def virtual_outbound(context: ProxyContext, mode: str, origins: tuple[Origin, ...]) -> Built:
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
            FilterChain(name="virtualOutbound-catchall-tcp", filters=[_onward(mode, context)]),
        ],
    )
    return build(LDS, names.VIRTUAL_OUTBOUND, wire(listener), [*origins, *context.telemetry.origins])


def _onward(mode: str, context: ProxyContext) -> Filter:
    """The route of connections to unknown destinations: their original destination, or nowhere."""
    allowed = names.PASSTHROUGH_CLUSTER if mode == "ALLOW_ANY" else names.BLACK_HOLE_CLUSTER
    return http.tcp_filter(TcpProxy(stat_prefix=allowed, cluster=allowed, access_log=_tcp_logs(context)))


@memoised
def http_listener(port: int, context: ProxyContext, mode: str, origins: tuple[Origin, ...]) -> Built:
    """Requests to a port number at any address: their Host decides.

    Connections that are not HTTP are for an address outside the mesh that has this port, too.
    """
    name = names.listener("0.0.0.0", port)
    rest = FilterChain(name="PassthroughFilterChain", filters=[_onward(mode, context)])
    listener = _listener(name, "0.0.0.0", port)
    _sniff(listener, _http(name, str(port), context), rest, context.mesh)
    return build(LDS, name, wire(listener), [*origins, *context.telemetry.origins])


@memoised
def address_listener(address: str, forwarding: Forwarding, context: ProxyContext) -> Built:
    """Connections to one address: TCP, or the protocol that sniffing detects."""
    service, port = forwarding.service, forwarding.port
    name = names.listener(address, port.number)
    plain = FilterChain(filters=[*mark(marked=forwarding.marked), _tcp(name, forwarding, context)])
    listener = _listener(name, address, port.number)
    if port.protocol is Protocol.AUTO:
        _sniff(listener, _http(name, sniffed_name(service, port), context), plain, context.mesh)
    else:
        listener.filter_chains.append(plain)
    shared = (origin for share in forwarding.shares for origin in share.origins)
    origins = [service.origin, *shared, *forwarding.origins, *context.telemetry.origins]
    return build(LDS, name, wire(listener), origins)


def _listener(name: str, address: str, port: int) -> Listener:
    """A listener without chains yet."""
    return Listener(
        name=name,
        address=socket_address(address, port),
        bind_to_port={"value": False},
        traffic_direction=TrafficDirection.OUTBOUND,
    )


def _sniff(listener: Listener, found: Filter, rest: FilterChain, mesh: MeshConfig) -> None:
    """HTTP goes to one filter, everything else to the chain `rest`.

    That is the default chain: Envoy does not go back from a transport protocol that one chain names to the chains that
    name none, so that plain text other than HTTP would find no chain at all.
    """
    match = FilterChainMatch(transport_protocol="raw_buffer", application_protocols=http.SNIFFED)
    listener.filter_chains.append(FilterChain(filter_chain_match=match, filters=[found]))
    listener.default_filter_chain.CopyFrom(rest)
    http.detect(listener, mesh, "http_inspector")


def _http(name: str, routes: str, context: ProxyContext) -> Filter:
    logs = telemetry.access_logs(context, telemetry.Reporting("source", "http"))
    manager = http.connection_manager("outbound", f"outbound_{name}", context, logs)
    manager.rds.CopyFrom(http.rds(routes))
    return http.http_filter(manager)


def _tcp_logs(context: ProxyContext) -> list[object]:
    return list(telemetry.access_logs(context, telemetry.Reporting("source", "tcp")))


def _tcp(name: str, forwarding: Forwarding, context: ProxyContext) -> Filter:
    proxy = TcpProxy(stat_prefix=f"outbound_{name}", access_log=_tcp_logs(context))
    forward(proxy, forwarding.shares, forwarding.policy)
    return http.tcp_filter(proxy)
