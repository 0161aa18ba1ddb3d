"""VirtualService.tcp[]: shares of connections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy

from lab.controlplane.kubernetes import Origin
from lab.controlplane.model.virtualservice import Destination, L4MatchAttributes, RouteDestination, TLSMatchAttributes
from lab.controlplane.xds import hosts, names
from lab.controlplane.xds.durations import duration
from lab.controlplane.xds.matching import gateway_name
from lab.controlplane.xds.mtls import selects
from lab.controlplane.xds.policies import HostRules, Policy, effective
from lab.controlplane.xds.scope import MESH, Labels, RouteConfig, Scope
from lab.controlplane.xds.services import MeshPort, MeshService


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
    """Where connections to a service's port go; nothing where no VirtualService has a say."""
    configs = (config for config in scope.routes.get(service.hostname, ()) if config.spec.tcp)
    return next(filter(None, (_shares(scope, config, port.number, domain) for config in configs)), ())


def _shares(scope: Scope, config: RouteConfig, port: int, domain: str) -> tuple[Share, ...]:
    viewer, owner = (scope.namespace, scope.labels), config.namespace
    for rule in config.spec.tcp:
        if not rule.match or any(concerns_connection(match, MESH, port, *viewer, owner) for match in rule.match):
            return shares(config, rule.route, port, domain, scope.by_host)
    return ()


def concerns_connection(
    match: L4MatchAttributes | TLSMatchAttributes, gateway: str, port: int, namespace: str, labels: Labels, owner: str
) -> bool:
    """Whether a match can hold for connections to a port, seen from a client (or gateway)."""
    if match.gateways and gateway not in {gateway_name(name, owner) for name in match.gateways}:
        return False
    if match.port and match.port != port:
        return False
    if match.source_namespace and match.source_namespace != namespace:
        return False
    return selects(match.source_labels, dict(labels))


def shares(
    config: RouteConfig, route: list[RouteDestination], port: int, domain: str, services: Mapping[str, MeshService]
) -> tuple[Share, ...]:
    """The clusters of a rule; those without a weight get nothing, unless there is only one."""
    chosen = [entry for entry in route if entry.weight] or route[:1]
    return tuple(_share(config, entry, port, domain, services) for entry in chosen)


def _share(
    config: RouteConfig, entry: RouteDestination, port: int, domain: str, services: Mapping[str, MeshService]
) -> Share:
    destination = entry.destination
    host = hosts.resolve(destination.host, config.namespace, domain)
    service = services.get(host)
    called = service.called if service is not None else host
    number = port_of(destination, service, port)
    return Share(called, number, destination.subset, entry.weight or 1, (config.origin,))


def port_of(destination: Destination, service: MeshService | None, default: int) -> int:
    """The port asked for, else the only one that the service has, else the one that the request came for."""
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


def policy_of(rules: Mapping[str, HostRules], chosen: tuple[Share, ...]) -> Policy:
    """What DestinationRules say of connections: those of the first destination, and of its subset if it is the only."""
    first = chosen[0]
    return effective(rules.get(first.host), first.port, first.subset if len(chosen) == 1 else "")
