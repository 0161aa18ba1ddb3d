"""VirtualService.tcp[]: shares of connections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from envoy.config.listener.v3.listener_components_pb2 import Filter
from envoy.extensions.filters.common.set_filter_state.v3.value_pb2 import FilterStateValue
from envoy.extensions.filters.network.set_filter_state.v3.set_filter_state_pb2 import Config as SetFilterState
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy

from mesh_lab.controlplane.model.virtualservice import (
    Destination,
    L4MatchAttributes,
    RouteDestination,
    TLSMatchAttributes,
)
from mesh_lab.controlplane.world.kubernetes import Origin
from mesh_lab.controlplane.xds import hosts, names, tls
from mesh_lab.controlplane.xds.built import any_of
from mesh_lab.controlplane.xds.durations import duration
from mesh_lab.controlplane.xds.hosts import gateway_name
from mesh_lab.controlplane.xds.matching import Viewpoint
from mesh_lab.controlplane.xds.mtls import selects
from mesh_lab.controlplane.xds.policies import HostRules, Policy, effective
from mesh_lab.controlplane.xds.scope import MESH, RouteConfig, Scope
from mesh_lab.controlplane.xds.services import MeshPort, MeshService, Protocol
from mesh_lab.controlplane.xds.upstream import tunnel


@dataclass(frozen=True)
class Share:
    """A cluster's share of connections: of a port of a host, or of a subset of it."""

    host: str
    port: int
    subset: str
    weight: int
    origins: tuple[Origin, ...]

    @property
    def cluster(self) -> str:
        """The cluster's name."""
        return names.outbound_cluster(self.port, self.subset, self.host)


def tcp_shares(scope: Scope, service: MeshService, port: MeshPort, domain: str) -> tuple[Share, ...]:
    """Where connections to a service's port go; nothing where no VirtualService routes them."""
    configs = (config for config in scope.routes.get(service.hostname, ()) if config.spec.tcp)
    return next(filter(None, (_shares(scope, config, port.number, domain) for config in configs)), ())


def _shares(scope: Scope, config: RouteConfig, port: int, domain: str) -> tuple[Share, ...]:
    view = Viewpoint(MESH, port, scope.namespace, scope.labels)
    for rule in config.spec.tcp:
        if not rule.match or any(concerns_connection(match, view, config.namespace) for match in rule.match):
            return shares(scope, config, rule.route, port, domain)
    return ()


def concerns_connection(match: L4MatchAttributes | TLSMatchAttributes, view: Viewpoint, owner: str) -> bool:
    """Whether a match can hold for connections from a viewpoint; `owner` is the namespace of the VirtualService."""
    if match.gateways and view.gateway not in {gateway_name(name, owner) for name in match.gateways}:
        return False
    if match.port and match.port != view.port:
        return False
    if match.source_namespace and match.source_namespace != view.namespace:
        return False
    return selects(match.source_labels, dict(view.labels))


def shares(
    scope: Scope, config: RouteConfig, route: list[RouteDestination], port: int, domain: str
) -> tuple[Share, ...]:
    """The clusters of a rule; those without a weight get nothing, unless there is only one."""
    chosen = [entry for entry in route if entry.weight] or route[:1]
    return tuple(_share(scope, config, entry, port, domain) for entry in chosen)


def _share(scope: Scope, config: RouteConfig, entry: RouteDestination, port: int, domain: str) -> Share:
    destination = entry.destination
    host = hosts.resolve(destination.host, config.namespace, domain)
    number = port_of(destination, scope.by_host.get(host), port)
    return Share(scope.called(host), number, destination.subset, entry.weight or 1, config.origins)


def port_of(destination: Destination, service: MeshService | None, default: int) -> int:
    """The port of the destination, else the only one of the service, else the one that the client connected to."""
    if destination.port is not None and destination.port.number:
        return destination.port.number
    ports = service.ports if service is not None else ()
    return ports[0].number if len(ports) == 1 else default


def forward(proxy: TcpProxy, chosen: tuple[Share, ...], policy: Policy) -> None:
    """Where connections go, how long they last, and whether a client stays with its endpoint."""
    if len(chosen) == 1:
        proxy.cluster = chosen[0].cluster
    else:
        for share in chosen:
            proxy.weighted_clusters.clusters.add(name=share.cluster, weight=share.weight)
    limits = policy.connection_pool.tcp if policy.connection_pool else None
    if limits is not None and limits.idle_timeout is not None:
        proxy.idle_timeout.CopyFrom(duration(limits.idle_timeout))
    if limits is not None and limits.max_connection_duration is not None:
        proxy.max_downstream_connection_duration.CopyFrom(duration(limits.max_connection_duration))
    hashed = policy.load_balancer.consistent_hash if policy.load_balancer else None
    if hashed is not None and hashed.use_source_ip:
        proxy.hash_policy.add().source_ip.SetInParent()
    tunnel(proxy, policy.tunnel)


def policy_of(rules: Mapping[str, HostRules], chosen: tuple[Share, ...]) -> Policy:
    """DestinationRules' settings for connections: of the first destination, and of its subset if it is the only one."""
    first = chosen[0]
    return effective(rules.get(first.host), first.port, first.subset if len(chosen) == 1 else "")


def must_announce_tcp(scope: Scope, chosen: tuple[Share, ...]) -> bool:
    """Whether connections must announce TCP by ALPN, since a cluster that they go to would announce HTTP.

    A server's sidecar detects by ALPN what is spoken within mutual TLS. With other TLS the server is outside the mesh,
    which does not choose the ALPN for it.
    """
    return any(_speaks_http(scope, share) and _is_mutual(scope, share) for share in chosen)


def _speaks_http(scope: Scope, share: Share) -> bool:
    service = scope.by_host.get(share.host)
    port = service.port(share.port) if service is not None else None
    return port is not None and port.protocol not in (Protocol.TCP, Protocol.TLS)


def _is_mutual(scope: Scope, share: Share) -> bool:
    settings = effective(scope.rules.get(share.host), share.port, share.subset).tls
    return settings is None or settings.mode == "ISTIO_MUTUAL"


def mark(*, marked: bool) -> list[Filter]:
    """The filter, if one is needed, that marks a connection as TCP. It comes before the TCP proxy."""
    if not marked:
        return []
    value = FilterStateValue(
        object_key="envoy.network.application_protocols", shared_with_upstream=FilterStateValue.ONCE
    )
    value.format_string.text_format_source.inline_string = tls.ALPN_TCP
    config = SetFilterState(on_new_connection=[value])
    return [Filter(name="envoy.filters.network.set_filter_state", typed_config=any_of(config))]
