"""Requests that came by the wrong connection: for a host that another listener of the port has certificates for.

A client may send requests for several hosts on one connection. As the Gateway API asks for, it is told to open another
(421) for a host that is not this listener's; one that is, and has no route, is not found (404).
https://gateway-api.sigs.k8s.io/geps/gep-3567/
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from envoy.config.route.v3.route_components_pb2 import VirtualHost

from mesh_lab.controlplane.model.internal import ServiceGateway
from mesh_lab.controlplane.world.kubernetes import Origin
from mesh_lab.controlplane.xds.attachment import GatewayServer, origins_of
from mesh_lab.controlplane.xds.memo import memoised
from mesh_lab.controlplane.xds.routes import Fragment, fragment

_MISDIRECTED_REQUEST = 421
_ANY = "*"


def told(server: GatewayServer, servers: Iterable[GatewayServer], served: Collection[str]) -> Iterator[Fragment]:
    """The virtual hosts of a server of the Gateway API's that ends HTTPS, beside those that are `served` there."""
    if not (server.ends_tls and isinstance(server.config.spec, ServiceGateway)):
        return
    own = [host for _, host in server.hosts()]
    beside = (each for each in servers if each.ends_tls and each.target == server.target)
    others = dict.fromkeys(host for each in beside for _, host in each.hosts())
    origins = origins_of([server])
    for host in own:
        if host not in served:
            yield _unrouted(host, origins)
    for host in (*others, *(() if _ANY in others else (_ANY,))):
        if host not in served and host not in own:
            yield _misdirected(host, origins)


@memoised
def _unrouted(host: str, origins: tuple[Origin, ...]) -> Fragment:
    return fragment(VirtualHost(name=f"{host}:unrouted", domains=[host]), origins)


@memoised
def _misdirected(host: str, origins: tuple[Origin, ...]) -> Fragment:
    made = VirtualHost(name=f"{host}:misdirected", domains=[host])
    route = made.routes.add()
    route.match.prefix = "/"
    route.direct_response.status = _MISDIRECTED_REQUEST
    return fragment(made, origins)
