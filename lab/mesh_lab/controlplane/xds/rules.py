"""VirtualService.http[] as Envoy routes, from one viewpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from envoy.config.route.v3.route_components_pb2 import Route, RouteAction, WeightedCluster

from mesh_lab.controlplane.model import VirtualService
from mesh_lab.controlplane.model.base import Percent
from mesh_lab.controlplane.model.virtualservice import (
    Destination,
    HTTPMatchRequest,
    HTTPMirrorPolicy,
    HTTPRoute,
    HTTPRouteDestination,
)
from mesh_lab.controlplane.world.snapshot import Config
from mesh_lab.controlplane.xds import actions, hosts, names
from mesh_lab.controlplane.xds.built import any_of
from mesh_lab.controlplane.xds.matching import Viewpoint, concerns, route_match
from mesh_lab.controlplane.xds.policies import HostRules, effective
from mesh_lab.controlplane.xds.services import MeshService
from mesh_lab.controlplane.xds.tcp import port_of


@dataclass(frozen=True)
class Target:
    """A host that routes lead to, and what is known of it: nothing, where there is no such service."""

    host: str
    service: MeshService | None
    rules: HostRules | None

    @property
    def called(self) -> str:
        """The host whose clusters and rules are meant."""
        return self.service.called if self.service is not None else self.host


def destinations(config: Config[VirtualService]) -> Iterator[Destination]:
    """All destinations of the HTTP rules, mirrors included."""
    for rule in config.spec.http:
        yield from (share.destination for share in rule.route)
        yield from (mirror.destination for mirror in _mirrors(rule))


def destination_hosts(config: Config[VirtualService], domain: str) -> tuple[str, ...]:
    """The full names of all hosts that the HTTP rules lead to, once each."""
    found = (hosts.resolve(destination.host, config.namespace, domain) for destination in destinations(config))
    return tuple(dict.fromkeys(found))


def all_hosts(config: Config[VirtualService], domain: str) -> tuple[str, ...]:
    """The full names of all hosts that any rule leads to, for HTTP, TLS and TCP."""
    connections = [share for tls in config.spec.tls for share in tls.route]
    connections += [share for tcp in config.spec.tcp for share in tcp.route]
    others = (hosts.resolve(share.destination.host, config.namespace, domain) for share in connections)
    return tuple(dict.fromkeys([*destination_hosts(config, domain), *others]))


def routes(
    config: Config[VirtualService], view: Viewpoint, targets: Mapping[str, Target], domain: str
) -> Iterator[Route]:
    """The routes of all rules in their order, up to the first that takes every request."""
    for rule in config.spec.http:
        matches: list[HTTPMatchRequest | None] = [m for m in rule.match if concerns(m, view, config.namespace)]
        for match in matches if rule.match else [None]:
            route = _route(config, rule, match, view, targets, domain)
            yield route
            if takes_all(route):
                return


def has_routes(config: Config[VirtualService], view: Viewpoint) -> bool:
    """Whether any rule concerns a viewpoint. Where none does, requests go on as if there were no VirtualService."""
    return any(
        not rule.match or any(concerns(m, view, config.namespace) for m in rule.match) for rule in config.spec.http
    )


def takes_all(route: Route) -> bool:
    """Whether a route matches every request. Istio takes the expression `.*` for that, too, and no other."""
    match = route.match
    every_path = match.prefix == "/" or match.safe_regex.regex == ".*"
    return every_path and not match.headers and not match.query_parameters


def _route(
    config: Config[VirtualService],
    rule: HTTPRoute,
    match: HTTPMatchRequest | None,
    view: Viewpoint,
    targets: Mapping[str, Target],
    domain: str,
) -> Route:
    route = Route(name=_name(rule, match), match=route_match(match), stat_prefix=match.stat_prefix if match else "")
    if rule.headers is not None:
        actions.apply_headers(route, rule.headers)
    if rule.redirect is not None:
        route.redirect.CopyFrom(actions.redirect_action(rule.redirect, view.port, tls=view.tls))
    elif rule.direct_response is not None:
        route.direct_response.CopyFrom(actions.direct_response(rule.direct_response))
    else:
        _forward(route, config, rule, match, view, targets, domain)
    if rule.fault is not None:
        route.typed_per_filter_config[actions.FAULT_FILTER].CopyFrom(any_of(actions.fault_filter(rule.fault)))
    if rule.cors_policy is not None:
        route.typed_per_filter_config[actions.CORS_FILTER].CopyFrom(any_of(actions.cors_policy(rule.cors_policy)))
    return route


def _name(rule: HTTPRoute, match: HTTPMatchRequest | None) -> str:
    return f"{rule.name}.{match.name}" if match is not None and match.name else rule.name


def _forward(
    route: Route,
    config: Config[VirtualService],
    rule: HTTPRoute,
    match: HTTPMatchRequest | None,
    view: Viewpoint,
    targets: Mapping[str, Target],
    domain: str,
) -> None:
    def cluster(destination: Destination) -> str:
        host = hosts.resolve(destination.host, config.namespace, domain)
        target = targets.get(host) or Target(host, None, None)
        number = port_of(destination, target.service, view.port)
        return names.outbound_cluster(number, destination.subset, target.called)

    action = route.route
    actions.set_timeouts(action, rule)
    if host := actions.host_of(rule.headers):
        action.host_rewrite_literal = host
    if rule.rewrite is not None:
        actions.set_rewrite(action, rule.rewrite, match)
    action.request_mirror_policies.extend(
        actions.mirror_policies((cluster(mirror.destination), mirror) for mirror in _mirrors(rule))
    )
    shares = [share for share in rule.route if share.weight] or rule.route[:1]
    if len(shares) == 1:
        action.cluster = cluster(shares[0].destination)
        if shares[0].headers is not None:
            actions.apply_headers(route, shares[0].headers)
            if not action.host_rewrite_literal and (host := actions.host_of(shares[0].headers)):
                action.host_rewrite_literal = host
    else:
        clusters = [actions.weighted(cluster(s.destination), s.weight, s.headers) for s in shares]
        action.weighted_clusters.CopyFrom(WeightedCluster(clusters=clusters))
    _hash_on(action, shares, config, view, targets, domain)
    asked = rule.retries if rule.retries is not None else view.retries
    policy = actions.retry_policy(asked, hashed=len(rule.route) == 1 and bool(action.hash_policy))
    if policy is not None:
        action.retry_policy.CopyFrom(policy)


def _hash_on(
    action: RouteAction,
    shares: list[HTTPRouteDestination],
    config: Config[VirtualService],
    view: Viewpoint,
    targets: Mapping[str, Target],
    domain: str,
) -> None:
    for share in shares:
        target = targets.get(hosts.resolve(share.destination.host, config.namespace, domain))
        if target is not None:
            number = port_of(share.destination, target.service, view.port)
            add_hash_policy(action, target.rules, number, share.destination.subset)


def add_hash_policy(action: RouteAction, rules: HostRules | None, port: int, subset: str) -> None:
    """What a DestinationRule tells requests apart by; once, when several destinations say the same."""
    balancer = effective(rules, port, subset).load_balancer
    if balancer is not None and balancer.consistent_hash is not None:
        policy = actions.hash_policy(balancer.consistent_hash)
        if policy is not None and policy not in action.hash_policy:
            action.hash_policy.append(policy)


def _mirrors(rule: HTTPRoute) -> list[HTTPMirrorPolicy]:
    if rule.mirrors:
        return rule.mirrors
    if rule.mirror is None:
        return []
    percentage = rule.mirror_percentage
    if percentage is None and rule.mirror_percent is not None:
        percentage = Percent(value=rule.mirror_percent)
    return [HTTPMirrorPolicy(destination=rule.mirror, percentage=percentage)]
