"""VirtualService.tcp[]: shares of connections."""

from __future__ import annotations

from dataclasses import dataclass

from lab.controlplane.kubernetes import Origin
from lab.controlplane.model.virtualservice import L4MatchAttributes, RouteDestination, TLSMatchAttributes
from lab.controlplane.xds import hosts, names
from lab.controlplane.xds.matching import gateway_name
from lab.controlplane.xds.memo import Memo
from lab.controlplane.xds.mtls import selects
from lab.controlplane.xds.scope import MESH, Labels, RouteConfig, Scope
from lab.controlplane.xds.services import MeshPort, MeshService


@dataclass(frozen=True)
class Share:
    """A cluster's share of connections."""

    cluster: str
    weight: int
    origins: tuple[Origin, ...]


def tcp_shares(memo: Memo, scope: Scope, service: MeshService, port: MeshPort, domain: str) -> tuple[Share, ...]:
    """Where connections to a service's port go; nothing where no VirtualService has a say."""
    config = scope.routes.get(service.hostname)
    if config is None or not config.spec.tcp:
        return ()
    return memo(_shares, config, port.number, scope.namespace, scope.labels, domain)


def _shares(config: RouteConfig, port: int, namespace: str, labels: Labels, domain: str) -> tuple[Share, ...]:
    for rule in config.spec.tcp:
        matches = [m for m in rule.match if concerns_connection(m, MESH, port, namespace, labels, config.namespace)]
        if matches or not rule.match:
            return shares(config, rule.route, port, domain)
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


def shares(config: RouteConfig, route: list[RouteDestination], port: int, domain: str) -> tuple[Share, ...]:
    """The clusters of a rule; those without a weight get nothing, unless there is only one."""
    chosen = [entry for entry in route if entry.weight] or route[:1]
    return tuple(
        Share(
            names.outbound_cluster(
                entry.destination.port.number if entry.destination.port else port,
                entry.destination.subset,
                hosts.resolve(entry.destination.host, config.namespace, domain),
            ),
            entry.weight or 1,
            (config.origin,),
        )
        for entry in chosen
    )
