"""VirtualService.http[] as Envoy routes, from one viewpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from envoy.config.route.v3.route_components_pb2 import Route, RouteAction, WeightedCluster

from mesh_lab.controlplane.model import VirtualService
from mesh_lab.controlplane.model.base import Percent
from mesh_lab.controlplane.model.virtualservice import Destination, HTTPMatchRequest, HTTPMirrorPolicy, HTTPRoute
from mesh_lab.controlplane.world.kubernetes import Origin
from mesh_lab.controlplane.world.snapshot import Config
from mesh_lab.controlplane.xds import actions, hosts, names
from mesh_lab.controlplane.xds.built import any_of
from mesh_lab.controlplane.xds.matching import Viewpoint, concerns, route_match
from mesh_lab.controlplane.xds.memo import memoised
from mesh_lab.controlplane.xds.policies import HostRules, effective
from mesh_lab.controlplane.xds.services import MeshService
from mesh_lab.controlplane.xds.tcp import port_of


@dataclass(frozen=True)
class Target:
    """A host that routes lead to, with its service and rules where there are any."""

    host: str
    service: MeshService | None
    rules: HostRules | None

    @property
    def called(self) -> str:
        """The host whose clusters and rules are meant."""
        return self.service.called if self.service is not None else self.host


@dataclass(frozen=True)
class RouteContext:
    """What the rules of a VirtualService are translated by: where requests come from, and where its rules lead.

    Equal contexts give equal routes, so that results can be memoised on it.
    """

    config: Config[VirtualService]
    view: Viewpoint
    targets: tuple[Target, ...]
    domain: str

    @cached_property
    def _known(self) -> Mapping[str, Target]:
        return {target.host: target for target in self.targets}

    @property
    def origins(self) -> Iterator[Origin]:
        """The objects beside the VirtualService that its routes are made of: aliases, and DestinationRules."""
        for target in self.targets:
            if target.service is not None and target.called != target.host:
                yield target.service.origin
            if target.rules is not None:
                yield from target.rules.origins

    def target(self, destination: Destination) -> Target:
        """The host that a destination means."""
        host = hosts.resolve(destination.host, self.config.namespace, self.domain)
        return self._known.get(host) or Target(host, None, None)

    def cluster(self, destination: Destination) -> str:
        """The name of the cluster that a destination means."""
        target = self.target(destination)
        return names.outbound_cluster(self.port(destination, target), destination.subset, target.called)

    def port(self, destination: Destination, target: Target) -> int:
        """The number of the port that a destination means."""
        return port_of(destination, target.service, self.view.port)

    def concerns(self, match: HTTPMatchRequest) -> bool:
        """Whether a match can hold for requests that come from there."""
        return concerns(match, self.view, self.config.namespace)


def destinations(config: Config[VirtualService]) -> Iterator[Destination]:
    """All destinations of the HTTP rules, mirrors included."""
    for rule in config.spec.http:
        yield from (share.destination for share in rule.route)
        yield from (mirror.destination for mirror in _mirrors(rule))


@memoised
def destination_hosts(config: Config[VirtualService], domain: str) -> tuple[str, ...]:
    """The full names of all hosts that the HTTP rules lead to, once each."""
    found = (hosts.resolve(destination.host, config.namespace, domain) for destination in destinations(config))
    return tuple(dict.fromkeys(found))


@memoised
def all_hosts(config: Config[VirtualService], domain: str) -> tuple[str, ...]:
    """The full names of all hosts that any rule leads to, for HTTP, TLS and TCP."""
    connections = [share for tls in config.spec.tls for share in tls.route]
    connections += [share for tcp in config.spec.tcp for share in tcp.route]
    others = (hosts.resolve(share.destination.host, config.namespace, domain) for share in connections)
    return tuple(dict.fromkeys([*destination_hosts(config, domain), *others]))


def routes(context: RouteContext) -> Iterator[Route]:
    """The routes of all rules in their order, up to the first that takes every request."""
    for rule in context.config.spec.http:
        matches: list[HTTPMatchRequest | None] = [match for match in rule.match if context.concerns(match)]
        for match in matches if rule.match else [None]:
            route = _route(context, rule, match)
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


def _route(context: RouteContext, rule: HTTPRoute, match: HTTPMatchRequest | None) -> Route:
    route = Route(name=_name(rule, match), match=route_match(match), stat_prefix=match.stat_prefix if match else "")
    if rule.headers is not None:
        actions.apply_headers(route, rule.headers)
    if rule.redirect is not None:
        route.redirect.CopyFrom(actions.redirect_action(rule.redirect, context.view.port, tls=context.view.tls))
    elif rule.direct_response is not None:
        route.direct_response.CopyFrom(actions.direct_response(rule.direct_response))
    else:
        _forward(route, context, rule, match)
    if rule.fault is not None:
        route.typed_per_filter_config[actions.FAULT_FILTER].CopyFrom(any_of(actions.fault_filter(rule.fault)))
    if rule.cors_policy is not None:
        route.typed_per_filter_config[actions.CORS_FILTER].CopyFrom(any_of(actions.cors_policy(rule.cors_policy)))
    return route


def _name(rule: HTTPRoute, match: HTTPMatchRequest | None) -> str:
    return f"{rule.name}.{match.name}" if match is not None and match.name else rule.name


def _forward(route: Route, context: RouteContext, rule: HTTPRoute, match: HTTPMatchRequest | None) -> None:
    action = route.route
    actions.set_timeouts(action, rule)
    if host := actions.host_of(rule.headers):
        action.host_rewrite_literal = host
    if rule.rewrite is not None:
        actions.set_rewrite(action, rule.rewrite, match)
    action.request_mirror_policies.extend(
        actions.mirror_policies((context.cluster(mirror.destination), mirror) for mirror in _mirrors(rule))
    )
    shares = [share for share in rule.route if share.weight] or rule.route[:1]
    if len(shares) == 1:
        action.cluster = context.cluster(shares[0].destination)
        if shares[0].headers is not None:
            actions.apply_headers(route, shares[0].headers)
            if not action.host_rewrite_literal and (host := actions.host_of(shares[0].headers)):
                action.host_rewrite_literal = host
    else:
        clusters = [actions.weighted(context.cluster(s.destination), s.weight, s.headers) for s in shares]
        action.weighted_clusters.CopyFrom(WeightedCluster(clusters=clusters))
    for share in shares:
        target = context.target(share.destination)
        add_hash_policy(action, target.rules, context.port(share.destination, target), share.destination.subset)
    asked = rule.retries if rule.retries is not None else context.view.retries
    policy = actions.retry_policy(asked, hashed=len(rule.route) == 1 and bool(action.hash_policy))
    if policy is not None:
        action.retry_policy.CopyFrom(policy)


def add_hash_policy(action: RouteAction, rules: HostRules | None, port: int, subset: str) -> None:
    """The hash policy of a DestinationRule; once, when several destinations have the same."""
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
