"""CDS beside services: the applications of a sidecar's own pod, what is passed on, and what leads nowhere."""

from __future__ import annotations

from typing import Literal, NamedTuple

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3 import address_pb2

from mesh_lab.controlplane.model.destinationrule import ConnectionPoolSettings
from mesh_lab.controlplane.world.kubernetes import Origin
from mesh_lab.controlplane.world.meshconfig import MeshConfig
from mesh_lab.controlplane.xds import names
from mesh_lab.controlplane.xds.balancing import apply_connection_pool
from mesh_lab.controlplane.xds.built import Built, build, wire
from mesh_lab.controlplane.xds.clusters import (
    INTRODUCING,
    UNIX,
    lookup_family,
    one_endpoint,
    protocol_options,
    set_options,
)
from mesh_lab.controlplane.xds.durations import duration
from mesh_lab.controlplane.xds.memo import memoised
from mesh_lab.controlplane.xds.policies import NO_POLICY, Policy
from mesh_lab.controlplane.xds.services import MeshService, Protocol
from mesh_lab.controlplane.xds.statnames import stat_name
from mesh_lab.controlplane.xds.typeurls import CDS


class Application(NamedTuple):
    """A port of a pod, and where its application listens for it.

    The limits for its clients are those of its sidecar, too: `pool`. `origins` state all of it. `called_by` is the
    number of the service's port, if there is one. `at_own_address`: it listens where clients call it, and at no other
    address or port that is stated.
    """

    port: int
    address: str
    target: int
    protocol: Protocol
    pool: ConnectionPoolSettings | None
    origins: tuple[Origin, ...]
    service: MeshService | None
    called_by: int = 0
    at_own_address: bool = False


@memoised
def inbound(application: Application, mesh: MeshConfig) -> Built:
    """The application itself. It sees 127.0.0.6, by which the pod's own rules know connections of its proxy."""
    name, service = names.inbound_cluster(application.port), application.service
    called = service.port(application.called_by) if service is not None else None
    stat = names.statistics(name)
    if service is not None and called is not None:
        stat = stat_name(mesh.inbound_cluster_stat_name, name, service, called, target=application.port)
    cluster = Cluster(name=name, alt_stat_name=stat, connect_timeout=duration(mesh.connect_timeout))
    if mesh.dual_stack and application.at_own_address:
        # At the very address that the client called: an application may listen at those of one family only.
        cluster.type, cluster.lb_policy = Cluster.ORIGINAL_DST, Cluster.CLUSTER_PROVIDED
    else:
        cluster.type = Cluster.STATIC
        cluster.load_assignment.CopyFrom(one_endpoint(name, application.address, application.target))
    if not application.address.startswith(UNIX):
        _bind_inbound(cluster, mesh)
    apply_connection_pool(cluster, application.pool, mesh.tcp_keepalive)
    policy, protocol = Policy(connection_pool=application.pool), application.protocol
    as_client = protocol is Protocol.AUTO
    set_options(cluster, protocol_options(protocol, policy, upgraded=False, as_client=as_client))
    return build(CDS, name, wire(cluster), application.origins)


def _bind_inbound(cluster: Cluster, mesh: MeshConfig) -> None:
    bind = cluster.upstream_bind_config
    bind.source_address.CopyFrom(address_pb2.SocketAddress(address=names.INBOUND_SOURCE, port_value=0))
    if mesh.dual_stack:
        other = address_pb2.SocketAddress(address=names.INBOUND_SOURCE_OF_IPV6, port_value=0)
        bind.extra_source_addresses.add(address=other)


@memoised
def passthrough(mesh: MeshConfig, side: Literal["outbound", "inbound"]) -> Built:
    """Connections to what the mesh does not know go where they were going."""
    name = names.INBOUND_PASSTHROUGH_CLUSTER if side == "inbound" else names.PASSTHROUGH_CLUSTER
    cluster = Cluster(
        name=name,
        alt_stat_name=names.statistics(name),
        type=Cluster.ORIGINAL_DST,
        lb_policy=Cluster.CLUSTER_PROVIDED,
        connect_timeout=duration(mesh.connect_timeout),
    )
    if side == "inbound":
        _bind_inbound(cluster, mesh)
    apply_connection_pool(cluster, None, mesh.tcp_keepalive)
    options = protocol_options(Protocol.AUTO, NO_POLICY, upgraded=False, as_client=True)
    if options is not None and side == "outbound":
        options.http_filters.extend(INTRODUCING)
    set_options(cluster, options)
    return build(CDS, name, wire(cluster), ())


@memoised
def named(name: str, address: str, mesh: MeshConfig) -> Built:
    """A server outside the registry, as HOST:PORT, in plain text."""
    host, _, port = address.rpartition(":")
    cluster = Cluster(
        name=name,
        alt_stat_name=names.statistics(name),
        type=Cluster.STRICT_DNS,
        dns_lookup_family=lookup_family(mesh),
        wait_for_warm_on_init={"value": False},
        load_assignment=one_endpoint(name, host, int(port)),
        connect_timeout=duration(mesh.connect_timeout),
    )
    return build(CDS, name, wire(cluster), ())


@memoised
def black_hole() -> Built:
    """Connections that must lead nowhere."""
    name = names.BLACK_HOLE_CLUSTER
    return build(CDS, name, wire(Cluster(name=name, alt_stat_name=names.statistics(name), type=Cluster.STATIC)), ())
