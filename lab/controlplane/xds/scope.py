"""What a proxy may see: the services, routes and rules that are exported to its namespace and that its Sidecar lets in.

All sidecars of a namespace share one scope, and so all that is made from it, unless a resource asks for their labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from lab.controlplane.kubernetes import ObjectKey, Service
from lab.controlplane.model import DestinationRule, Sidecar, VirtualService
from lab.controlplane.snapshot import Config, Snapshot, Table
from lab.controlplane.xds import aliases, hosts
from lab.controlplane.xds.memo import Memo
from lab.controlplane.xds.mtls import selects
from lab.controlplane.xds.policies import HostRules, merge_rules
from lab.controlplane.xds.services import MeshService, from_kubernetes

Labels = tuple[tuple[str, str], ...]
RuleConfig = Config[DestinationRule]
RouteConfig = Config[VirtualService]
MESH = "mesh"


@dataclass(frozen=True, eq=False)
class Registry:
    """All services of the mesh, by hostname in order of their names."""

    services: Table[str, MeshService]


@dataclass(frozen=True, eq=False)
class Scope:
    """What the sidecars of one namespace (with one set of labels, where those matter) see.

    `routes` holds the VirtualServices of each service's hostname that has some, the one that counts first, first;
    `written` the same for all hosts as they stand in VirtualServices; `rules` what DestinationRules say about a host.
    """

    namespace: str
    labels: Labels
    services: tuple[MeshService, ...]
    by_host: Table[str, MeshService]
    routes: Table[str, tuple[RouteConfig, ...]]
    written: Table[str, tuple[RouteConfig, ...]]
    rules: Table[str, HostRules]
    sidecar: Config[Sidecar] | None

    def called(self, host: str) -> str:
        """The host whose clusters and rules are meant by a host: itself, or what it is an alias for."""
        service = self.by_host.get(host)
        return service.called if service is not None else host


def registry(memo: Memo, services: Table[ObjectKey, Service], domain: str) -> Registry:
    """The registry; a service that did not change keeps its identity."""
    known = aliases.linked(memo, [memo(from_kubernetes, service, domain) for service in services.values()])
    return Registry(Table({service.hostname: service for service in sorted(known, key=lambda s: s.hostname)}))


def exported(export_to: Iterable[str], owner: str, viewer: str) -> bool:
    """Whether a resource of one namespace is for another to see. Nothing said means everyone."""
    targets = list(export_to)
    return not targets or any(target in ("*", viewer) or (target == "." and owner == viewer) for target in targets)


def labels_matter(
    snapshot_routes: Table[ObjectKey, RouteConfig],
    rules: Table[ObjectKey, RuleConfig],
    sidecars: Table[ObjectKey, Config[Sidecar]],
) -> bool:
    """Whether any resource tells sidecars of one namespace apart by their labels."""
    return (
        any(
            match.source_labels
            for config in snapshot_routes.values()
            for route in config.spec.http
            for match in route.match
        )
        or any(match.source_labels for c in snapshot_routes.values() for tcp in c.spec.tcp for match in tcp.match)
        or any(match.source_labels for c in snapshot_routes.values() for tls in c.spec.tls for match in tls.match)
        or any(config.spec.workload_selector for config in rules.values())
        or any(config.spec.workload_selector for config in sidecars.values())
    )


def scope_of(memo: Memo, snapshot: Snapshot, namespace: str, labels: Mapping[str, str]) -> Scope:
    """The scope of a proxy; the same object for all that see the same."""
    mesh = snapshot.mesh
    known = memo(registry, memo, snapshot.services, mesh.cluster_domain)
    tell_apart = memo(labels_matter, snapshot.virtual_services, snapshot.destination_rules, snapshot.sidecars)
    return memo(
        _scope,
        memo,
        known,
        snapshot.virtual_services,
        snapshot.destination_rules,
        snapshot.sidecars,
        namespace,
        tuple(sorted(labels.items())) if tell_apart else (),
        mesh.cluster_domain,
        mesh.root_namespace,
    )


def _scope(
    memo: Memo,
    known: Registry,
    routes: Table[ObjectKey, RouteConfig],
    rules: Table[ObjectKey, RuleConfig],
    sidecars: Table[ObjectKey, Config[Sidecar]],
    namespace: str,
    labels: Labels,
    domain: str,
    root_namespace: str,
) -> Scope:
    sidecar = _sidecar_for(sidecars, namespace, dict(labels), root_namespace)
    services = tuple(
        _with_aliases_let_in(memo, service, namespace, sidecar)
        for service in known.services.values()
        if _visible(service, namespace, sidecar)
    )
    by_host = Table({service.hostname: service for service in services})
    index = memo(_rule_index, rules, domain, labels)
    mesh_routes = memo(_mesh_routes, routes, namespace, domain)
    covering = {s.hostname: found for s in services if (found := mesh_routes.find(s.hostname)) is not None}
    ruled = {}
    for service in services:
        configs = _rules_for(index, service.hostname, (namespace, service.namespace, root_namespace), namespace)
        if configs:
            ruled[service.hostname] = memo(merge_rules, configs)
    return Scope(
        namespace,
        labels,
        services,
        by_host,
        Table(covering),
        Table({host: configs for host, configs in mesh_routes.items() if host != "*"}),
        Table(ruled),
        sidecar,
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


def _visible(service: MeshService, namespace: str, sidecar: Config[Sidecar] | None) -> bool:
    if not exported(service.export_to, service.namespace, namespace):
        return False
    if sidecar is None or not sidecar.spec.egress:
        return True
    return any(_lets_in(pattern, service, namespace) for listener in sidecar.spec.egress for pattern in listener.hosts)


def _with_aliases_let_in(
    memo: Memo, service: MeshService, namespace: str, sidecar: Config[Sidecar] | None
) -> MeshService:
    """The service, under those of its other names that the Sidecar lets in as well."""
    if not service.aliases or sidecar is None or not sidecar.spec.egress:
        return service
    kept = tuple(
        alias for alias in service.aliases if _visible(replace(service, hostname=alias.hostname), namespace, sidecar)
    )
    return service if len(kept) == len(service.aliases) else memo(aliases.known_as, service, kept)


def _lets_in(pattern: str, service: MeshService, namespace: str) -> bool:
    where, _, host = pattern.rpartition("/")
    wanted = {"": "*", ".": namespace}.get(where, where)
    return wanted in ("*", service.namespace) and hosts.covers(host, service.hostname)


def _mesh_routes(
    routes: Table[ObjectKey, RouteConfig], namespace: str, domain: str
) -> hosts.HostIndex[tuple[RouteConfig, ...]]:
    """The VirtualServices for each host written in one, as seen by a namespace's sidecars.

    The oldest is first, and holds wherever it has a rule; where it has none (it is about connections, or other clients)
    the next does. Of those that write one wildcard only the oldest counts, as in Istio.
    """
    found: dict[str, tuple[RouteConfig, ...]] = {}
    for config in sorted(routes.values(), key=lambda c: c.precedence):
        spec = config.spec
        if MESH in (spec.gateways or [MESH]) and exported(spec.export_to, config.namespace, namespace):
            for host in dict.fromkeys(hosts.resolve(written, config.namespace, domain) for written in spec.hosts):
                if host not in found or not host.startswith("*"):
                    found[host] = (*found.get(host, ()), config)
    return hosts.HostIndex(found)


RuleIndex = Mapping[str, hosts.HostIndex[tuple[RuleConfig, ...]]]


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


def _rules_for(index: RuleIndex, hostname: str, namespaces: Iterable[str], viewer: str) -> tuple[RuleConfig, ...]:
    """The client's namespace speaks first, then the service's, then the root namespace."""
    for namespace in namespaces:
        by_host = index.get(namespace)
        configs = by_host.find(hostname) if by_host is not None else None
        visible = tuple(c for c in configs or () if _rule_concerns(c, viewer))
        if visible:
            return visible
    return ()


def _rule_concerns(config: RuleConfig, viewer: str) -> bool:
    """A rule for some workloads is for those of its own namespace, whatever it says of exports."""
    if config.spec.workload_selector is not None and config.namespace != viewer:
        return False
    return exported(config.spec.export_to, config.namespace, viewer)
