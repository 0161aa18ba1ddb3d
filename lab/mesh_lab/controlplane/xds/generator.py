"""All resources of a proxy, put together from parts that are made once and shared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from mesh_lab.controlplane.model import AuthorizationPolicy, Gateway, PeerAuthentication, VirtualService
from mesh_lab.controlplane.world.kubernetes import ObjectKey, Origin, Pod, Service
from mesh_lab.controlplane.world.meshconfig import MeshConfig
from mesh_lab.controlplane.world.proxy import Proxy
from mesh_lab.controlplane.world.snapshot import NO_ENDPOINTS, Config, ServiceEndpoints, Snapshot, Table
from mesh_lab.controlplane.xds import attachment, clusters, endpoints, gateway, inbound, outbound, routes
from mesh_lab.controlplane.xds.built import (
    Built,
)
from mesh_lab.controlplane.xds.memo import Memo
from mesh_lab.controlplane.xds.mtls import PeerPolicies, peer_policies, selects
from mesh_lab.controlplane.xds.peers import Own, own_of
from mesh_lab.controlplane.xds.policies import HostRules, received
from mesh_lab.controlplane.xds.rbac import Authorization, authorization_of
from mesh_lab.controlplane.xds.rules import all_hosts
from mesh_lab.controlplane.xds.scope import RouteConfig, Scope, scope_of
from mesh_lab.controlplane.xds.services import MeshService, Protocol, Resolution, from_kubernetes
from mesh_lab.controlplane.xds.typeurls import CDS, EDS, LDS, RDS

Resources = Mapping[str, Mapping[str, Built]]
PeerTable = Table[ObjectKey, Config[PeerAuthentication]]
AuthorizationTable = Table[ObjectKey, Config[AuthorizationPolicy]]


class Generator:
    """Translates snapshots. It remembers what it made, so a change costs what it touches; the results are pure."""

    def __init__(self) -> None:
        self._memo = Memo()
        self._snapshot: Snapshot | None = None

    def generate(self, snapshot: Snapshot, proxy: Proxy) -> Resources:
        """The listeners, routes, clusters and endpoints of a proxy, by type and name."""
        if snapshot is not self._snapshot:
            self._snapshot = snapshot
            self._memo.turn()
        pod = snapshot.pods.get((proxy.namespace, proxy.pod)) or _pod_of(proxy)
        gateway = proxy.kind == "router"
        scope = scope_of(self._memo, snapshot, proxy.namespace, pod.labels, gateway=gateway)
        make = self._gateway if gateway else self._sidecar
        return make(snapshot, scope, pod, own_of(proxy))

    def _gateway(self, snapshot: Snapshot, scope: Scope, pod: Pod, own: Own) -> Resources:
        memo, mesh = self._memo, snapshot.mesh
        targets = tuple(ports for _, ports in _services_of(memo, snapshot, pod))
        servers = memo(attachment.servers_of, snapshot.of(Gateway), pod, targets)
        found = memo(_attached, servers, snapshot.of(VirtualService), pod.namespace, mesh.cluster_domain)
        setting = memo(
            gateway.Setting,
            scope,
            mesh,
            own,
            self._authorization(snapshot, pod),
            memo(gateway.credentials_in, snapshot.secrets, pod.namespace),
        )
        called, assigned = memo(
            _called_by_gateway, memo, scope, found, snapshot.endpoints, snapshot.of(PeerAuthentication), mesh
        )
        return {
            CDS: called,
            EDS: assigned,
            LDS: memo(_gateway_listeners, setting, servers, found),
            RDS: memo(_gateway_routes, memo, setting, servers, found),
        }

    def _authorization(self, snapshot: Snapshot, pod: Pod) -> Authorization:
        labels = tuple(sorted(pod.labels.items()))
        root = snapshot.mesh.root_namespace
        return self._memo(_authorization, snapshot.of(AuthorizationPolicy), pod.namespace, labels, root)

    def _sidecar(self, snapshot: Snapshot, scope: Scope, pod: Pod, own: Own) -> Resources:
        memo, mesh = self._memo, snapshot.mesh
        policies = policies_of(memo, snapshot.of(PeerAuthentication), pod.namespace, mesh.root_namespace)
        ports = inbound.inbound_ports(pod, _services_of(memo, snapshot, pod), policies)
        authorization = self._authorization(snapshot, pod)
        listener = memo(inbound.virtual_inbound, ports, authorization, mesh, own, policies.origins(pod.labels))
        served = [self._application(scope, pod, port, port.service, mesh) for port in ports if port.service is not None]
        permitted = [
            memo(inbound.inbound_routes, port, authorization, mesh.trust_domains)
            for port in ports
            if port.protocol.is_http or port.protocol is Protocol.AUTO
        ]
        called, assigned = memo(_called, memo, scope, snapshot.endpoints, snapshot.of(PeerAuthentication), mesh)
        sent = memo(_listeners, memo, scope, mesh, own, _headless(scope, snapshot.endpoints))
        return {
            CDS: {**called, **_by_name(served)},
            EDS: assigned,
            LDS: {**sent, listener.name: listener},
            RDS: {**memo(_routes, memo, scope, mesh), **_by_name(permitted)},
        }

    def _application(
        self, scope: Scope, pod: Pod, port: inbound.InboundPort, service: MeshService, mesh: MeshConfig
    ) -> Built:
        """The cluster of a port of the pod. The Sidecar's limits come before those of a DestinationRule."""
        rules = scope.rules.get(service.hostname)
        pool, origins = received(rules, port.called_by), rules.origins if rules is not None else ()
        if scope.sidecar is not None and scope.sidecar.spec.inbound_connection_pool is not None:
            pool, origins = scope.sidecar.spec.inbound_connection_pool, (scope.sidecar.origin,)
        return self._memo(clusters.inbound, pod.ip, port.number, port.protocol, service, pool, origins, mesh)


def _by_name(built: Iterable[Built]) -> Table[str, Built]:
    return Table({resource.name: resource for resource in built})


def _pod_of(proxy: Proxy) -> Pod:
    """A proxy whose pod is not known (yet, or any more) is what it was when it connected."""
    return Pod(
        Origin("Pod", proxy.namespace, proxy.pod),
        proxy.namespace,
        proxy.pod,
        proxy.ip,
        proxy.labels,
        proxy.service_account,
        proxy.workload,
        proxy.kind == "sidecar",
        "",
        {},
    )


def policies_of(memo: Memo, table: PeerTable, namespace: str, root_namespace: str) -> PeerPolicies:
    """The PeerAuthentications that concern a namespace; the same object while those do not change."""
    by_namespace = memo(_by_namespace, table)
    concerned = dict.fromkeys((root_namespace, namespace))
    found = tuple(config for name in concerned for config in by_namespace.get(name, ()))
    return memo(peer_policies, found, namespace, root_namespace)


def _by_namespace(table: PeerTable) -> Table[str, tuple[Config[PeerAuthentication], ...]]:
    found: dict[str, tuple[Config[PeerAuthentication], ...]] = {}
    for config in table.values():
        found[config.namespace] = (*found.get(config.namespace, ()), config)
    return Table(found)


def _authorization(
    table: AuthorizationTable, namespace: str, labels: tuple[tuple[str, str], ...], root_namespace: str
) -> Authorization:
    return authorization_of(table.values(), namespace, labels, root_namespace)


Targets = tuple[tuple[int | str, int], ...]


def _services_of(memo: Memo, snapshot: Snapshot, pod: Pod) -> list[tuple[MeshService, Targets]]:
    """The services that select a pod, by name, with the targets and numbers of their ports."""
    by_namespace = memo(_selecting, snapshot.services)
    domain = snapshot.mesh.cluster_domain
    return [
        (memo(from_kubernetes, service, domain), tuple((port.target, port.port) for port in service.ports))
        for service in by_namespace.get(pod.namespace, ())
        if selects(service.selector, pod.labels)
    ]


def _selecting(services: Table[ObjectKey, Service]) -> Table[str, tuple[Service, ...]]:
    found: dict[str, list[Service]] = {}
    for service in services.values():
        if service.selector and not service.external_name:
            found.setdefault(service.namespace, []).append(service)
    return Table({name: tuple(sorted(some, key=lambda s: s.name)) for name, some in found.items()})


def _called(
    memo: Memo,
    scope: Scope,
    known: Table[ObjectKey, ServiceEndpoints],
    peer_table: PeerTable,
    mesh: MeshConfig,
) -> tuple[Table[str, Built], Table[str, Built]]:
    """The clusters that a scope's proxies may call, and their endpoints."""
    made: list[Built] = [
        memo(clusters.passthrough, mesh, "outbound"),
        memo(clusters.passthrough, mesh, "inbound"),
        memo(clusters.black_hole),
    ]
    assigned: list[Built] = []
    for some, theirs in service_clusters(memo, scope, (*scope.services, *scope.imported), known, peer_table, mesh):
        made.extend(some)
        assigned.extend(theirs)
    return _by_name(made), _by_name(assigned)


def service_clusters(
    memo: Memo,
    scope: Scope,
    services: Iterable[MeshService],
    known: Table[ObjectKey, ServiceEndpoints],
    peer_table: PeerTable,
    mesh: MeshConfig,
    *,
    gateway: bool = False,
) -> Iterator[tuple[tuple[Built, ...], tuple[Built, ...]]]:
    """For each service the clusters of its ports and subsets, and the endpoints of those that have a list of them."""
    policies: dict[str, PeerPolicies] = {}
    for service in services:
        if service.resolution is Resolution.ALIAS:
            continue
        namespace = service.key[0]
        concerned = policies.get(namespace)
        if concerned is None:
            concerned = policies[namespace] = policies_of(memo, peer_table, namespace, mesh.root_namespace)
        found = known.get(service.key, NO_ENDPOINTS)
        rules = scope.rules.get(service.hostname)
        yield memo(_service_clusters, memo, service, rules, found, concerned, mesh, gateway)


def _service_clusters(
    memo: Memo,
    service: MeshService,
    rules: HostRules | None,
    found: ServiceEndpoints,
    policies: PeerPolicies,
    mesh: MeshConfig,
    gateway: bool,
) -> tuple[tuple[Built, ...], tuple[Built, ...]]:
    made: list[Built] = []
    assigned: list[Built] = []
    for port in service.ports:
        peers = memo(endpoints.peers_of, port, found, policies, mesh.trust_domains)
        for subset in clusters.subsets_of(rules):
            made.append(memo(clusters.outbound, service, port, subset, rules, peers, mesh, gateway))
            if service.resolution is Resolution.ENDPOINTS:
                chosen = rules.subset(subset) if rules is not None and subset else None
                labels = tuple(sorted(chosen.labels.items())) if chosen is not None else ()
                assigned.append(memo(endpoints.assignment, service, port, subset, labels, found, policies))
    return tuple(made), tuple(assigned)


def _headless(scope: Scope, known: Table[ObjectKey, ServiceEndpoints]) -> tuple[tuple[str, ServiceEndpoints], ...]:
    """The endpoints of headless services that need a listener for each of them."""
    return tuple(
        (service.hostname, known[service.key])
        for service in scope.services
        if service.resolution is Resolution.ORIGINAL_DESTINATION
        and service.key in known
        and not all(port.protocol.is_http for port in service.ports)
    )


def _listeners(
    memo: Memo, scope: Scope, mesh: MeshConfig, own: Own, headless: tuple[tuple[str, ServiceEndpoints], ...]
) -> Table[str, Built]:
    return _by_name(outbound.sidecar_listeners(memo, scope, mesh, own, dict(headless)))


def _routes(memo: Memo, scope: Scope, mesh: MeshConfig) -> Table[str, Built]:
    return _by_name(routes.sidecar_routes(memo, scope, mesh))


def _attached(
    servers: tuple[attachment.GatewayServer, ...], table: Table[ObjectKey, RouteConfig], namespace: str, domain: str
) -> tuple[attachment.Attached, ...]:
    return tuple(attachment.attached(servers, table.values(), namespace, domain))


def _called_by_gateway(
    memo: Memo,
    scope: Scope,
    found: tuple[attachment.Attached, ...],
    known: Table[ObjectKey, ServiceEndpoints],
    peer_table: PeerTable,
    mesh: MeshConfig,
) -> tuple[Table[str, Built], Table[str, Built]]:
    """The clusters of the services that a gateway's routes lead to, and their endpoints."""
    made: list[Built] = [memo(clusters.black_hole)]
    assigned: list[Built] = []
    configs = dict.fromkeys(each.config for each in found)
    written = (host for config in configs for host in memo(all_hosts, config, mesh.cluster_domain))
    hosts = dict.fromkeys(scope.called(host) for host in written)
    services = [memo(_listed, scope.by_host[host]) for host in hosts if host in scope.by_host]
    for some, theirs in service_clusters(memo, scope, services, known, peer_table, mesh, gateway=True):
        made.extend(some)
        assigned.extend(theirs)
    return _by_name(made), _by_name(assigned)


def _listed(service: MeshService) -> MeshService:
    """A headless service's client chooses the address; a gateway's clients know none, so the gateway chooses."""
    if service.resolution is not Resolution.ORIGINAL_DESTINATION:
        return service
    return replace(service, resolution=Resolution.ENDPOINTS)


def _gateway_listeners(
    setting: gateway.Setting, servers: tuple[attachment.GatewayServer, ...], found: tuple[attachment.Attached, ...]
) -> Table[str, Built]:
    return _by_name(gateway.gateway_listeners(setting, servers, found))


def _gateway_routes(
    memo: Memo,
    setting: gateway.Setting,
    servers: tuple[attachment.GatewayServer, ...],
    found: tuple[attachment.Attached, ...],
) -> Table[str, Built]:
    return _by_name(gateway.gateway_routes(memo, setting, servers, found))
