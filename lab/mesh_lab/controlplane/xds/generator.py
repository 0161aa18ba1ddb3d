"""All resources of a proxy, put together from parts that are made once and shared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import NamedTuple

from mesh_lab.controlplane.model import (
    EnvoyFilter,
    PeerAuthentication,
    ServiceEntry,
    TrafficExtension,
)
from mesh_lab.controlplane.model.choosing import ChosenSubset
from mesh_lab.controlplane.model.requestauthentication import RequestAuthentication
from mesh_lab.controlplane.model.telemetry import Telemetry
from mesh_lab.controlplane.world.kubernetes import ObjectKey, Pod, Service
from mesh_lab.controlplane.world.meshconfig import MeshConfig
from mesh_lab.controlplane.world.proxy import Proxy
from mesh_lab.controlplane.world.snapshot import Config, ServiceEndpoints, Snapshot, Table
from mesh_lab.controlplane.xds import access as accesses
from mesh_lab.controlplane.xds import (
    attachment,
    backendcertificates,
    clusters,
    datagrams,
    draws,
    endpoints,
    entries,
    fallbacks,
    gateway,
    gatewaytls,
    inbound,
    ingress,
    outbound,
    ownclusters,
    routes,
    snidnat,
    together,
)
from mesh_lab.controlplane.xds.access import Access
from mesh_lab.controlplane.xds.authentication import authentication_of
from mesh_lab.controlplane.xds.built import Built, joined, table_of
from mesh_lab.controlplane.xds.clients import client_of
from mesh_lab.controlplane.xds.extauthz import authorizer
from mesh_lab.controlplane.xds.localities import Client, order_of
from mesh_lab.controlplane.xds.memo import Memo, memoised, using
from mesh_lab.controlplane.xds.mtls import PeerPolicies, peer_policies, selects
from mesh_lab.controlplane.xds.patches import applying, scripts
from mesh_lab.controlplane.xds.patches.applying import Patched
from mesh_lab.controlplane.xds.patches.selection import referenced, selected
from mesh_lab.controlplane.xds.peers import Own, own_of
from mesh_lab.controlplane.xds.policies import HostRules, received
from mesh_lab.controlplane.xds.proxycontext import ProxyContext, gateway_context
from mesh_lab.controlplane.xds.rbac import authorization_of
from mesh_lab.controlplane.xds.reporting import called_by_proxy
from mesh_lab.controlplane.xds.rules import all_hosts
from mesh_lab.controlplane.xds.scope import Scope, registry_of, scope_of
from mesh_lab.controlplane.xds.services import MeshService, Protocol, Resolution, from_kubernetes, listed
from mesh_lab.controlplane.xds.telemetries import Applied, applied, backends_of
from mesh_lab.controlplane.xds.tracing import BUILT_IN_CLUSTER, built_in
from mesh_lab.controlplane.xds.typeurls import CDS, ECDS, EDS, LDS, RDS

Resources = Mapping[str, Mapping[str, Built]]
_NONE: Table[str, Built] = Table()
_LOOPBACK = "127.0.0.1"
PeerTable = Table[ObjectKey, Config[PeerAuthentication]]


class Generator:
    """Translates snapshots. It memoises its results, so a change costs what it touches; the results are pure."""

    def __init__(self) -> None:
        self._memo = Memo()
        self._snapshot: Snapshot | None = None

    def remembering(self) -> AbstractContextManager[None]:
        """Lends its memory to others who read the same snapshots: what was made of them is not made again."""
        return using(self._memo)

    def generate(self, snapshot: Snapshot, proxy: Proxy) -> Resources:
        """The listeners, routes, clusters and endpoints of a proxy, by type and name."""
        return self.patched(snapshot, proxy).resources

    def patched(self, snapshot: Snapshot, proxy: Proxy) -> Patched:
        """The same, with what became of the patches of EnvoyFilters."""
        if snapshot is not self._snapshot:
            self._snapshot = snapshot
            self._memo.turn()
        with using(self._memo):
            pod = proxy.machine or snapshot.pods.get((proxy.namespace, proxy.pod)) or proxy.as_connected
            make = _for_gateway if proxy.kind == "router" else _for_sidecar
            return _patched(snapshot, pod, proxy, make(snapshot, pod, own_of(proxy)))


def _patched(snapshot: Snapshot, pod: Pod, proxy: Proxy, resources: Resources) -> Patched:
    """What scripts, and then EnvoyFilters, make of a proxy's resources, and how its splits are drawn: the last step."""
    mesh = snapshot.mesh
    if header := draws.header_of(proxy):
        resources = {**resources, RDS: draws.by_header(resources[RDS], header)}
    chosen = scripts.selected(snapshot.of(TrafficExtension), proxy, pod.labels, mesh.root_namespace)
    patches = selected(snapshot.of(EnvoyFilter), proxy, pod.labels, mesh.root_namespace)
    ports = _called_by(snapshot, pod) if proxy.kind == "router" and (chosen or patches.routes) else ()
    if chosen:
        resources = {**resources, LDS: scripts.insert(resources[LDS], chosen, proxy.kind, ports)}
    if not any(patches):
        return Patched(resources)
    return applying.apply(resources, patches, applying.Place(proxy.kind, mesh.cluster_domain, ports))


def _called_by(snapshot: Snapshot, pod: Pod) -> applying.PortMap:
    """The numbers by which Services call each port of a pod."""
    numbers: dict[int, dict[int, None]] = {}
    for _, targets in _services_of(snapshot, pod):
        for target, number in targets:
            port = target if isinstance(target, int) else pod.ports.get(target)
            if port is not None:
                numbers.setdefault(port, {})[number] = None
    return tuple((port, tuple(found)) for port, found in numbers.items())


def _for_gateway(snapshot: Snapshot, pod: Pod, own: Own) -> Resources:
    mesh, scope = snapshot.mesh, scope_of(snapshot, pod.namespace, pod.labels, gateway=True)
    behind = _services_of(snapshot, pod)
    targets, keys = tuple(ports for _, ports in behind), tuple(service.key for service, _ in behind)
    servers = attachment.servers_of(ingress.gateways(snapshot), pod, targets, keys)
    scope = backendcertificates.shown(scope, servers)
    exports = mesh.default_virtual_service_export_to
    found = attachment.attached(servers, ingress.routes(snapshot), pod.namespace, mesh.cluster_domain, exports)
    credentials = gatewaytls.credentials_in(snapshot.secrets, pod.namespace)
    access, telling = _access(snapshot, pod), _telemetry(snapshot, pod)
    setting = _setting(scope, gateway_context(mesh, own, telling, pod), access, credentials)
    named = _named_by_patches(snapshot, scope, pod)
    beside = tuple(dict.fromkeys((*_called_itself(snapshot, telling, access), *named)))
    calling = Calling.of(snapshot, scope, pod, beside, gateway=True)
    called, assigned = _called_by_gateway(calling, found, snidnat.passed_on(scope, servers))
    carried = datagrams.carried(snapshot, keys)
    listening, routing = (make(setting, servers, found) for make in (gateway.gateway_listeners, gateway.gateway_routes))
    return {
        CDS: {**called, **carried[CDS]},
        EDS: {**assigned, **carried[EDS]},
        LDS: {**listening, **carried[LDS]},
        # Without requests there is no filter that would ask for its configuration.
        ECDS: accesses.extensions(access, snapshot.keys, True) if routing else _NONE,
        RDS: routing,
    }


def _named_by_patches(snapshot: Snapshot, scope: Scope, pod: Pod) -> tuple[MeshService, ...]:
    """The services whose clusters EnvoyFilters name: no route may lead there, as with those that limit rates."""
    hosts = referenced(snapshot.of(EnvoyFilter), pod.namespace, pod.labels, snapshot.mesh.root_namespace)
    return tuple(scope.by_host[host] for host in hosts if host in scope.by_host)


@memoised
def _setting(scope: Scope, context: ProxyContext, access: Access, credentials: frozenset[str]) -> gateway.Setting:
    return gateway.Setting(scope, context, access, credentials)


def _access(snapshot: Snapshot, pod: Pod) -> Access:
    labels, root = tuple(sorted(pod.labels.items())), snapshot.mesh.root_namespace
    authorization = authorization_of(together.policies_of(snapshot), pod.namespace, labels, root)
    if len(authorization.providers) == 1:
        asked = authorizer(snapshot.mesh, authorization.providers[0], registry_of(snapshot).services)
        authorization = replace(authorization, authorizer=asked)
    tokens = authentication_of(snapshot.of(RequestAuthentication), pod.namespace, labels, root)
    return Access(authorization, tokens)


def _telemetry(snapshot: Snapshot, pod: Pod) -> Applied:
    mesh, labels = snapshot.mesh, tuple(sorted(pod.labels.items()))
    backends = backends_of(registry_of(snapshot).services, mesh)
    return applied(snapshot.of(Telemetry), pod.namespace, labels, mesh.root_namespace, backends)


def _called_itself(snapshot: Snapshot, telling: Applied, access: Access) -> tuple[MeshService, ...]:
    """The services that the proxy itself calls, which must be there whatever its application may call."""
    known, asked = registry_of(snapshot).services, access.authorization.authorizer
    hosts = dict.fromkeys([*called_by_proxy(telling, snapshot.mesh), *([asked.host] if asked is not None else [])])
    return tuple(known[host] for host in hosts if host in known)


def _for_sidecar(snapshot: Snapshot, pod: Pod, own: Own) -> Resources:
    mesh, scope = snapshot.mesh, scope_of(snapshot, pod.namespace, pod.labels, captures_dns=own.captures_dns)
    policies = policies_of(together.peers_of(snapshot), pod.namespace, mesh.root_namespace)
    named = [*_services_of(snapshot, pod), *entries.selecting(snapshot.of(ServiceEntry), pod)]
    ports = inbound.inbound_ports(pod, named, policies, scope.sidecar)
    access, telling = _access(snapshot, pod), _telemetry(snapshot, pod)
    context = ProxyContext(mesh, own, telling)
    listener = inbound.virtual_inbound(ports, access, context, policies.origins(pod.labels))
    served = [ownclusters.inbound(_application(scope, pod, port, mesh), mesh) for port in ports if port.is_known]
    permitted = [
        inbound.inbound_routes(port, access, mesh.trust_domains, scope.traced)
        for port in ports
        if port.protocol.is_http or port.protocol is Protocol.AUTO
    ]
    beside = tuple(s for s in _called_itself(snapshot, telling, access) if s.hostname not in scope.by_host)
    calling = Calling.of(snapshot, scope, pod, beside)
    called, assigned = _called(calling)
    sent = outbound.sidecar_listeners(scope, context, _headless(scope, calling.endpoints))
    return {
        CDS: joined(called, tuple(served)),
        EDS: assigned,
        LDS: joined(sent, (listener,)),
        ECDS: accesses.extensions(access, snapshot.keys, False),
        RDS: joined(routes.sidecar_routes(scope, mesh), tuple(permitted)),
    }


def _application(scope: Scope, pod: Pod, port: inbound.InboundPort, mesh: MeshConfig) -> ownclusters.Application:
    """A port of the pod, with its limits. The Sidecar's limits come before those of a DestinationRule."""
    rules = scope.rules.get(port.service.hostname) if port.service is not None else None
    origins = rules.origins if rules is not None else ()
    pool = received(rules, port.called_by, mesh.default_traffic_policy)
    own = port.ingress.connection_pool if port.ingress is not None else None
    if scope.sidecar is not None and (own := own or scope.sidecar.spec.inbound_connection_pool) is not None:
        pool, origins = own, (scope.sidecar.origin,)
    own_address = _LOOPBACK if mesh.inbound_traffic_policy.mode == "LOCALHOST" else pod.ip
    at, origins = port.endpoint(own_address), (*port.origins, *origins)
    number, service = port.number, port.service
    return ownclusters.Application(
        number, *at, port.protocol, pool, origins, service, port.called_by, at == (pod.ip, number)
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
    """The services that select a pod, with the targets and numbers of their ports.

    The oldest is first, and then the first by name: of two with one port it is that one whose name requests are counted
    under (`SetServiceTargets` in Istio's pilot/pkg/model/context.go).
    """
    by_namespace = _selecting(together.services_of(snapshot))
    domain, own = snapshot.mesh.cluster_domain, entries.own_numbers(pod)
    return [
        (from_kubernetes(service, domain), tuple((own.get(p.name, p.target), p.port) for p in service.ports))
        for service in by_namespace.get(pod.namespace, ())
        if selects(service.selector, pod.labels)
    ]


@memoised
def _selecting(services: Table[ObjectKey, Service]) -> Table[str, tuple[Service, ...]]:
    found: dict[str, list[Service]] = {}
    for service in services.values():
        if service.selector and not service.external_name:
            found.setdefault(service.namespace, []).append(service)
    return Table({name: tuple(sorted(some, key=lambda s: (s.created, s.name))) for name, some in found.items()})


class Calling(NamedTuple):
    """What the clusters that a scope's sidecars, or a gateway, may call are made from.

    `beside` are services that the proxies themselves call.
    """

    scope: Scope
    endpoints: Table[ObjectKey, ServiceEndpoints]
    peer_table: PeerTable
    mesh: MeshConfig
    gateway: bool
    client: Client
    beside: tuple[MeshService, ...]

    @classmethod
    def of(
        cls, snapshot: Snapshot, scope: Scope, pod: Pod, beside: tuple[MeshService, ...] = (), *, gateway: bool = False
    ) -> Calling:
        """Those of a snapshot, for a pod's proxy."""
        peers, client = together.peers_of(snapshot), client_of(scope, snapshot.mesh, pod, snapshot.locality(pod))
        return cls(scope, entries.endpoint_table(snapshot), peers, snapshot.mesh, gateway, client, beside)

    def tracer(self) -> list[Built]:
        """The cluster of the mesh's built-in tracer, where there is one."""
        address = built_in(self.mesh)
        return [ownclusters.named(BUILT_IN_CLUSTER, address, self.mesh)] if address else []


@memoised
def _called(calling: Calling) -> tuple[Table[str, Built], Table[str, Built]]:
    """The clusters that a scope's proxies may call, and their endpoints."""
    scope = calling.scope
    made: list[Built] = [
        ownclusters.passthrough(calling.mesh, "outbound"),
        ownclusters.passthrough(calling.mesh, "inbound"),
        ownclusters.black_hole(),
        *calling.tracer(),
    ]
    assigned: list[Built] = []
    services = (*scope.services, *scope.imported, *calling.beside)
    for some, theirs in service_clusters(calling, services):
        made.extend(some)
        assigned.extend(theirs)
    return table_of([*made, *fallbacks.aggregates(services, scope, calling.mesh)]), table_of(assigned)


def service_clusters(
    calling: Calling, services: Iterable[MeshService], *, passed_on: bool = False
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
        found = entries.endpoints_of(service, calling.endpoints)
        rules = calling.scope.rules.get(service.hostname)
        yield _clusters_of(
            Called(service, rules, found, concerned, calling.mesh, calling.gateway, calling.client, passed_on)
        )


class Called(NamedTuple):
    """A service that is called, with all that its clusters are made from."""

    service: MeshService
    rules: HostRules | None
    endpoints: ServiceEndpoints
    policies: PeerPolicies
    mesh: MeshConfig
    by_gateway: bool
    client: Client
    passed_on: bool = False


@memoised
def _clusters_of(called: Called) -> tuple[tuple[Built, ...], tuple[Built, ...]]:
    service, rules, known, policies = called.service, called.rules, called.endpoints, called.policies
    made: list[Built] = []
    assigned: list[Built] = []
    for port in service.ports:
        peers = endpoints.peers_of(port, known, policies, called.mesh.trust_domains)
        for subset in clusters.subsets_of(service, rules):
            chosen = rules.subset(subset) if rules is not None and subset else None
            labels = tuple(sorted(chosen.labels.items())) if chosen is not None else ()
            instances = chosen.instances if isinstance(chosen, ChosenSubset) else None
            backed = not called.passed_on and rules is not None and bool(rules.standing_in(subset))
            selection = endpoints.Selection(service, port, subset, labels, called.passed_on, instances, backed)
            view = clusters.View(service, port, subset, rules, peers, called.mesh, called.by_gateway, backed=backed)
            order = order_of(view.nearness, called.client, detected=view.detects_failures)
            if service.resolution.by_name:
                view = replace(view, located=endpoints.located(selection, known, policies, order))
                if not view.located:
                    continue
            made.append(snidnat.cluster(view) if called.passed_on else clusters.outbound(view))
            if service.resolution is Resolution.ENDPOINTS:
                assigned.append(endpoints.assignment(selection, known, policies, order))
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
    calling: Calling, found: tuple[attachment.Attached, ...], passed_on: tuple[MeshService, ...]
) -> tuple[Table[str, Built], Table[str, Built]]:
    """The clusters of the services that a gateway's routes lead to, or that it passes on, and their endpoints."""
    scope = calling.scope
    made: list[Built] = [ownclusters.black_hole(), *calling.tracer()]
    assigned: list[Built] = []
    configs = dict.fromkeys(each.config for each in found)
    written = (host for config in configs for host in all_hosts(config, calling.mesh.cluster_domain))
    hosts = dict.fromkeys(scope.called(host) for host in dict.fromkeys(written))
    hosts |= {other: None for host in list(hosts) for other in fallbacks.reached(scope.rules.get(host))}
    beside = [service for service in calling.beside if service.hostname not in hosts]
    services = [listed(service) for service in (*(scope.by_host[h] for h in hosts if h in scope.by_host), *beside)]
    for some, theirs in (*service_clusters(calling, services), *service_clusters(calling, passed_on, passed_on=True)):
        made.extend(some)
        assigned.extend(theirs)
    return table_of([*made, *fallbacks.aggregates(services, scope, calling.mesh)]), table_of(assigned)
