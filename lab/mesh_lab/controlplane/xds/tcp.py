"""Where the connections to a service's port go: shares of them, by VirtualService.tcp[], tls[], or to the service."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

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
from mesh_lab.controlplane.xds.services import MeshPort, MeshService, Protocol, Resolution
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


@dataclass(frozen=True)
class Way:
    """Some connections to a port, and where they go by which policy.

    They are those for one of the server names (SNI), to an address in one of the ranges; all, where there are none.
    `marked`: see `must_announce_tcp`. At the port `looked_up_at`, if there is one, is the server that each names.
    """

    server_names: tuple[str, ...]
    ranges: tuple[str, ...]
    shares: tuple[Share, ...]
    policy: Policy
    origins: tuple[Origin, ...]
    marked: bool
    looked_up_at: int = 0


class Entrance(NamedTuple):
    """A port of a service, the number that clients connect to, and the ranges of addresses that are its own there.

    `shared` is where other services listen on the same address, so that only the server name tells them apart.
    """

    service: MeshService
    port: MeshPort
    number: int
    ranges: tuple[str, ...] = ()
    shared: bool = False


def ways_of(scope: Scope, entrance: Entrance, domain: str) -> tuple[Way, ...]:
    """Where the connections that come in at an entrance go, the first that takes one first."""
    made = _Ways(scope, entrance, domain)
    return tuple(made.by_name() if entrance.port.protocol is Protocol.TLS else made.by_address())


@dataclass(frozen=True)
class _Ways:
    """Makes the ways of one entrance."""

    scope: Scope
    entrance: Entrance
    domain: str

    def by_name(self) -> Iterator[Way]:
        """TLS, by the rules for its server names; without any to the service, by its name where it must be told."""
        view, routed = self._view(), False
        for config in self._configs():
            for rule in config.spec.tls:
                for match in rule.match if rule.route else ():
                    if concerns_connection(match, view, config.namespace):
                        routed = True
                        ranges = tuple(match.destination_subnets) or self.entrance.ranges
                        yield self._way(tuple(match.sni_hosts), ranges, self._shares(config, rule.route))
        if not routed:
            service = self.entrance.service
            dynamic = service.resolution is Resolution.DYNAMIC_DNS
            told = self.entrance.shared or dynamic or bool(self.entrance.ranges)
            known = (service.hostname, *(alias.hostname for alias in service.aliases)) if told else ()
            yield self._way(known, self.entrance.ranges, self._whole())

    def by_address(self) -> Iterator[Way]:
        """All other connections, up to the first rule that takes those to any address."""
        view = self._view()
        for config in self._configs():
            for rule in config.spec.tcp if config.spec.tcp else ():
                matches = [match for match in rule.match if concerns_connection(match, view, config.namespace)]
                if rule.match and not matches:
                    continue
                subnets = tuple(subnet for match in matches for subnet in match.destination_subnets)
                everywhere = not matches or any(not match.destination_subnets for match in matches)
                yield self._way((), self.entrance.ranges if everywhere else subnets, self._shares(config, rule.route))
                if everywhere:
                    return
        yield self._way((), self.entrance.ranges, self._whole())

    def _view(self) -> Viewpoint:
        return Viewpoint(MESH, self.entrance.number, self.scope.namespace, self.scope.labels)

    def _configs(self) -> Iterator[RouteConfig]:
        """The VirtualServices for the host; of a wildcard also those for hosts under it."""
        host = self.entrance.service.hostname
        yield from self.scope.routes.get(host, ())
        if host.startswith("*"):
            for written, configs in self.scope.written.items():
                if written != host and hosts.covers(host, written):
                    yield from configs

    def _shares(self, config: RouteConfig, route: list[RouteDestination]) -> tuple[Share, ...]:
        return shares(self.scope, config, route, self.entrance.number, self.domain)

    def _whole(self) -> tuple[Share, ...]:
        """All connections, to the service; to its only port, if it has one."""
        service = self.entrance.service
        number = service.ports[0].number if len(service.ports) == 1 else self.entrance.number
        return (Share(service.hostname, number, "", 1, ()),)

    def _way(self, names_: tuple[str, ...], ranges: tuple[str, ...], chosen: tuple[Share, ...]) -> Way:
        rules = self.scope.rules.get(chosen[0].host)
        origins = [origin for share in chosen for origin in share.origins]
        origins += rules.origins if rules is not None else ()
        told = () if "*" in names_ else tuple(name for name in names_ if not name.startswith("*") or name[1:2] == ".")
        marked = must_announce_tcp(self.scope, chosen)
        at = next((share.port for share in chosen if _is_looked_up(self.scope, share)), 0)
        return Way(told, ranges, chosen, policy_of(self.scope.rules, chosen), tuple(origins), marked, at)


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


def _is_looked_up(scope: Scope, share: Share) -> bool:
    service = scope.by_host.get(share.host)
    return service is not None and service.resolution is Resolution.DYNAMIC_DNS


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
