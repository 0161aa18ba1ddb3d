"""VirtualService.http[] as Envoy routes, from one viewpoint."""

from __future__ import annotations

from collections.abc import Iterator

from envoy.config.route.v3.route_components_pb2 import Route

from mesh_lab.controlplane.model import VirtualService
from mesh_lab.controlplane.model.internal import Rule
from mesh_lab.controlplane.model.virtualservice import Destination, HTTPMatchRequest, HTTPRoute
from mesh_lab.controlplane.world.kubernetes import Origin
from mesh_lab.controlplane.world.snapshot import Config
from mesh_lab.controlplane.xds import actions, hosts, names, origins
from mesh_lab.controlplane.xds.matching import Viewpoint, concerns, route_match
from mesh_lab.controlplane.xds.memo import memoised
from mesh_lab.controlplane.xds.routecontext import RouteContext


def destinations(config: Config[VirtualService]) -> Iterator[Destination]:
    """All destinations of the HTTP rules, mirrors included."""
    for rule in config.spec.http:
        yield from (share.destination for share in rule.route)
        yield from (mirror.destination for mirror in actions.mirrors(rule))


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
            route = (
                _kept(_within(context, rule), rule, match) if isinstance(rule, Rule) else _route(context, rule, match)
            )
            yield route
            if takes_all(route):
                return


def _route(context: RouteContext, rule: HTTPRoute, match: HTTPMatchRequest | None) -> Route:
    route = Route(name=_name(rule, match), match=route_match(match))
    if match is not None:
        route.stat_prefix = match.stat_prefix
    origins.note(route.metadata, "virtual-service", context.config.namespace, context.config.name)
    actions.fill(route, context, rule, match)
    if context.view.traced:
        route.decorator.operation = _operation(route, context)
    return route


# A host's rules may be those of a thousand routes, which come and go one by one: each is translated by itself.
_kept = memoised(_route)


def _within(context: RouteContext, rule: HTTPRoute) -> RouteContext:
    """The context in which one rule is translated: the same whatever becomes of the other rules."""
    called = (share.destination for share in rule.route)
    mirrored = (mirror.destination for mirror in actions.mirrors(rule))
    targets = tuple(dict.fromkeys(context.target(each) for each in (*called, *mirrored)))
    return RouteContext(_named(context.config.namespace, context.config.name), context.view, targets, context.domain)


@memoised
def _named(namespace: str, name: str) -> Config[VirtualService]:
    """A VirtualService of which only the name counts."""
    return Config(Origin("VirtualService", namespace, name), namespace, name, {}, "", VirtualService())


def _operation(route: Route, context: RouteContext) -> str:
    """By the host and port of the one cluster; a route to several is called by its VirtualService."""
    kind = route.match.WhichOneof("path_specifier")
    paths = {"prefix": f"{route.match.prefix}*", "path": route.match.path, "safe_regex": route.match.safe_regex.regex}
    path = paths.get(kind or "", "/*")
    if route.route.cluster.count("|") == 3:
        _, port, _, host = route.route.cluster.split("|")
        return names.operation(host, int(port), path)
    return names.operation(context.config.name, context.view.port, path)


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


def _name(rule: HTTPRoute, match: HTTPMatchRequest | None) -> str:
    return f"{rule.name}.{match.name}" if match is not None and match.name else rule.name
