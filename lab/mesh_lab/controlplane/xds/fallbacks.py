"""Clusters of clusters: where a service's own endpoints are not healthy, requests go to those that stand in for them.

Envoy's aggregate cluster takes the first cluster of its list that has healthy endpoints, and a share of the next where
some are not. https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/aggregate_cluster
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.extensions.clusters.aggregate.v3.cluster_pb2 import ClusterConfig

from mesh_lab.controlplane.model.choosing import Fallback
from mesh_lab.controlplane.world.kubernetes import Origin
from mesh_lab.controlplane.world.meshconfig import MeshConfig
from mesh_lab.controlplane.xds import names
from mesh_lab.controlplane.xds.built import Built, any_of, build, wire
from mesh_lab.controlplane.xds.durations import duration
from mesh_lab.controlplane.xds.memo import memoised
from mesh_lab.controlplane.xds.policies import HostRules
from mesh_lab.controlplane.xds.scope import Scope
from mesh_lab.controlplane.xds.services import MeshService, Resolution
from mesh_lab.controlplane.xds.typeurls import CDS

_AGGREGATE = "envoy.clusters.aggregate"


class Line(NamedTuple):
    """The clusters behind one name, in the order in which they are tried."""

    name: str
    members: tuple[str, ...]
    origins: tuple[Origin, ...]


def reached(rules: HostRules | None) -> Iterator[str]:
    """The hosts that stand in for another."""
    if rules is not None:
        for subset in ("", *(each.name for each in rules.subsets)):
            yield from (fallback.host for fallback in rules.standing_in(subset))


def aggregates(services: Iterable[MeshService], scope: Scope, mesh: MeshConfig) -> Iterator[Built]:
    """The clusters for whose endpoints others stand in."""
    for service in services:
        for line in _lines(service, scope.rules.get(service.hostname), scope.by_host, scope.rules):
            yield _aggregate(line, mesh)


def _lines(
    service: MeshService, rules: HostRules | None, services: Mapping[str, MeshService], ruled: Mapping[str, HostRules]
) -> Iterator[Line]:
    """Of each port of a service, and of its subsets."""
    if rules is None or service.resolution is Resolution.DYNAMIC_DNS:
        return
    for subset in ("", *(each.name for each in rules.subsets)):
        standing_in = rules.standing_in(subset)
        for port in service.ports if standing_in else ():
            members = [names.own_cluster(port.number, subset, service.hostname)]
            members += _members(standing_in, port.number, services, ruled)
            name = names.outbound_cluster(port.number, subset, service.hostname)
            yield Line(name, tuple(dict.fromkeys(members)), (service.origin, *rules.origins))


def _members(
    standing_in: Iterable[Fallback], port: int, services: Mapping[str, MeshService], ruled: Mapping[str, HostRules]
) -> Iterator[str]:
    """Their own endpoints only: those that stand in are not stood in for in turn."""
    for fallback in standing_in:
        service = services.get(fallback.host)
        if service is None:
            continue
        number = service.ports[0].number if len(service.ports) == 1 else port
        rules = ruled.get(fallback.host)
        if fallback.subset and (rules is None or rules.subset(fallback.subset) is None):
            continue
        backed = rules is not None and bool(rules.standing_in(fallback.subset))
        named = names.own_cluster if backed else names.outbound_cluster
        yield named(number, fallback.subset, fallback.host)


@memoised
def _aggregate(line: Line, mesh: MeshConfig) -> Built:
    """The cluster of a line."""
    cluster = Cluster(
        name=line.name,
        connect_timeout=duration(mesh.connect_timeout),
        lb_policy=Cluster.CLUSTER_PROVIDED,
        cluster_type=Cluster.CustomClusterType(
            name=_AGGREGATE, typed_config=any_of(ClusterConfig(clusters=line.members))
        ),
    )
    return build(CDS, line.name, wire(cluster), line.origins)
