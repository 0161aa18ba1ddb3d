"""What a proxy may see: the services, routes and rules that are exported to its namespace and that its Sidecar lets in.

All sidecars of a namespace share one scope, and so all that is made from it, unless a resource selects by their labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from typing import NamedTuple

from mesh_lab.controlplane.model import DestinationRule, ServiceEntry, Sidecar, VirtualService
from mesh_lab.controlplane.model.telemetry import Telemetry
from mesh_lab.controlplane.world.kubernetes import ObjectKey, Service
from mesh_lab.controlplane.world.meshconfig import MeshConfig
from mesh_lab.controlplane.world.snapshot import Config, Snapshot, Table
from mesh_lab.controlplane.xds import aliases, entries, hosts, names, tracing
from mesh_lab.controlplane.xds.exports import exported
from mesh_lab.controlplane.xds.imports import Egress, destinations_of, egress_of, showing
from mesh_lab.controlplane.xds.labelled import labels_matter
from mesh_lab.controlplane.xds.memo import memoised
from mesh_lab.controlplane.xds.mtls import selects
from mesh_lab.controlplane.xds.policies import HostRules, merge_rules
from mesh_lab.controlplane.xds.services import MeshPort, MeshService, Protocol, from_kubernetes
from mesh_lab.controlplane.xds.together import routes_of, rules_of, services_of

Labels = tuple[tuple[str, str], ...]
RuleConfig = Config[DestinationRule]
RouteConfig = Config[VirtualService]
MESH = hosts.MESH


@dataclass(frozen=True, eq=False)
class Registry:
    """All services of the mesh: `services` the one that counts for each hostname, `known` also the others behind it."""

    services: Table[str, MeshService]
    known: tuple[MeshService, ...]


class Exports(NamedTuple):
    """The mesh's `exportTo` for what has none of its own."""

    services: tuple[str, ...]
    routes: tuple[str, ...]
    rules: tuple[str, ...]

    @classmethod
    def of(cls, mesh: MeshConfig) -> Exports:
        """Those of the mesh's settings."""
        return cls(
            mesh.default_service_export_to,
            mesh.default_virtual_service_export_to,
            mesh.default_destination_rule_export_to,
        )


class Sources(NamedTuple):
    """What all scopes are made from: services and resources of the whole mesh, and some of its settings."""

    registry: Registry
    routes: Table[ObjectKey, RouteConfig]
    rules: Table[ObjectKey, RuleConfig]
    sidecars: Table[ObjectKey, Config[Sidecar]]
    domain: str
    root_namespace: str
    exports: Exports
    traced: bool


@dataclass(frozen=True, eq=False)
class Scope:
    """What the sidecars of one namespace (with one set of labels, where those matter) see.

    `services` are those that they may name, `imported` those that they only reach by way of a VirtualService; `by_host`
    has both. `routes` holds the VirtualServices of each service's hostname that has some, the one that counts first,
    first; `written` the same for all hosts as they stand in VirtualServices; `rules` the DestinationRules of a
    hostname. `traced`: spans may be reported, which are called by their routes.
    """

    namespace: str
    labels: Labels
    services: tuple[MeshService, ...]
    imported: tuple[MeshService, ...]
    by_host: Table[str, MeshService]
    routes: Table[str, tuple[RouteConfig, ...]]
    written: Table[str, tuple[RouteConfig, ...]]
    rules: Table[str, HostRules]
    sidecar: Config[Sidecar] | None
    egress: tuple[Egress, ...]
    traced: bool = False

    def ports_of(self, service: MeshService, *, captured: bool = False, proxied: bool = True) -> Iterator[MeshPort]:
        """The ports at which the Sidecar's egress listeners show a service; without any, all that it has.

        `captured`: those at which it is shown at its own address; `proxied`: also those that only a generic listener
        leads to. Each has the protocol that the listener states.
        """
        if not self.egress:
            yield from service.ports
            return
        known = (service.hostname, *(alias.hostname for alias in service.aliases))
        for port in service.ports:
            found = (
                showing(self.egress, service.namespace, n, port.number, captured=captured, proxied=proxied)
                for n in known
            )
            listener = next(filter(None, found), None)
            if listener is not None:
                stated = Protocol.AUTO if listener.generic else listener.protocol
                yield port if stated in (Protocol.AUTO, port.protocol) else port._replace(protocol=stated)

    def outside(self, mesh: MeshConfig) -> str:
        """The cluster that calls to hosts and addresses which the mesh does not know go to."""
        policy = (self.sidecar.spec.outbound_traffic_policy if self.sidecar else None) or mesh.outbound_traffic_policy
        if policy.mode != "ALLOW_ANY":
            return names.BLACK_HOLE_CLUSTER
        proxy = policy.egress_proxy
        if proxy is None:
            return names.PASSTHROUGH_CLUSTER
        number = proxy.port.number if proxy.port is not None else 0
        return names.outbound_cluster(number, proxy.subset, self.called(proxy.host.lower()))

    def called(self, host: str) -> str:
        """The host whose clusters and rules are meant by a host: itself, or what it is an alias for."""
        service = self.by_host.get(host)
        return service.called if service is not None else host


@memoised
def registry(services: Table[ObjectKey, Service], written: entries.Entries, domain: str) -> Registry:
    """The registry; a service that did not change keeps its identity.

    A Service comes before a ServiceEntry for its host, so that nobody takes a host away from it; of several entries one
    for its own namespace only comes first, then the oldest.
    """
    known = [from_kubernetes(service, domain) for service in services.values()]
    known += [service for config in written.values() for service in entries.services_of(config)]
    ordered = tuple(sorted(aliases.linked(known), key=_rank))
    return Registry(Table({service.hostname: service for service in reversed(ordered)}), ordered)


def registry_of(snapshot: Snapshot) -> Registry:
    """The registry of a snapshot."""
    return registry(services_of(snapshot), snapshot.of(ServiceEntry), snapshot.mesh.cluster_domain)


def _rank(service: MeshService) -> tuple[str, bool, bool, str, ObjectKey]:
    return (service.hostname, service.is_entry, service.export_to != (".",), service.created, service.key)


def _visible(services: Iterable[MeshService], default: tuple[str, ...], namespace: str) -> Iterator[MeshService]:
    """The services that are exported to a namespace, one for each hostname."""
    for _, group in groupby(services, key=lambda service: service.hostname):
        seen = [each for each in group if exported(each.export_to or default, each.namespace, namespace)]
        if seen:
            first = seen[0]
            for other in seen[1:]:
                first = entries.merged(first, other)
            yield first


_NO_SIDECARS: Table[ObjectKey, Config[Sidecar]] = Table()
_NO_ROUTES: Table[ObjectKey, RouteConfig] = Table()


def scope_of(
    snapshot: Snapshot,
    namespace: str,
    labels: Mapping[str, str],
    *,
    gateway: bool = False,
    captures_dns: bool = False,
) -> Scope:
    """The scope of a proxy; the same object for all that see the same. Sidecars do not apply to gateways."""
    mesh = snapshot.mesh
    sources = Sources(
        registry_of(snapshot),
        routes_of(snapshot),
        rules_of(snapshot),
        _NO_SIDECARS if gateway else snapshot.of(Sidecar),
        mesh.cluster_domain,
        mesh.root_namespace,
        Exports.of(mesh),
        tracing.is_on(snapshot.of(Telemetry), mesh),
    )
    tell_apart = labels_matter(sources.routes, sources.rules, sources.sidecars)
    scope = _scope(sources, namespace, tuple(sorted(labels.items())) if tell_apart else ())
    return _by_assigned_addresses(scope) if captures_dns else scope


@memoised
def _by_assigned_addresses(scope: Scope) -> Scope:
    """The scope in which entries without an address have that which they were given: their names lead there."""
    services, imported = (tuple(map(entries.at_assigned, found)) for found in (scope.services, scope.imported))
    by_host = Table({service.hostname: service for service in (*services, *imported)})
    return replace(scope, services=services, imported=imported, by_host=by_host)


@memoised
def _scope(sources: Sources, namespace: str, labels: Labels) -> Scope:
    sidecar = _sidecar_for(sources.sidecars, namespace, dict(labels), sources.root_namespace)
    egress = egress_of(sidecar, namespace)
    selected = _selected_routes(sources.routes, namespace, sources.domain, egress, sources.exports.routes)
    # Routes of gateways only come and go, and what a sidecar sees stays the same object.
    return _seen(sources._replace(routes=_NO_ROUTES, sidecars=_NO_SIDECARS), selected, sidecar, namespace, labels)


@memoised
def _seen(
    sources: Sources,
    selected: tuple[RouteConfig, ...],
    sidecar: Config[Sidecar] | None,
    namespace: str,
    labels: Labels,
) -> Scope:
    domain, root_namespace, exports = sources.domain, sources.root_namespace, sources.exports
    egress = egress_of(sidecar, namespace)
    visible = list(_visible(sources.registry.known, exports.services, namespace))
    services = tuple(_named(s, egress) for s in visible if _shows(egress, s.namespace, s.hostname))
    proxy = _egress_proxy(sidecar)
    imported = _imported(selected, services, visible, namespace, domain, proxy) if egress else ()
    index = _rule_index(sources.rules, domain, labels)
    mesh_routes = _mesh_routes(selected, domain)
    covering = {s.hostname: found for s in services if (found := mesh_routes.find(s.hostname)) is not None}
    ruled = {}
    for service in (*services, *imported):
        configs = _rules_for(index, service, namespace, root_namespace, exports.rules)
        if configs:
            ruled[service.hostname] = merge_rules(configs)
    return Scope(
        namespace,
        labels,
        services,
        imported,
        Table({service.hostname: service for service in (*services, *imported)}),
        Table(covering),
        Table({host: configs for host, configs in mesh_routes.items() if host != "*"}),
        Table(ruled),
        sidecar,
        egress,
        sources.traced,
    )


def _sidecar_for(
    sidecars: Table[ObjectKey, Config[Sidecar]], namespace: str, labels: Mapping[str, str], root_namespace: str
) -> Config[Sidecar] | None:
    """The Sidecar that selects the pod, else the namespace's, else the mesh's."""
    own = sorted((c for c in sidecars.values() if c.namespace == namespace), key=lambda config: config.precedence)
    for config in own:
        if config.spec.workload_selector and selects(config.spec.workload_selector.labels, labels):
            return config
    wide = [c for c in own if not c.spec.workload_selector]
    root = [c for c in sidecars.values() if c.namespace == root_namespace and not c.spec.workload_selector]
    return next(iter([*wide, *root]), None)


@memoised
def _selected_routes(
    routes: Table[ObjectKey, RouteConfig],
    namespace: str,
    domain: str,
    egress: tuple[Egress, ...],
    default: tuple[str, ...],
) -> tuple[RouteConfig, ...]:
    """The VirtualServices that a namespace's sidecars see, oldest first."""
    return tuple(
        config
        for config in sorted(routes.values(), key=lambda c: c.precedence)
        if MESH in (config.spec.gateways or [MESH])
        and exported(config.spec.export_to or default, config.namespace, namespace)
        and (not egress or _let_in(egress, config, domain))
    )


def _shows(egress: tuple[Egress, ...], namespace: str, hostname: str) -> bool:
    return not egress or any(listener.shows_service(namespace, hostname) for listener in egress)


def _named(service: MeshService, egress: tuple[Egress, ...]) -> MeshService:
    """The service, under those of its other names that the Sidecar lets in as well."""
    kept = tuple(alias for alias in service.aliases if _shows(egress, service.namespace, alias.hostname))
    return service if len(kept) == len(service.aliases) else aliases.known_as(service, kept)


def _let_in(egress: tuple[Egress, ...], config: RouteConfig, domain: str) -> bool:
    names = [hosts.resolve(host, config.namespace, domain) for host in config.spec.hosts]
    return any(listener.shows_route(config.namespace, names) for listener in egress)


def _egress_proxy(sidecar: Config[Sidecar] | None) -> str:
    policy = sidecar.spec.outbound_traffic_policy if sidecar is not None else None
    return policy.egress_proxy.host.lower() if policy is not None and policy.egress_proxy is not None else ""


def _imported(
    selected: tuple[RouteConfig, ...],
    services: tuple[MeshService, ...],
    visible: Iterable[MeshService],
    namespace: str,
    domain: str,
    proxy: str,
) -> tuple[MeshService, ...]:
    """Beside the services that a Sidecar lists, those that its VirtualServices lead to, by any of their names.

    And `proxy`, which calls to the outside go to.
    """
    known = {service.hostname: service for service in visible}
    reached = {proxy} | {host for config in selected for host in destinations_of(config, namespace, domain)}
    reached |= {known[host].called for host in reached if host in known}
    listed = {service.hostname for service in services}
    return tuple(service for host, service in known.items() if host in reached - listed)


@memoised
def _mesh_routes(selected: tuple[RouteConfig, ...], domain: str) -> hosts.HostIndex[tuple[RouteConfig, ...]]:
    """The VirtualServices for each host written in one, of all that a namespace's sidecars see.

    The oldest is first, and holds wherever it has a rule; where it has none (it is about connections, or other clients)
    the next does. Of those that write one wildcard only the oldest counts, as in Istio.
    """
    found: dict[str, tuple[RouteConfig, ...]] = {}
    for config in selected:
        for host in dict.fromkeys(hosts.resolve(written, config.namespace, domain) for written in config.spec.hosts):
            if host not in found or not host.startswith("*"):
                found[host] = (*found.get(host, ()), config)
    return hosts.HostIndex(found)


RuleIndex = Mapping[str, hosts.HostIndex[tuple[RuleConfig, ...]]]


@memoised
def _rule_index(rules: Table[ObjectKey, RuleConfig], domain: str, labels: Labels) -> RuleIndex:
    """By namespace and host, those that select this workload before those for all, each oldest first."""
    index: dict[str, dict[str, tuple[RuleConfig, ...]]] = {}
    mine = dict(labels)
    for config in sorted(rules.values(), key=lambda c: (c.spec.workload_selector is None, c.precedence)):
        selector = config.spec.workload_selector
        if selector is not None and not selects(selector.match_labels, mine):
            continue
        host = hosts.resolve(config.spec.host, config.namespace, domain)
        by_host = index.setdefault(config.namespace, {})
        by_host[host] = (*by_host.get(host, ()), config)
    return {namespace: hosts.HostIndex(by_host) for namespace, by_host in index.items()}


def _rules_for(
    index: RuleIndex, service: MeshService, viewer: str, root: str, default: tuple[str, ...]
) -> tuple[RuleConfig, ...]:
    """The client's namespace comes first, then the service's, then the root namespace.

    Clients in the root namespace, which gateways often are, have only its private rules first: its others are meant for
    the whole mesh, and are not to hide what a service's own namespace says.
    """
    steps = [(viewer, viewer == root != service.namespace), (service.namespace, False), (root, False)]
    for namespace, private in steps:
        by_host = index.get(namespace)
        configs = by_host.find(service.hostname) if by_host is not None else None
        found = tuple(c for c in configs or () if _rule_concerns(c, viewer, default))
        if private:
            found = tuple(c for c in found if c.spec.export_to in (["."], [root]))
        if found:
            return found
    return ()


def _rule_concerns(config: RuleConfig, viewer: str, default: tuple[str, ...]) -> bool:
    """A rule for some workloads is for those of its own namespace, whatever its `exportTo`."""
    if config.spec.workload_selector is not None and config.namespace != viewer:
        return False
    return exported(config.spec.export_to or default, config.namespace, viewer)
