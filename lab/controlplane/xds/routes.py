"""RDS: the virtual hosts of a port, in the order of their names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from envoy.config.route.v3.route_components_pb2 import (
    DirectResponseAction,
    Route,
    RouteAction,
    RouteMatch,
    VirtualHost,
)
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from google.protobuf.wrappers_pb2 import BoolValue, UInt32Value

from lab.controlplane.kubernetes import Origin
from lab.controlplane.meshconfig import MeshConfig
from lab.controlplane.model import VirtualService
from lab.controlplane.snapshot import Config
from lab.controlplane.validation.routing import LARGEST_BODY
from lab.controlplane.xds import actions, hosts, names, rbac
from lab.controlplane.xds.built import TYPE_ROUTE, Built, build, wire
from lab.controlplane.xds.matching import Viewpoint
from lab.controlplane.xds.memo import Memo
from lab.controlplane.xds.policies import HostRules
from lab.controlplane.xds.rbac import NOBODY_REFUSED, Authorization
from lab.controlplane.xds.rules import Target, add_hash_policy, destination_hosts, has_routes, routes
from lab.controlplane.xds.scope import MESH, RouteConfig, Scope
from lab.controlplane.xds.services import MeshPort, MeshService, Protocol, Resolution


@dataclass(frozen=True, eq=False)
class Fragment:
    """A virtual host as a piece of a RouteConfiguration: messages on the wire add up by concatenation."""

    domains: tuple[str, ...]
    body: bytes
    origins: tuple[Origin, ...]


def sidecar_routes(memo: Memo, scope: Scope, mesh: MeshConfig) -> Iterator[Built]:
    """One configuration for each HTTP port number, and one for each port whose protocol is found out by sniffing."""
    by_port: dict[int, list[Fragment]] = {}
    for service in scope.services:
        for port in service.ports:
            if port.protocol.is_http:
                by_port.setdefault(port.number, []).append(_service_host(memo, scope, service, port, mesh))
            elif port.protocol is Protocol.AUTO and service.address:
                yield memo(
                    configuration, sniffed_name(service, port), (_service_host(memo, scope, service, port, mesh),)
                )
    beside = _ports_beside(scope) if scope.extra_routes else {}
    for host, config in scope.extra_routes:
        for number in beside.get(config, (80,)):
            view = Viewpoint(MESH, number, scope.namespace, scope.labels)
            if number in by_port and has_routes(config, view):
                by_port[number].append(_extra_host(memo, scope, host, config, view, mesh))
    for number, fragments in by_port.items():
        yield memo(configuration, str(number), (*fragments, _rest(memo, scope, mesh)))


def sniffed_name(service: MeshService, port: MeshPort) -> str:
    """The routes of one port of one service."""
    return f"{service.hostname}:{port.number}"


def _ports_beside(scope: Scope) -> dict[RouteConfig, dict[int, None]]:
    """The ports of the services that each VirtualService is for: there it serves its other hosts too, else on 80."""
    found: dict[RouteConfig, dict[int, None]] = {}
    for hostname, config in scope.routes.items():
        for port in scope.by_host[hostname].ports:
            found.setdefault(config, {})[port.number] = None
    return found


def _service_host(memo: Memo, scope: Scope, service: MeshService, port: MeshPort, mesh: MeshConfig) -> Fragment:
    config = scope.routes.get(service.hostname)
    rules = scope.rules.get(service.hostname)
    if config is None or not config.spec.http:
        return memo(_plain_host, service, port, rules, scope.namespace, mesh.cluster_domain)
    view = Viewpoint(MESH, port.number, scope.namespace, scope.labels)
    if not has_routes(config, view):
        return memo(_plain_host, service, port, rules, scope.namespace, mesh.cluster_domain)
    targets = targets_of(memo, scope, config, mesh.cluster_domain)
    return memo(_routed_host, service, config, view, targets, mesh.cluster_domain)


def _extra_host(
    memo: Memo, scope: Scope, host: str, config: RouteConfig, view: Viewpoint, mesh: MeshConfig
) -> Fragment:
    targets = targets_of(memo, scope, config, mesh.cluster_domain)
    return memo(_virtual_host_of, host, config, view, targets, mesh.cluster_domain)


def targets_of(memo: Memo, scope: Scope, config: RouteConfig, domain: str) -> tuple[Target, ...]:
    """What is known of the hosts that a VirtualService leads to."""
    return tuple(
        Target(host, scope.by_host.get(host), scope.rules.get(host)) for host in memo(destination_hosts, config, domain)
    )


def _plain_host(service: MeshService, port: MeshPort, rules: HostRules | None, namespace: str, domain: str) -> Fragment:
    """Without a VirtualService, requests go to the service that they name."""
    route = Route(name="default", match=RouteMatch(prefix="/"))
    action = RouteAction(cluster=names.outbound_cluster(port.number, "", service.hostname))
    actions.set_timeouts(action, None)
    policy = actions.retry_policy(None)
    if policy is not None:
        action.retry_policy.CopyFrom(policy)
    add_hash_policy(action, rules, port.number, "")
    route.route.CopyFrom(action)
    domains = _domains(service, port.number, namespace, domain)
    host = _virtual_host(f"{service.hostname}:{port.number}", domains, [route], None)
    return fragment(host, [service.origin, *(rules.origins if rules is not None else ())])


def _routed_host(
    service: MeshService, config: Config[VirtualService], view: Viewpoint, targets: tuple[Target, ...], domain: str
) -> Fragment:
    found = list(routes(config, view, {target.host: target for target in targets}, domain))
    domains = _domains(service, view.port, view.namespace, domain)
    host = _virtual_host(f"{service.hostname}:{view.port}", domains, found, config.spec)
    return fragment(host, [config.origin, service.origin, *_origins(targets)])


def _virtual_host_of(
    hostname: str, config: Config[VirtualService], view: Viewpoint, targets: tuple[Target, ...], domain: str
) -> Fragment:
    found = list(routes(config, view, {target.host: target for target in targets}, domain))
    host = _virtual_host(f"{hostname}:{view.port}", [hostname], found, config.spec)
    return fragment(host, [config.origin, *_origins(targets)])


def _origins(targets: Iterable[Target]) -> Iterator[Origin]:
    for target in targets:
        if target.rules is not None:
            yield from target.rules.origins


def _domains(service: MeshService, number: int, namespace: str, domain: str) -> list[str]:
    """A port that is sniffed has a listener of its own: whatever connects to its address means this service."""
    port = service.port(number)
    if port is not None and not port.protocol.is_http:
        return ["*"]
    headless = service.resolution is Resolution.ORIGINAL_DESTINATION
    return hosts.service_domains(service.hostname, service.namespace, namespace, domain, service.address, pods=headless)


def _virtual_host(name: str, domains: list[str], found: list[Route], rules: VirtualService | None) -> VirtualHost:
    told = actions.tells_attempts(rules)
    return VirtualHost(name=name, domains=domains, routes=found, include_request_attempt_count=told)


def _rest(memo: Memo, scope: Scope, mesh: MeshConfig) -> Fragment:
    policy = scope.sidecar.spec.outbound_traffic_policy if scope.sidecar else None
    return memo(_other_hosts, (policy or mesh.outbound_traffic_policy).mode)


def _other_hosts(mode: str) -> Fragment:
    """Hosts that the mesh does not know: where they were going anyway, or 502."""
    if mode == "REGISTRY_ONLY":
        refused = Route(
            name="block_all", match=RouteMatch(prefix="/"), direct_response=DirectResponseAction(status=502)
        )
        return fragment(_virtual_host("block_all", ["*"], [refused], None), ())
    action = RouteAction(cluster=names.PASSTHROUGH_CLUSTER)
    actions.set_timeouts(action, None)
    allowed = Route(name="allow_any", match=RouteMatch(prefix="/"), route=action)
    return fragment(_virtual_host("allow_any", ["*"], [allowed], None), ())


def fragment(host: VirtualHost, origins: Iterable[Origin]) -> Fragment:
    """A virtual host, ready to be put among others."""
    return Fragment(tuple(host.domains), wire(RouteConfiguration(virtual_hosts=[host])), tuple(origins))


def configuration(
    name: str, fragments: tuple[Fragment, ...], authorization: Authorization = NOBODY_REFUSED, trust_domain: str = ""
) -> Built:
    """A RouteConfiguration of virtual hosts that are serialised already. Hosts are compared without their ports.

    Envoy refuses a configuration that names a domain twice, so the first virtual host to name one keeps it.
    """
    head = RouteConfiguration(
        name=name,
        validate_clusters=BoolValue(value=False),
        ignore_port_in_host_matching=True,
        max_direct_response_body_size_bytes=UInt32Value(value=LARGEST_BODY),
        typed_per_filter_config=rbac.route_filters(authorization, trust_domain),
    )
    taken: set[str] = set()
    kept: list[Fragment] = []
    for part in fragments:
        if taken.isdisjoint(part.domains):
            taken.update(part.domains)
            kept.append(part)
    body = b"".join([wire(head), *(part.body for part in kept)])
    origins = [origin for part in kept for origin in part.origins]
    return build(TYPE_ROUTE, name, body, [*origins, *authorization.origins])
