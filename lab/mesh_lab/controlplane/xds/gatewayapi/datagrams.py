"""UDPRoute: where gateways send datagrams, which no kind of Istio's can say.

https://gateway-api.sigs.k8s.io/reference/spec/#udproute
"""

from __future__ import annotations

from typing import NamedTuple

from mesh_lab.controlplane.world.kubernetes import ObjectKey, Origin
from mesh_lab.controlplane.xds.gatewayapi import infrastructure
from mesh_lab.controlplane.xds.gatewayapi.listeners import ListenerState, gateways
from mesh_lab.controlplane.xds.gatewayapi.routes import RouteState, routes
from mesh_lab.controlplane.xds.gatewayapi.sources import Sources
from mesh_lab.controlplane.xds.memo import memoised


class Share(NamedTuple):
    """A Service, one of its ports, and its weight; without a Service datagrams of this share are dropped."""

    service: ObjectKey | None
    port: int
    weight: int


class Datagrams(NamedTuple):
    """A port of a gateway's pods (those behind `services`, `namespace/name`), and where its datagrams go."""

    name: str
    port: int
    services: tuple[str, ...]
    shares: tuple[Share, ...]
    origins: tuple[Origin, ...]


@memoised
def datagrams(sources: Sources) -> tuple[Datagrams, ...]:
    """What is carried, for each listener: of several routes the oldest counts."""
    states = gateways(sources)
    first: dict[ListenerState, RouteState] = {}
    for route in routes(sources, states):
        for parent in route.parents if route.refused is None and route.kind == "UDPRoute" else ():
            for attached in parent.listeners if parent.refused is None else ():
                first.setdefault(attached.listener, route)
    return tuple(_of(each, route, sources) for each, route in first.items() if each.served)


def _of(each: ListenerState, route: RouteState, sources: Sources) -> Datagrams:
    shares = [
        Share(_service(share.destination.host, sources), share.destination.port.number, share.weight)
        for share in route.connections.shares
        if share.destination.port is not None
    ]
    services = infrastructure.services_of(each.gateway, sources.domain)
    origins = (route.resource.origin, each.owner.origin)
    return Datagrams(f"{each.owner.namespace}/{each.name}", each.listener.port, services, tuple(shares), origins)


def _service(host: str, sources: Sources) -> ObjectKey | None:
    """The Service that a backend's host means, where there is one."""
    name, _, namespace = host.removesuffix(f".svc.{sources.domain}").partition(".")
    return (namespace, name) if (namespace, name) in sources.services else None
