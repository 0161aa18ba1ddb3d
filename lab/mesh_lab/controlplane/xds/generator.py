"""All resources of a proxy, put together from parts that are made once and shared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from mesh_lab.controlplane.model import AuthorizationPolicy, Gateway, PeerAuthentication, VirtualService
from mesh_lab.controlplane.model.requestauthentication import RequestAuthentication
from mesh_lab.controlplane.world.kubernetes import ObjectKey, Origin, Pod, Service
from mesh_lab.controlplane.world.meshconfig import MeshConfig
from mesh_lab.controlplane.world.proxy import Proxy
from mesh_lab.controlplane.world.snapshot import NO_ENDPOINTS, Config, ServiceEndpoints, Snapshot, Table
from mesh_lab.controlplane.xds import access as accesses
from mesh_lab.controlplane.xds import attachment, clusters, endpoints, gateway, inbound, outbound, routes
from mesh_lab.controlplane.xds.access import Access
from mesh_lab.controlplane.xds.authentication import authentication_of
from mesh_lab.controlplane.xds.built import Built, table_of
from mesh_lab.controlplane.xds.extauthz import authorizer
from mesh_lab.controlplane.xds.memo import Memo, memoised, using
from mesh_lab.controlplane.xds.mtls import PeerPolicies, peer_policies, selects
from mesh_lab.controlplane.xds.peers import Own, own_of
from mesh_lab.controlplane.xds.policies import HostRules, received
from mesh_lab.controlplane.xds.proxycontext import ProxyContext
from mesh_lab.controlplane.xds.rbac import authorization_of
from mesh_lab.controlplane.xds.rules import all_hosts
from mesh_lab.controlplane.xds.scope import Scope, scope_of
from mesh_lab.controlplane.xds.services import MeshService, Protocol, Resolution, from_kubernetes
from mesh_lab.controlplane.xds.typeurls import CDS, ECDS, EDS, LDS, RDS

_NOTHING: Table[str, Built] = Table()

Resources = Mapping[str, Mapping[str, Built]]
PeerTable = Table[ObjectKey, Config[PeerAuthentication]]


class Generator:
    """Translates snapshots. It memoises its results, so a change costs what it touches; the results are pure."""

    def __init__(self) -> None:
        self._memo = Memo()
        self._snapshot: Snapshot | None = None

    def generate(self, snapshot: Snapshot, proxy: Proxy) -> Resources:
        """The listeners, routes, clusters and endpoints of a proxy, by type and name."""
        if snapshot is not self._snapshot:
            self._snapshot = snapshot
            self._memo.turn()
        with using(self._memo):
            pod = snapshot.pods.get((proxy.namespace, proxy.pod)) or _pod_of(proxy)
            make = _for_gateway if proxy.kind == "router" else _for_sidecar
            return make(snapshot, pod, own_of(proxy))


def _for_gateway(snapshot: Snapshot, pod: Pod, own: Own) -> Resources:
    mesh, scope = snapshot.mesh, scope_of(snapshot, pod.namespace, pod.labels, gateway=True)
    targets = tuple(ports for _, ports in _services_of(snapshot, pod))
    servers = attachment.servers_of(snapshot.of(Gateway), pod, targets)
    found = attachment.attached(servers, snapshot.of(VirtualService), pod.namespace, mesh.cluster_domain)
    credentials = gateway.credentials_in(snapshot.secrets, pod.namespace)
    access = _access(snapshot, pod, scope)
    setting = _setting(scope, ProxyContext(mesh, own), access, credentials)
    asked = access.authorization.authorizer
    called, assigned = _called_by_gateway(Calling.of(snapshot, scope, gateway=True), found, asked.host if asked else "")
    listening, routing = (make(setting, servers, found) for make in (gateway.gateway_listeners, gateway.gateway_routes))
    return {
        CDS: called,
        EDS: assigned,
        LDS: listening,
        # Without requests there is no filter that would ask for its configuration.
        ECDS: accesses.extensions(access, snapshot.keys, True) if routing else _NOTHING,
        RDS: routing,
    }


@memoised
def _setting(scope: Scope, context: ProxyContext, access: Access, credentials: frozenset[str]) -> gateway.Setting:
    return gateway.Setting(scope, context, access, credentials)


def _access(snapshot: Snapshot, pod: Pod, scope: Scope) -> Access:
    labels, root = tuple(sorted(pod.labels.items())), snapshot.mesh.root_namespace
    authorization = authorization_of(snapshot.of(AuthorizationPolicy), pod.namespace, labels, root)
    if len(authorization.providers) == 1:
        asked = authorizer(snapshot.mesh, authorization.providers[0], scope.by_host)
        authorization = replace(authorization, authorizer=asked)
    tokens = authentication_of(snapshot.of(RequestAuthentication), pod.namespace, labels, root)
    return Access(authorization, tokens)


def _for_sidecar(snapshot: Snapshot, pod: Pod, own: Own) -> Resources:
    mesh, scope = snapshot.mesh, scope_of(snapshot, pod.namespace, pod.labels)
    policies = policies_of(snapshot.of(PeerAuthentication), pod.namespace, mesh.root_namespace)
    ports = inbound.inbound_ports(pod, _services_of(snapshot, pod), policies)
    access, context = _access(snapshot, pod, scope), ProxyContext(mesh, own)
    listener = inbound.virtual_inbound(ports, access, context, policies.origins(pod.labels))
    served = [
        clusters.inbound(_application(scope, pod, port, port.service), mesh)
        for port in ports
        if port.service is not None
    ]
    permitted = [
        inbound.inbound_routes(port, access, mesh.trust_domains)
        for port in ports
        if port.protocol.is_http or port.protocol is Protocol.AUTO
    ]
    called, assigned = _called(Calling.of(snapshot, scope))
    sent = outbound.sidecar_listeners(scope, context, _headless(scope, snapshot.endpoints))
    return {
        CDS: {**called, **table_of(served)},
        EDS: assigned,
        LDS: {**sent, listener.name: listener},
        ECDS: accesses.extensions(access, snapshot.keys, False),
        RDS: {**routes.sidecar_routes(scope, mesh), **table_of(permitted)},
    }


def _application(scope: Scope, pod: Pod, port: inbound.InboundPort, service: MeshService) -> clusters.Application:
    """A port of the pod, with its limits. The Sidecar's limits come before those of a DestinationRule."""
    rules = scope.rules.get(service.hostname)
    pool, origins = received(rules, port.called_by), rules.origins if rules is not None else ()
    if scope.sidecar is not None and scope.sidecar.spec.inbound_connection_pool is not None:
        pool, origins = scope.sidecar.spec.inbound_connection_pool, (scope.sidecar.origin,)
    return clusters.Application(pod.ip, port.number, port.protocol, service, pool, origins)


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


def policies_of(table: PeerTable, namespace: str, root_namespace: str) -> PeerPolicies:
    """The PeerAuthentications that concern a namespace; the same object while those do not change."""
    by_namespace = _by_namespace(table)
    concerned = dict.fromkeys((root_namespace, namespace))
    found = tuple(config for name in concerned for config in by_namespace.get(name, ()))
    return peer_policies(found, namespace, root_namespace)


@memoised
def _by_namespace(table: PeerTable) -> Table[str, tuple[Config[PeerAuthentication], ...]]:
    found: dict[str, tuple[Config[PeerAuthentication], ...]] = {}
    for config in table.values():
        found[config.namespace] = (*found.get(config.namespace, ()), config)
    return Table(found)


Targets = tuple[tuple[int | str, int], ...]


def _services_of(snapshot: Snapshot, pod: Pod) -> list[tuple[MeshService, Targets]]:
    """The services that select a pod, by name, with the targets and numbers of their ports."""
    by_namespace = _selecting(snapshot.services)
    domain = snapshot.mesh.cluster_domain
    return [
        (from_kubernetes(service, domain), tuple((port.target, port.port) for port in service.ports))
        for service in by_namespace.get(pod.namespace, ())
        if selects(service.selector, pod.labels)
    ]


@memoised
def _selecting(services: Table[ObjectKey, Service]) -> Table[str, tuple[Service, ...]]:
    found: dict[str, list[Service]] = {}
    for service in services.values():
        if service.selector and not service.external_name:
            found.setdefault(service.namespace, []).append(service)
    return Table({name: tuple(sorted(some, key=lambda s: s.name)) for name, some in found.items()})


class Calling(NamedTuple):
    """What the clusters that a scope's sidecars, or a gateway, may call are made from."""

    scope: Scope
    endpoints: Table[ObjectKey, ServiceEndpoints]
    peer_table: PeerTable
    mesh: MeshConfig
    gateway: bool

    @classmethod
    def of(cls, snapshot: Snapshot, scope: Scope, *, gateway: bool = False) -> Calling:
        """Those of a snapshot."""
        return cls(scope, snapshot.endpoints, snapshot.of(PeerAuthentication), snapshot.mesh, gateway)


@memoised
def _called(calling: Calling) -> tuple[Table[str, Built], Table[str, Built]]:
    """The clusters that a scope's proxies may call, and their endpoints."""
    scope = calling.scope
    made: list[Built] = [
        clusters.passthrough(calling.mesh, "outbound"),
        clusters.passthrough(calling.mesh, "inbound"),
        clusters.black_hole(),
    ]
    assigned: list[Built] = []
    for some, theirs in service_clusters(calling, (*scope.services, *scope.imported)):
        made.extend(some)
        assigned.extend(theirs)
    return table_of(made), table_of(assigned)


def service_clusters(
    calling: Calling, services: Iterable[MeshService]
) -> Iterator[tuple[tuple[Built, ...], tuple[Built, ...]]]:
    """For each service the clusters of its ports and subsets, and the endpoints of those that have a list of them."""
    policies: dict[str, PeerPolicies] = {}
    for service in services:
        if service.resolution is Resolution.ALIAS:
            continue
        namespace = service.key[0]
        concerned = policies.get(namespace)
        if concerned is None:
            concerned = policies[namespace] = policies_of(calling.peer_table, namespace, calling.mesh.root_namespace)
        found = calling.endpoints.get(service.key, NO_ENDPOINTS)
        rules = calling.scope.rules.get(service.hostname)
        yield _clusters_of(Called(service, rules, found, concerned, calling.mesh, calling.gateway))


class Called(NamedTuple):
    """A service that is called, with all that its clusters are made from."""

    service: MeshService
    rules: HostRules | None
    endpoints: ServiceEndpoints
    policies: PeerPolicies
    mesh: MeshConfig
    by_gateway: bool


@memoised
def _clusters_of(called: Called) -> tuple[tuple[Built, ...], tuple[Built, ...]]:
    service, rules, known, policies = called.service, called.rules, called.endpoints, called.policies
    made: list[Built] = []
    assigned: list[Built] = []
    for port in service.ports:
        peers = endpoints.peers_of(port, known, policies, called.mesh.trust_domains)
        for subset in clusters.subsets_of(rules):
            view = clusters.View(service, port, subset, rules, peers, called.mesh, called.by_gateway)
            made.append(clusters.outbound(view))
            if service.resolution is Resolution.ENDPOINTS:
                chosen = rules.subset(subset) if rules is not None and subset else None
                labels = tuple(sorted(chosen.labels.items())) if chosen is not None else ()
                selection = endpoints.Selection(service, port, subset, labels)
                assigned.append(endpoints.assignment(selection, known, policies))
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


@memoised
def _called_by_gateway(
    calling: Calling, found: tuple[attachment.Attached, ...], authorizer_host: str
) -> tuple[Table[str, Built], Table[str, Built]]:
    """The clusters of the services that a gateway's routes lead to, or that it asks, and their endpoints."""
    scope = calling.scope
    made: list[Built] = [clusters.black_hole()]
    assigned: list[Built] = []
    configs = dict.fromkeys(each.config for each in found)
    written = (host for config in configs for host in all_hosts(config, calling.mesh.cluster_domain))
    hosts = dict.fromkeys([*(scope.called(host) for host in written), *filter(None, [authorizer_host])])
    services = [_listed(scope.by_host[host]) for host in hosts if host in scope.by_host]
    for some, theirs in service_clusters(calling, services):
        made.extend(some)
        assigned.extend(theirs)
    return table_of(made), table_of(assigned)


@memoised
def _listed(service: MeshService) -> MeshService:
    """A headless service's client chooses the address; a gateway's clients know none, so the gateway chooses."""
    if service.resolution is not Resolution.ORIGINAL_DESTINATION:
        return service
    return replace(service, resolution=Resolution.ENDPOINTS)
