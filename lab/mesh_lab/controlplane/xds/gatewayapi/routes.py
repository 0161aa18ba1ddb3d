"""All routes, each with what it says and what it attaches to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mesh_lab.controlplane.model.decoding import DecodeError, decode_as
from mesh_lab.controlplane.model.gatewayapi import (
    GRPCRoute,
    HTTPRoute,
    ParentReference,
    ReferenceGrant,
    RouteSpec,
    TCPRoute,
    TLSRoute,
    UDPRoute,
)
from mesh_lab.controlplane.world.gatewayapi import Resource
from mesh_lab.controlplane.xds.gatewayapi import connections, grants, grpcroutes, httproutes, parents
from mesh_lab.controlplane.xds.gatewayapi.backends import Backends
from mesh_lab.controlplane.xds.gatewayapi.listeners import GatewayState
from mesh_lab.controlplane.xds.gatewayapi.parents import Parent
from mesh_lab.controlplane.xds.gatewayapi.rules import Ranked
from mesh_lab.controlplane.xds.gatewayapi.sources import Sources, Verdict, spec_of
from mesh_lab.controlplane.xds.memo import memoised

_NO_CONNECTIONS = connections.Read()
ROUTES: tuple[type[RouteSpec], ...] = (HTTPRoute, GRPCRoute, TLSRoute, TCPRoute, UDPRoute)


@dataclass(frozen=True, eq=False)
class RouteState:
    """One route: its rules for requests, or where its connections go, and its parents.

    `refused` says why it is refused as a whole, `problems` which of its references lead nowhere.
    """

    resource: Resource[RouteSpec]
    parents: tuple[Parent, ...]
    requests: tuple[Ranked, ...] = ()
    connections: connections.Read = _NO_CONNECTIONS
    refused: Verdict | None = None
    problems: tuple[Verdict, ...] = ()

    @property
    def kind(self) -> str:
        """As in `kind: HTTPRoute`."""
        return self.resource.origin.kind


@memoised
def routes(sources: Sources, gateways: tuple[GatewayState, ...]) -> tuple[RouteState, ...]:
    """The routes with a parent that the lab is in charge of, oldest first; `gateways` are those of the same sources."""
    around = _around(sources.without_routes(), gateways)
    found = (resource for kind in ROUTES for resource in sources.all(kind).values())
    ordered = sorted(found, key=lambda each: each.precedence)
    return tuple(state for each in ordered for state in _states(each, around))


@dataclass(frozen=True, eq=False)
class _Around:
    """What the meaning of a route depends on beside itself: no other route is among it."""

    sources: Sources
    listeners: parents.Index
    grants: grants.Index


@memoised
def _around(sources: Sources, gateways: tuple[GatewayState, ...]) -> _Around:
    return _Around(sources, parents.index(gateways), grants.index(sources.all(ReferenceGrant)))


@memoised
def _states(resource: Resource[RouteSpec], around: _Around) -> tuple[RouteState, ...]:
    """A route at its Gateways, and in the mesh: there a reference to another namespace needs no grant, as in Istio.

    A client may call any Service, so its route may lead there.
    """
    sources, index = around.sources, around.listeners
    spec = spec_of(resource)
    if spec is None:
        return tuple(_unread(resource, index, sources))
    attached = tuple(parents.parents_of(resource, spec, getattr(spec, "hostnames", []), index, sources))
    by = grants.Referrer(resource.origin.kind, resource.namespace)
    at_gateways = tuple(each for each in attached if not each.in_mesh)
    in_mesh = tuple(each for each in attached if each.in_mesh)
    return tuple(
        _state(resource, spec, some, Backends(sources, around.grants, by, free=some is in_mesh))
        for some in (at_gateways, in_mesh)
        if some
    )


def _state(
    resource: Resource[RouteSpec], spec: RouteSpec, attached: tuple[Parent, ...], backends: Backends
) -> RouteState:
    if isinstance(spec, HTTPRoute | GRPCRoute):
        read = httproutes.read(spec, backends) if isinstance(spec, HTTPRoute) else grpcroutes.read(spec, backends)
        return RouteState(resource, attached, read.rules, refused=read.refused, problems=read.problems)
    if isinstance(spec, TLSRoute | TCPRoute | UDPRoute):
        transport = "UDP" if isinstance(spec, UDPRoute) else "TCP"
        ways = connections.read(spec.rules, backends._replace(transport=transport))
        return RouteState(resource, attached, connections=ways, refused=ways.refused, problems=ways.problems)
    return RouteState(resource, attached, refused=Verdict("UnsupportedValue", "the lab knows no such routes"))


def _unread(resource: Resource[RouteSpec], index: parents.Index, sources: Sources) -> Iterator[RouteState]:
    """A route with what the lab does not know is refused by each parent that it names."""
    spec = RouteSpec(parent_refs=list(_references(resource)))
    attached = tuple(parents.parents_of(resource, spec, [], index, sources))
    if attached:
        yield RouteState(resource, attached, refused=Verdict("UnsupportedValue", resource.decoded.problem))


def _references(resource: Resource[RouteSpec]) -> Iterator[ParentReference]:
    for each in resource.raw.get("parentRefs") or ():
        try:
            yield decode_as(ParentReference, each)
        except DecodeError:
            continue
