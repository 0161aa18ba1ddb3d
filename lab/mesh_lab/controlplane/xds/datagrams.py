"""A gateway's ports for UDP: a listener for each, and one cluster for it.

Envoy's proxy for datagrams knows one cluster and no weights. So the backends of a route are the localities of a cluster
of its own, which have weights. A share that leads nowhere is an address at which nothing listens.
https://www.envoyproxy.io/docs/envoy/latest/configuration/listeners/udp_filters/udp_proxy
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.address_pb2 import Address, SocketAddress
from envoy.config.core.v3.base_pb2 import Locality
from envoy.config.endpoint.v3.endpoint_components_pb2 import Endpoint, LbEndpoint, LocalityLbEndpoints
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_components_pb2 import ListenerFilter
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.listener.v3.udp_listener_config_pb2 import UdpListenerConfig
from envoy.extensions.filters.udp.udp_proxy.v3.route_pb2 import Route
from envoy.extensions.filters.udp.udp_proxy.v3.udp_proxy_pb2 import UdpProxyConfig
from google.protobuf.wrappers_pb2 import UInt32Value

from mesh_lab.controlplane.world.kubernetes import ObjectKey
from mesh_lab.controlplane.world.snapshot import NO_ENDPOINTS, ServiceEndpoints, Snapshot, Table
from mesh_lab.controlplane.xds import tls
from mesh_lab.controlplane.xds.built import Built, any_of, build, table_of, wire
from mesh_lab.controlplane.xds.gatewayapi.datagrams import Datagrams, Share, datagrams
from mesh_lab.controlplane.xds.gatewayapi.sources import Sources
from mesh_lab.controlplane.xds.memo import memoised
from mesh_lab.controlplane.xds.typeurls import CDS, EDS, LDS

_DISCARD = ("127.0.0.1", 9)
"""Where datagrams go that have nowhere to go. Nothing listens there in a gateway's pod."""
_REGION = "backends"
_PROXY = "envoy.filters.udp_listener.udp_proxy"


class _Backend(NamedTuple):
    """The endpoints of a share, and the name of the Service's port."""

    weight: int
    port: str
    known: ServiceEndpoints


def carried(snapshot: Snapshot, services: Iterable[ObjectKey]) -> dict[str, Table[str, Built]]:
    """The clusters, assignments and listeners of the pods behind some Services, by type."""
    behind = {f"{namespace}/{name}" for namespace, name in services}
    mine = [each for each in datagrams(Sources.of(snapshot)) if not behind.isdisjoint(each.services)]
    backends = [(each, tuple(_backend(share, snapshot) for share in each.shares)) for each in mine]
    return {
        CDS: table_of(_cluster(each) for each in mine),
        EDS: table_of(_assignment(each, some) for each, some in backends),
        LDS: table_of(_listener(each) for each in mine),
    }


def _backend(share: Share, snapshot: Snapshot) -> _Backend:
    service = snapshot.services.get(share.service) if share.service is not None else None
    if share.service is None or service is None:
        return _Backend(share.weight, "", NO_ENDPOINTS)
    found = (port.name for port in service.ports if (port.port, port.transport) == (share.port, "UDP"))
    return _Backend(share.weight, next(found, ""), snapshot.endpoints.get(share.service, NO_ENDPOINTS))


def _name(each: Datagrams) -> str:
    return f"udp|{each.port}||{each.name}"


@memoised
def _cluster(each: Datagrams) -> Built:
    name = _name(each)
    cluster = Cluster(name=name, type=Cluster.EDS, lb_policy=Cluster.ROUND_ROBIN)
    cluster.eds_cluster_config.CopyFrom(Cluster.EdsClusterConfig(eds_config=tls.ads(), service_name=name))
    cluster.common_lb_config.locality_weighted_lb_config.SetInParent()
    return build(CDS, name, wire(cluster), each.origins)


@memoised
def _assignment(each: Datagrams, backends: tuple[_Backend, ...]) -> Built:
    name = _name(each)
    groups = [
        LocalityLbEndpoints(
            locality=Locality(region=_REGION, zone=str(index)),
            load_balancing_weight=UInt32Value(value=backend.weight),
            lb_endpoints=[LbEndpoint(endpoint=Endpoint(address=_place(*at))) for at in _addresses(backend)],
        )
        for index, backend in enumerate(backends)
    ]
    message = ClusterLoadAssignment(cluster_name=name, endpoints=groups)
    origins = [*each.origins, *(origin for backend in backends for origin in backend.known.origins)]
    return build(EDS, name, wire(message), origins)


def _addresses(backend: _Backend) -> list[tuple[str, int]]:
    ready = [(each.address, each.ports[backend.port]) for each in backend.known.endpoints if backend.port in each.ports]
    return ready or [_DISCARD]


def _place(address: str, port: int) -> Address:
    return Address(socket_address=SocketAddress(protocol=SocketAddress.UDP, address=address, port_value=port))


@memoised
def _listener(each: Datagrams) -> Built:
    name = f"udp_0.0.0.0_{each.port}"
    proxy = UdpProxyConfig(stat_prefix=f"outbound_0.0.0.0_{each.port}")
    action = proxy.matcher.on_no_match.action
    action.name = "route"
    action.typed_config.CopyFrom(any_of(Route(cluster=_name(each))))
    made = Listener(
        name=name,
        address=_place("0.0.0.0", each.port),
        udp_listener_config=UdpListenerConfig(),
        listener_filters=[ListenerFilter(name=_PROXY, typed_config=any_of(proxy))],
    )
    return build(LDS, name, wire(made), each.origins)
