"""HTTPRoute: its rules in the words of the internal model, one for each match.

https://gateway-api.sigs.k8s.io/reference/spec/#httproute
"""

from __future__ import annotations

from mesh_lab.controlplane.model.base import StringMatch
from mesh_lab.controlplane.model.gatewayapi import HTTPRoute
from mesh_lab.controlplane.model.gatewayapi.httproute import HTTPRouteMatch, HTTPRouteRule, PathMatch, Retry, Timeouts
from mesh_lab.controlplane.model.internal import Rule, SegmentMatch
from mesh_lab.controlplane.model.virtualservice import HTTPMatchRequest, HTTPRetry
from mesh_lab.controlplane.xds.defaults import DEFAULT_ATTEMPTS
from mesh_lab.controlplane.xds.gatewayapi import filters, rules, sessions
from mesh_lab.controlplane.xds.gatewayapi.backends import Backends
from mesh_lab.controlplane.xds.gatewayapi.rules import INTERNAL_ERROR, Rank, Ranked, Read
from mesh_lab.controlplane.xds.gatewayapi.sources import Verdict

_PATHS = {"RegularExpression": 1, "PathPrefix": 2, "Exact": 3}


def read(spec: HTTPRoute, backends: Backends) -> Read:
    """The rules of a route."""
    problems: list[Verdict] = []
    found = (
        _ranked(f"rules[{index}]", rule, match, backends, problems)
        for index, rule in enumerate(spec.rules)
        for match in rule.matches or [HTTPRouteMatch()]
    )
    return rules.collected(found, problems)


def _ranked(
    where: str, rule: HTTPRouteRule, match: HTTPRouteMatch, backends: Backends, problems: list[Verdict]
) -> Ranked:
    effects = filters.effects_of(where, rule.filters, match.path, backends)
    forward = rules.forward(where, rule.backend_refs, backends)
    problems += [*forward.problems, *effects.problems]
    request = HTTPMatchRequest(
        uri=path_match(f"{where}.matches", match.path),
        method=StringMatch(exact=match.method) if match.method else None,
        headers=rules.values(f"{where}.matches.headers", match.headers, lower=True),
        query_params=rules.values(f"{where}.matches.queryParams", match.query_params),
    )
    made = Rule(
        name=rule.name,
        match=[request],
        route=[] if effects.redirect is not None else forward.shares,
        direct_response=None if effects.redirect is not None else forward.answer,
        redirect=effects.redirect,
        rewrite=effects.rewrite,
        headers=effects.headers,
        mirrors=effects.mirrors,
        cors_policy=effects.cors,
        timeout=rules.time_limit(
            f"{where}.timeouts.request", rule.timeouts.request if rule.timeouts is not None else ""
        ),
        retries=_retries(where, rule.timeouts, rule.retry),
        missing_cluster=INTERNAL_ERROR,
        session=sessions.of(where, rule.session_persistence, forward),
    )
    return Ranked(_rank(match), made)


def path_match(where: str, path: PathMatch) -> StringMatch:
    """A condition on the path.

    Raises:
        UnsupportedError: the expression is none of RE2.
    """
    if path.type == "Exact":
        return StringMatch(exact=path.value)
    if path.type == "PathPrefix":
        segments = path.value.rstrip("/")
        return SegmentMatch(segments=segments) if segments else StringMatch(prefix="/")
    return rules.text_match(f"{where}.path", path.type, path.value)


def _rank(match: HTTPRouteMatch) -> Rank:
    """The order of the specification: the kind of path, its length, a method, the numbers of headers and parameters."""
    return (
        _PATHS.get(match.path.type, 0),
        len(match.path.value),
        int(bool(match.method)),
        len(match.headers),
        len(match.query_params),
    )


def _retries(where: str, timeouts: Timeouts | None, retry: Retry | None) -> HTTPRetry | None:
    """How often a request is tried, and for how long each time; None leaves it to the mesh's default.

    A request whose server was not reached may always be tried again: it can have had no effect.
    """
    limit = rules.time_limit(
        f"{where}.timeouts.backendRequest", timeouts.backend_request if timeouts is not None else ""
    )
    if retry is None:
        return HTTPRetry(attempts=DEFAULT_ATTEMPTS, per_try_timeout=limit) if limit else None
    conditions = ["connect-failure", "refused-stream", "unavailable", "cancelled", "reset"]
    return HTTPRetry(
        attempts=1 if retry.attempts is None else retry.attempts,
        retry_on=",".join([*conditions, *map(str, retry.codes)]),
        per_try_timeout=limit,
        backoff=rules.time_limit(f"{where}.retry.backoff", retry.backoff),
    )
