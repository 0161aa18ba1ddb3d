"""AUTO_PASSTHROUGH: a gateway passes mutual TLS of the mesh on by its server name, which says the cluster.

The name `outbound_.PORT_._.HOST` is what a sidecar sends for each cluster. So clients in another network reach all
services that the server's hosts cover, without a VirtualService. Endpoints without mutual TLS are left out: what comes
in here ends at a sidecar.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.listener.v3.listener_components_pb2 import FilterChain, FilterChainMatch
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy

from mesh_lab.controlplane.xds import hosts, http, names, tls
from mesh_lab.controlplane.xds.attachment import GatewayServer
from mesh_lab.controlplane.xds.balancing import apply_connection_pool, apply_load_balancer, apply_outlier_detection
from mesh_lab.controlplane.xds.built import Built, build, wire
from mesh_lab.controlplane.xds.clusters import View, subsets_of
from mesh_lab.controlplane.xds.durations import duration
from mesh_lab.controlplane.xds.localities import apply_nearness
from mesh_lab.controlplane.xds.memo import memoised
from mesh_lab.controlplane.xds.proxycontext import ProxyContext
from mesh_lab.controlplane.xds.scope import Scope
from mesh_lab.controlplane.xds.services import MeshService, Resolution
from mesh_lab.controlplane.xds.statnames import stat_name
from mesh_lab.controlplane.xds.telemetry import Reporting, access_logs
from mesh_lab.controlplane.xds.typeurls import CDS


def passed_on(scope: Scope, servers: Iterable[GatewayServer]) -> tuple[MeshService, ...]:
    """The services that are reached through servers with AUTO_PASSTHROUGH."""
    patterns = [name for server in servers if server.passes_mesh for _, name in server.hosts()]
    if not patterns:
        return ()
    return tuple(
        service
        for service in scope.services
        if service.resolution is Resolution.ENDPOINTS and any(hosts.covers(p, service.hostname) for p in patterns)
    )


def chains(scope: Scope, context: ProxyContext, server: GatewayServer, taken: set[str]) -> Iterator[FilterChain]:
    """A chain for each cluster of each service, by the server name."""
    logs = list(access_logs(context, Reporting("source", "tcp")))
    for service in passed_on(scope, [server]):
        for port in service.ports:
            for subset in subsets_of(service, scope.rules.get(service.hostname)):
                name = names.sni(port.number, subset, service.hostname)
                if name in taken:
                    continue
                taken.add(name)
                proxy = TcpProxy(stat_prefix=name, cluster=name, access_log=logs)
                match = FilterChainMatch(server_names=[name], application_protocols=tls.MESH_ALPN)
                yield FilterChain(filter_chain_match=match, filters=[http.tcp_filter(proxy)])


@memoised
def cluster(view: View) -> Built:
    """A cluster that connections are passed to as they are: they are encrypted already."""
    service, port, policy = view.service, view.port, view.policy
    name = names.sni(port.number, view.subset, service.hostname)
    stat = stat_name(view.mesh.outbound_cluster_stat_name, name, service, port, view.subset)
    message = Cluster(
        name=name, alt_stat_name=stat, type=Cluster.EDS, connect_timeout=duration(view.mesh.connect_timeout)
    )
    message.eds_cluster_config.CopyFrom(Cluster.EdsClusterConfig(eds_config=tls.ads(), service_name=name))
    message.eds_cluster_config.eds_config.initial_fetch_timeout.FromSeconds(0)
    apply_load_balancer(message, policy.load_balancer)
    apply_nearness(message, view.nearness, detected=view.detects_failures)
    apply_connection_pool(message, policy.connection_pool, view.mesh.tcp_keepalive)
    apply_outlier_detection(message, policy.outlier_detection)
    origins = [service.origin, *(view.rules.origins if view.rules is not None else ())]
    return build(CDS, name, wire(message), origins)
