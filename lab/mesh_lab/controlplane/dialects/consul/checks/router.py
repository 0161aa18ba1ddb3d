"""Rules of a ServiceRouter: those of consul-k8s' webhook and of Consul's servers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from mesh_lab.controlplane.dialects.consul.checks.common import elsewhere, header, methods, modifiers, paths
from mesh_lab.controlplane.dialects.consul.kinds import ServiceRouter
from mesh_lab.controlplane.dialects.consul.kinds.router import (
    QueryParamMatch,
    ServiceRoute,
    ServiceRouteDestination,
    ServiceRouteHTTPMatch,
)
from mesh_lab.controlplane.validation.common import Problem, duration, error, regex, warning

_TESTS = ("exact", "prefix", "suffix", "regex", "present")
_RETRIED = frozenset(
    {
        *("5xx", "gateway-error", "reset", "reset-before-request", "connect-failure", "envoy-ratelimited"),
        *("retriable-4xx", "refused-stream", "cancelled", "deadline-exceeded", "internal", "resource-exhausted"),
        "unavailable",
    }
)


def service_router(spec: ServiceRouter) -> Iterator[Problem]:
    """All problems of a ServiceRouter."""
    for index, route in enumerate(spec.routes):
        yield from _route(f"spec.routes[{index}]", route)


def _route(path: str, route: ServiceRoute) -> Iterator[Problem]:
    http = route.match.http if route.match is not None else None
    if http is not None:
        yield from _match(f"{path}.match.http", http)
    if route.destination is None:
        return
    if route.destination.prefix_rewrite and (http is None or not (http.path_prefix or http.path_exact)):
        text = (
            "destination.prefixRewrite requires that either match.http.pathPrefix or match.http.pathExact be "
            "configured on this route"
        )
        yield error(path, text)
    yield from _destination(f"{path}.destination", route.destination)


def _match(path: str, http: ServiceRouteHTTPMatch) -> Iterator[Problem]:
    yield from paths(path, http)
    yield from methods(path, http.methods)
    for index, each in enumerate(http.header):
        yield from header(f"{path}.header[{index}]", each, _TESTS)
    for index, query in enumerate(http.query_param):
        yield from _query(f"{path}.queryParam[{index}]", query)
    named = Counter((each.name.lower(), each.invert) for each in http.header)
    if any(count > 1 for count in named.values()):
        yield error(f"{path}.header", "this lab takes one condition on a header, and one that is inverted")
    if len({query.name for query in http.query_param}) < len(http.query_param):
        yield error(f"{path}.queryParam", "this lab takes one condition on a query parameter")


def _query(path: str, query: QueryParamMatch) -> Iterator[Problem]:
    if sum(1 for value in (query.exact, query.regex, query.present) if value) != 1:
        yield error(path, "exactly one of exact, regex, or present must be configured")
    if query.regex:
        yield from regex(f"{path}.regex", query.regex)


def _destination(path: str, to: ServiceRouteDestination) -> Iterator[Problem]:
    yield from elsewhere(path, to)
    yield from modifiers(f"{path}.requestHeaders", to.request_headers)
    yield from modifiers(f"{path}.responseHeaders", to.response_headers)
    yield from duration(f"{path}.requestTimeout", to.request_timeout, zero=True)
    yield from duration(f"{path}.idleTimeout", to.idle_timeout, zero=True)
    if to.prefix_rewrite and not to.prefix_rewrite.startswith("/"):
        yield error(f"{path}.prefixRewrite", "must begin with a '/'")
    for index, cause in enumerate(to.retry_on):
        if cause not in _RETRIED:
            yield error(f"{path}.retryOn[{index}]", f'contains an invalid retry condition: "{cause}"')
    if to.num_retries and not (to.retry_on or to.retry_on_connect_failure or to.retry_on_status_codes):
        text = "nothing is retried without retryOn, retryOnConnectFailure or retryOnStatusCodes"
        yield warning(f"{path}.numRetries", text)
