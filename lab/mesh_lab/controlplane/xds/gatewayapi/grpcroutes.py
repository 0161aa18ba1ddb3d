"""GRPCRoute: its rules in the words of the internal model. A call is a request to `/SERVICE/METHOD`.

https://gateway-api.sigs.k8s.io/reference/spec/#grpcroute
"""

from __future__ import annotations

from mesh_lab.controlplane.model.base import StringMatch
from mesh_lab.controlplane.model.gatewayapi import GRPCRoute
from mesh_lab.controlplane.model.gatewayapi.grpcroute import GRPCMethodMatch, GRPCRouteMatch, GRPCRouteRule
from mesh_lab.controlplane.model.gatewayapi.httproute import PathMatch
from mesh_lab.controlplane.model.internal import Rule, SegmentMatch
from mesh_lab.controlplane.model.virtualservice import HTTPMatchRequest
from mesh_lab.controlplane.xds.gatewayapi import filters, rules, sessions
from mesh_lab.controlplane.xds.gatewayapi.backends import Backends
from mesh_lab.controlplane.xds.gatewayapi.rules import INTERNAL_ERROR, Rank, Ranked, Read
from mesh_lab.controlplane.xds.gatewayapi.sources import Verdict

_SERVICE = r"[^/]+"
_METHOD = r"[^/]+"


def read(spec: GRPCRoute, backends: Backends) -> Read:
    """The rules of a route; without any it takes no call."""
    problems: list[Verdict] = []
    found = (
        _ranked(f"rules[{index}]", rule, match, backends, problems)
        for index, rule in enumerate(spec.rules)
        for match in rule.matches or [GRPCRouteMatch()]
    )
    return rules.collected(found, problems)


def _ranked(
    where: str, rule: GRPCRouteRule, match: GRPCRouteMatch, backends: Backends, problems: list[Verdict]
) -> Ranked:
    effects = filters.effects_of(where, rule.filters, PathMatch(), backends)
    forward = rules.forward(where, rule.backend_refs, backends)
    problems += [*forward.problems, *effects.problems]
    request = HTTPMatchRequest(
        uri=_uri(f"{where}.matches.method", match.method),
        headers=rules.values(f"{where}.matches.headers", match.headers, lower=True),
    )
    made = Rule(
        name=rule.name,
        match=[request],
        route=forward.shares,
        direct_response=forward.answer,
        headers=effects.headers,
        mirrors=effects.mirrors,
        missing_cluster=INTERNAL_ERROR,
        session=sessions.of(where, rule.session_persistence, forward),
    )
    return Ranked(_rank(match), made)


def _uri(where: str, method: GRPCMethodMatch | None) -> StringMatch:
    if method is None or not (method.service or method.method):
        return StringMatch(prefix="/")
    if method.type == "Exact":
        if method.service and method.method:
            return StringMatch(exact=f"/{method.service}/{method.method}")
        if method.service:
            return SegmentMatch(segments=f"/{method.service}")
        return StringMatch(regex=f"/{_SERVICE}/{rules.escaped(method.method)}")
    expression = f"/{method.service or _SERVICE}/{method.method or _METHOD}"
    return rules.text_match(where, method.type, expression)


def _rank(match: GRPCRouteMatch) -> Rank:
    """The order of the specification: the lengths of service and method, then the number of headers."""
    method = match.method or GRPCMethodMatch()
    kind = 3 if method.type == "Exact" and method.service and method.method else 2 if method.type == "Exact" else 1
    return (kind, len(method.service), len(method.method), len(match.headers), 0)
