"""RDS: the virtual hosts of a port, in the order of their names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from envoy.config.route.v3.route_components_pb2 import DirectResponseAction, Route, RouteAction, RouteMatch, VirtualHost
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from google.protobuf.wrappers_pb2 import BoolValue, UInt32Value

from mesh_lab.controlplane.model import VirtualService
from mesh_lab.controlplane.validation.routing import LARGEST_BODY
from mesh_lab.controlplane.world.kubernetes import Origin
from mesh_lab.controlplane.world.meshconfig import MeshConfig
from mesh_lab.controlplane.xds import actions, hosts, names
from mesh_lab.controlplane.xds.access import OPEN, Access, route_filters
from mesh_lab.controlplane.xds.built import Built, build, by_name, wire
from mesh_lab.controlplane.xds.imports import Egress
from mesh_lab.controlplane.xds.matching import Viewpoint
from mesh_lab.controlplane.xds.memo import memoised
from mesh_lab.controlplane.xds.policies import HostRules
from mesh_lab.controlplane.xds.routecontext import RouteContext, Target
from mesh_lab.controlplane.xds.rules import destination_hosts, has_routes, routes
from mesh_lab.controlplane.xds.scope import MESH, RouteConfig, Scope
from mesh_lab.controlplane.xds.services import MeshPort, MeshService, Protocol, Resolution
from mesh_lab.controlplane.xds.trustdomains import TrustDomains
from mesh_lab.controlplane.xds.typeurls import RDS


@dataclass(frozen=True, eq=False)
class Fragment:
    """A virtual host as a piece of a RouteConfiguration: messages on the wire add up by concatenation."""

    domains: tuple[str, ...]
    body: bytes
    origins: tuple[Origin, ...]


@memoised
@by_name
def sidecar_routes(scope: Scope, mesh: MeshConfig) -> Iterator[Built]:
    """One configuration for each HTTP port number, and one for each port whose protocol is detected by sniffing."""
    by_port: dict[int, list[MeshService]] = {}
    for service in scope.services:
        for port in scope.ports_of(service, proxied=False):
            if (port.protocol.is_http or port.protocol is Protocol.AUTO) and _has_host(scope, service, port.number):
                by_port.setdefault(port.number, []).append(service)
            if _has_own_routes(service, port):
                host = _service_host(scope, service, port.number, mesh, sniffed=True)
                yield shared_configuration(sniffed_name(service, port), (host[1],))
    beside = _beside(scope)
    proxies = [listener for listener in scope.egress if listener.generic and listener.protocol.is_http]
    numbers = {
        port.number for s in scope.services for port in scope.ports_of(s, proxied=False) if has_shared_routes(s, port)
    }
    for number in sorted(numbers - {listener.port for listener in proxies}):
        found = [_service_host(scope, service, number, mesh) for service in by_port.get(number, ())]
        found += _hosts_beside(scope, beside.get(number, {}), number, mesh)
        # A host that an older VirtualService names keeps its names; hosts without a VirtualService come last.
        fragments = (fragment for _, fragment in sorted(found, key=lambda each: each[0]))
        yield shared_configuration(str(number), (*fragments, _rest(scope, mesh)))
    for listener in proxies:
        found = [*_generic_hosts(scope, listener, mesh), *_hosts_beside(scope, beside.get(_ALWAYS, {}), _ALWAYS, mesh)]
        fragments = (fragment for _, fragment in sorted(found, key=lambda each: each[0]))
        yield configuration(listener.routes, (*fragments, _rest(scope, mesh)), by_port=True)


def _generic_hosts(scope: Scope, listener: Egress, mesh: MeshConfig) -> Iterator[Ranked]:
    """The hosts of a generic listener, each under each of its ports; without a port its first one is meant, or 80."""
    for service in scope.services:
        if not listener.shows_service(service.namespace, service.hostname):
            continue
        served = [p.number for p in service.ports if p.protocol.is_http or p.protocol is Protocol.AUTO]
        for number in served:
            if _has_host(scope, service, number):
                rank, part = _service_host(scope, service, number, mesh)
                bare = number == (_ALWAYS if _ALWAYS in served else served[0])
                yield rank, _under_port(part, number, bare=bare)


def _under_port(part: Fragment, number: int, *, bare: bool) -> Fragment:
    """A virtual host under its domains with a port, and (`bare`) without."""
    (host,) = RouteConfiguration.FromString(part.body).virtual_hosts
    plain = list(host.domains)
    host.domains[:] = [*(plain if bare else ()), *(f"{domain}:{number}" for domain in plain)]
    return fragment(host, part.origins)


def has_shared_routes(service: MeshService, port: MeshPort) -> bool:
    """Whether requests to a port share the routes of its number: no address tells them from those to other services."""
    if service.resolution is Resolution.ALIAS or port.number in names.OWN_PORTS:
        return False
    shared = service.anywhere or any("/" in each for each in service.ranges)
    return port.protocol.is_http or (port.protocol is Protocol.AUTO and shared)


def _has_own_routes(service: MeshService, port: MeshPort) -> bool:
    """Whether a port is sniffed at an address of the service's own."""
    if service.resolution is Resolution.ALIAS or port.protocol is not Protocol.AUTO:
        return False
    return not service.is_entry or bool(service.address)


def sniffed_name(service: MeshService, port: MeshPort) -> str:
    """The routes of one port of one service."""
    return f"{service.hostname}:{port.number}"


Rank = tuple[tuple[str, ...], bool]
Ranked = tuple[Rank, Fragment]

_BEHIND_ALL: Rank = (("~",), True)
_ALWAYS = 80


def _beside(scope: Scope) -> dict[int, dict[str, list[RouteConfig]]]:
    """By port, the hosts of no service there that VirtualServices name, each with those VirtualServices.

    They are served on port 80, and where the services of their VirtualService are. So a wildcard stands for the
    services that there are, and for unknown names only on a port where there are none (`separateVSHostsAndServices` in
    Istio's pilot/pkg/networking/core/route).
    """
    served: dict[RouteConfig, set[int]] = {}
    for hostname, configs in scope.routes.items():
        numbers = [p.number for p in scope.by_host[hostname].ports if p.protocol.is_http or p.protocol is Protocol.AUTO]
        for config in configs:
            served.setdefault(config, {_ALWAYS}).update(numbers)
    named = {service.hostname: service for service in scope.services}
    found: dict[int, dict[str, list[RouteConfig]]] = {}
    for host, configs in scope.written.items():
        own = {port.number for service in _covered(named, host) for port in service.ports}
        for config in configs:
            for number in served.get(config, {_ALWAYS}) - own:
                found.setdefault(number, {}).setdefault(host, []).append(config)
    return found


def _covered(named: Mapping[str, MeshService], host: str) -> Iterable[MeshService]:
    if host.startswith("*"):
        return (service for hostname, service in named.items() if hosts.covers(host, hostname))
    return (named[host],) if host in named else ()


def _hosts_beside(
    scope: Scope, named: Mapping[str, Iterable[RouteConfig]], number: int, mesh: MeshConfig
) -> Iterator[Ranked]:
    view = _view(scope, number, mesh)
    for host, configs in named.items():
        config = next((config for config in configs if has_routes(config, view)), None)
        if config is not None:
            yield (config.precedence, False), _virtual_host_of(host, context_of(scope, config, view, mesh))


def _has_host(scope: Scope, service: MeshService, number: int) -> bool:
    """An alias is a domain of the service that it stands for, unless there are rules for the alias itself."""
    return service.resolution is not Resolution.ALIAS or _rules_for(scope, service, number) is not None


def _rules_for(scope: Scope, service: MeshService, number: int) -> RouteConfig | None:
    view = Viewpoint(MESH, number, scope.namespace, scope.labels)
    return next((config for config in scope.routes.get(service.hostname, ()) if has_routes(config, view)), None)


def _service_host(
    scope: Scope, service: MeshService, number: int, mesh: MeshConfig, *, sniffed: bool = False
) -> Ranked:
    config = _rules_for(scope, service, number)
    if config is None:
        anybody = replace(_view(scope, number, mesh), labels=())
        rules = scope.rules.get(service.hostname)
        return _BEHIND_ALL, _plain_host(service, anybody, rules, mesh.cluster_domain, sniffed)
    context = context_of(scope, config, _view(scope, number, mesh), mesh)
    return (config.precedence, True), _routed_host(service, context, sniffed)


def context_of(scope: Scope, config: RouteConfig, view: Viewpoint, mesh: MeshConfig) -> RouteContext:
    """What the rules of a VirtualService are translated by, as a proxy of that scope sees it."""
    return RouteContext(config, view, targets_of(scope, config, mesh.cluster_domain), mesh.cluster_domain)


def targets_of(scope: Scope, config: RouteConfig, domain: str) -> tuple[Target, ...]:
    """What is known of the hosts that a VirtualService leads to."""
    return tuple(
        Target(host, scope.by_host.get(host), scope.rules.get(scope.called(host)))
        for host in destination_hosts(config, domain)
    )


def _view(scope: Scope, number: int, mesh: MeshConfig) -> Viewpoint:
    retries = mesh.default_http_retry_policy
    return Viewpoint(MESH, number, scope.namespace, scope.labels, retries=retries, traced=scope.traced)


@memoised
def _plain_host(service: MeshService, view: Viewpoint, rules: HostRules | None, domain: str, sniffed: bool) -> Fragment:
    """Without a VirtualService, requests go to the service that they name."""
    route = Route(name="default", match=RouteMatch(prefix="/"))
    action = RouteAction(cluster=names.outbound_cluster(view.port, "", service.hostname))
    actions.set_timeouts(action, None)
    actions.add_hash_policy(action, rules, view.port, "")
    policy = actions.retry_policy(view.retries, hashed=bool(action.hash_policy))
    if policy is not None:
        action.retry_policy.CopyFrom(policy)
    route.route.CopyFrom(action)
    if view.traced:
        route.decorator.operation = names.operation(service.hostname, view.port)
    domains = _domains(service, sniffed, view.namespace, domain)
    host = _virtual_host(f"{service.hostname}:{view.port}", domains, [route], None)
    return fragment(host, [*_names_of(service), *(rules.origins if rules is not None else ())])


@memoised
def _routed_host(service: MeshService, context: RouteContext, sniffed: bool) -> Fragment:
    domains = _domains(service, sniffed, context.view.namespace, context.domain)
    name = f"{service.hostname}:{context.view.port}"
    host = _virtual_host(name, domains, list(routes(context)), context.config.spec)
    return fragment(host, [*context.config.origins, *_names_of(service), *context.origins])


@memoised
def _virtual_host_of(hostname: str, context: RouteContext) -> Fragment:
    name = f"{hostname}:{context.view.port}"
    host = _virtual_host(name, [hostname], list(routes(context)), context.config.spec)
    return fragment(host, [*context.config.origins, *context.origins])


def _names_of(service: MeshService) -> Iterator[Origin]:
    yield service.origin
    yield from service.origins
    yield from (alias.origin for alias in service.aliases)


def _domains(service: MeshService, sniffed: bool, namespace: str, domain: str) -> list[str]:
    """A port that is sniffed has a listener of its own: all connections to its address mean this service."""
    if sniffed:
        return ["*"]
    if service.hostname.startswith("*"):
        return [service.hostname]
    headless = service.resolution is Resolution.ORIGINAL_DESTINATION and not service.is_entry
    known = [(service.hostname, service.namespace), *((alias.hostname, alias.namespace) for alias in service.aliases)]
    found = [name for each in known for name in hosts.service_domains(*each, namespace, domain, pods=headless)]
    known_by = (service.address, *service.other_family, *service.ranges)
    own = (f"[{each}]" if ":" in each else each for each in known_by if each and "/" not in each)
    return list(dict.fromkeys([*found, *own]))


def _virtual_host(name: str, domains: list[str], found: list[Route], rules: VirtualService | None) -> VirtualHost:
    counted = actions.counts_attempts(rules)
    return VirtualHost(name=name, domains=domains, routes=found, include_request_attempt_count=counted)


def _rest(scope: Scope, mesh: MeshConfig) -> Fragment:
    return _other_hosts(scope.outside(mesh))


@memoised
def _other_hosts(cluster: str) -> Fragment:
    """Hosts that the mesh does not know: their original destination, a proxy, or 502."""
    if cluster == names.BLACK_HOLE_CLUSTER:
        refused = Route(
            name="block_all", match=RouteMatch(prefix="/"), direct_response=DirectResponseAction(status=502)
        )
        return fragment(_virtual_host("block_all", ["*"], [refused], None), ())
    action = RouteAction(cluster=cluster)
    actions.set_timeouts(action, None)
    allowed = Route(name="allow_any", match=RouteMatch(prefix="/"), route=action)
    return fragment(_virtual_host("allow_any", ["*"], [allowed], None), ())


def fragment(host: VirtualHost, origins: Iterable[Origin]) -> Fragment:
    """A virtual host, ready to be put among others."""
    return Fragment(tuple(host.domains), wire(RouteConfiguration(virtual_hosts=[host])), tuple(origins))


def configuration(
    name: str,
    fragments: tuple[Fragment, ...],
    access: Access = OPEN,
    trust: TrustDomains = (),
    *,
    by_port: bool = False,
) -> Built:
    """A RouteConfiguration of virtual hosts that are serialised already.

    Hosts are compared without their ports, unless `by_port`.

    Envoy rejects a configuration that names a domain twice, so the first virtual host to name one keeps it, and the
    others have the rest of theirs.
    """
    head = RouteConfiguration(
        name=name,
        validate_clusters=BoolValue(value=False),
        ignore_port_in_host_matching=not by_port,
        max_direct_response_body_size_bytes=UInt32Value(value=LARGEST_BODY),
        typed_per_filter_config=route_filters(access, trust),
    )
    taken: set[str] = set()
    kept: list[Fragment] = []
    for part in fragments:
        left = part if taken.isdisjoint(part.domains) else _without(part, taken)
        if left is not None:
            taken.update(left.domains)
            kept.append(left)
    body = b"".join([wire(head), *(part.body for part in kept)])
    origins = [origin for part in kept for origin in part.origins]
    return build(RDS, name, body, [*origins, *access.origins])


shared_configuration = memoised(configuration)
"""For the configurations of which many proxies have the same. An inbound one is kept as what `inbound_routes` gives."""


def _without(part: Fragment, taken: set[str]) -> Fragment | None:
    """A virtual host without the domains that others have; None where none is left."""
    (host,) = RouteConfiguration.FromString(part.body).virtual_hosts
    left = [domain for domain in host.domains if domain not in taken]
    del host.domains[:]
    host.domains.extend(left)
    return fragment(host, part.origins) if left else None
