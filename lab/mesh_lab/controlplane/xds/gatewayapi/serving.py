"""The Gateway API's objects as the internal model has them: Gateways and VirtualServices, beside Istio's own.

One Gateway for each listener, one VirtualService for each host of a listener, with the rules of all routes that name
it: these compete by how specific their matches are, then by age. One VirtualService, too, for each Service (or, as in
Istio, ServiceEntry) that is a parent: for all (the routes of its own namespace), or for one namespace only (the routes
of its clients'). https://gateway-api.sigs.k8s.io/geps/gep-1426/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import msgspec

from mesh_lab.controlplane.model import Gateway, VirtualService
from mesh_lab.controlplane.model.gateway import Server, ServerPort
from mesh_lab.controlplane.model.internal import Rule, ServiceGateway
from mesh_lab.controlplane.model.virtualservice import (
    HTTPDirectResponse,
    L4MatchAttributes,
    TCPRoute,
    TLSMatchAttributes,
    TLSRoute,
)
from mesh_lab.controlplane.world.kubernetes import ObjectKey, Origin
from mesh_lab.controlplane.world.snapshot import Config, Table
from mesh_lab.controlplane.xds import hosts, keeping
from mesh_lab.controlplane.xds.gatewayapi import infrastructure
from mesh_lab.controlplane.xds.gatewayapi.listeners import GatewayState, ListenerState, gateways
from mesh_lab.controlplane.xds.gatewayapi.parents import Called, isolated
from mesh_lab.controlplane.xds.gatewayapi.routes import RouteState, routes
from mesh_lab.controlplane.xds.gatewayapi.rules import Ranked
from mesh_lab.controlplane.xds.gatewayapi.sources import Sources
from mesh_lab.controlplane.xds.memo import memoised

_NOT_FOUND = 404
_FOREMOST = ""
"""When a VirtualService was made that comes before all others."""


@memoised
def made_gateways(sources: Sources) -> Table[ObjectKey, Config[Gateway]]:
    """What Gateways and ListenerSets stand for, by namespace and name."""
    states = gateways(sources)
    named = _names_taken(states, routes(sources, states))
    return keeping.table(
        _server(state, each, named.get(each, (each.hostname,)), sources)
        for state in states
        if state.refused is None
        for each in state.all
        if each.served and each.transport == "TCP"
    )


@memoised
def made_routes(sources: Sources) -> Table[ObjectKey, Config[VirtualService]]:
    """What routes stand for, by namespace and name."""
    states = gateways(sources)
    known = routes(sources, states)
    return keeping.table((*_at_listeners(states, known), *_in_mesh(known)))


def _names_taken(
    states: tuple[GatewayState, ...], known: tuple[RouteState, ...]
) -> Mapping[ListenerState, tuple[str, ...]]:
    """The server names that TLSRoutes take of listeners at which TLS ends: others are not let in there.

    Once TLS has ended nothing but the listener's chain tells whose connection it is.
    """
    found: dict[ListenerState, dict[str, None]] = {}
    beside = _neighbours(states)
    for route in known if any(each.ends_connections for state in states for each in state.all) else ():
        for listener, host in _places(route, beside):
            if listener.ends_connections:
                found.setdefault(listener, {})[host] = None
    return {listener: tuple(names) for listener, names in found.items()}


def _server(state: GatewayState, each: ListenerState, named: tuple[str, ...], sources: Sources) -> Config[Gateway]:
    servers = [
        Server(
            port=ServerPort(number=each.listener.port, protocol=each.listener.protocol, name=name),
            hosts=[f"*/{host}"],
            tls=each.tls,
            name=each.listener.name,
        )
        for name, host in zip(("default", *named[:-1]), named, strict=True)
    ]
    services = infrastructure.services_of(state.resource, sources.domain)
    certificate = state.certificate.name if state.certificate is not None else ""
    spec = ServiceGateway(servers=servers, services=services, certificate=certificate)
    owner = each.owner
    others = () if each.is_gateways_own else (state.resource.origin,)
    return Config(owner.origin, owner.namespace, each.name, {}, owner.created, spec, merged_from=others)


class _Place(NamedTuple):
    """A host of a listener."""

    listener: ListenerState
    host: str


def _at_listeners(states: tuple[GatewayState, ...], known: tuple[RouteState, ...]) -> Iterator[Config[VirtualService]]:
    places: dict[_Place, list[RouteState]] = {}
    beside = _neighbours(states)
    for route in known:
        for place in _places(route, beside):
            places.setdefault(place, []).append(route)
    for place, some in places.items():
        yield _virtual_service(place, tuple(some))
    for state in states:
        for each in state.all:
            if each.served and _Place(each, each.hostname) not in places and _is_within(each, state.all):
                yield _nothing(each)


_Neighbours = Table[ListenerState, tuple[ListenerState, ...]]


@memoised
def _neighbours(states: tuple[GatewayState, ...]) -> _Neighbours:
    """The listeners of the same Gateway, by each of them."""
    return Table({each: state.all for state in states for each in state.all})


@memoised
def _places(route: RouteState, beside: _Neighbours) -> tuple[_Place, ...]:
    """Where a route is in effect, once each."""
    if route.refused is not None or route.kind == "UDPRoute":
        return ()
    attached = (each for parent in route.parents if parent.refused is None for each in parent.listeners)
    found = (
        _Place(each.listener, host)
        for each in attached
        if each.listener.served
        for host in isolated(each, beside[each.listener])
    )
    return tuple(dict.fromkeys(found))


def _is_within(each: ListenerState, beside: tuple[ListenerState, ...]) -> bool:
    """Whether a listener for requests in plain text serves a host that another of its port would take otherwise."""
    return each.family == "requests" and any(
        other is not each
        and (other.listener.port, other.family) == (each.listener.port, each.family)
        and hosts.covers(other.hostname, each.hostname)
        for other in beside
    )


@memoised
def _nothing(each: ListenerState) -> Config[VirtualService]:
    """The host of a listener without routes: no other listener's routes are for it."""
    rule = Rule(direct_response=HTTPDirectResponse(status=_NOT_FOUND))
    spec = VirtualService(hosts=[each.hostname], gateways=[_gateway_name(each)], http=[rule], export_to=["*"])
    owner = each.owner
    return Config(owner.origin, owner.namespace, f"{each.name}-nothing", {}, owner.created, spec)


def _gateway_name(each: ListenerState) -> str:
    return f"{each.owner.namespace}/{each.name}"


@memoised
def _virtual_service(place: _Place, some: tuple[RouteState, ...]) -> Config[VirtualService]:
    each, host = place
    first = some[0].resource
    spec: VirtualService
    if each.family == "requests" or each.listener.protocol == "HTTPS":
        spec = VirtualService(http=list(_ordered(some)))
    elif each.tls is not None and each.tls.mode == "PASSTHROUGH":
        spec = VirtualService(
            tls=[TLSRoute(match=[TLSMatchAttributes(sni_hosts=[host])], route=list(some[0].connections.shares))]
        )
    else:
        spec = VirtualService(tcp=[TCPRoute(route=list(some[0].connections.shares))])
    spec = msgspec.structs.replace(spec, hosts=[host], gateways=[_gateway_name(each)], export_to=["*"])
    name = f"{each.name}-{host}"
    others = _others(some)
    return Config(first.origin, each.owner.namespace, name, {}, first.created, spec, merged_from=others)


def _others(some: tuple[RouteState, ...]) -> tuple[Origin, ...]:
    return tuple(route.resource.origin for route in some[1:])


def _ordered(some: Iterable[RouteState]) -> Iterator[Rule]:
    """The rules of all routes, the most specific first; of equal ones the older route's, which is here the earlier."""
    found: list[Ranked] = [each for route in some for each in route.requests]
    yield from (each.rule for each in sorted(found, key=lambda each: each.rank, reverse=True))


class _Parent(NamedTuple):
    """What is called, and the namespace whose routes these are; empty for its own."""

    called: Called
    consumer: str


def _in_mesh(known: tuple[RouteState, ...]) -> Iterator[Config[VirtualService]]:
    found: dict[_Parent, list[tuple[RouteState, int]]] = {}
    for route in known:
        for parent in route.parents if route.refused is None else ():
            if parent.called is not None and parent.refused is None:
                consumer = route.resource.namespace if route.resource.namespace != parent.called.namespace else ""
                found.setdefault(_Parent(parent.called, consumer), []).append((route, parent.port))
    for place, some in found.items():
        yield _mesh_service(place, tuple(some))


@memoised
def _mesh_service(parent: _Parent, some: tuple[tuple[RouteState, int], ...]) -> Config[VirtualService]:
    """Clients' own routes take the place of the service's: nothing is older than they."""
    called, consumer = parent
    ranked = [(each.rank, _at_port(each.rule, port)) for route, port in some for each in route.requests]
    spec = VirtualService(
        hosts=list(called.hosts),
        gateways=[hosts.MESH],
        http=[rule for _, rule in sorted(ranked, key=lambda each: each[0], reverse=True)],
        tls=[
            TLSRoute(
                match=[TLSMatchAttributes(sni_hosts=_names(route, called), port=port)],
                route=list(route.connections.shares),
            )
            for route, port in some
            if route.kind == "TLSRoute"
        ],
        tcp=[
            TCPRoute(match=[L4MatchAttributes(port=port)], route=list(route.connections.shares))
            for route, port in some
            if route.kind == "TCPRoute"
        ],
        export_to=["."] if consumer else ["*"],
    )
    first = some[0][0].resource
    created = _FOREMOST if consumer else first.created
    others = tuple(dict.fromkeys(route.resource.origin for route, _ in some if route is not some[0][0]))
    kind = "" if called.kind == "Service" else f"-{called.kind.lower()}"
    name = f"{called.name}-{called.namespace}{kind}-istio-autogenerated-k8s-mesh"
    return Config(first.origin, consumer or called.namespace, name, {}, created, spec, merged_from=others)


def _names(route: RouteState, called: Called) -> list[str]:
    return called.server_names(list(getattr(route.resource.decoded.spec, "hostnames", ())))


def _at_port(rule: Rule, port: int) -> Rule:
    if not port:
        return rule
    return msgspec.structs.replace(rule, match=[msgspec.structs.replace(each, port=port) for each in rule.match])
