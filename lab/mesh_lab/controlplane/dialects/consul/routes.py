"""Discovery chains as the internal model has them: rules for the requests and the connections to a service."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from mesh_lab.controlplane.dialects.consul.chain import Branch, Chain, Share, Target
from mesh_lab.controlplane.dialects.consul.kinds import ServiceResolver
from mesh_lab.controlplane.dialects.consul.kinds.common import HeaderMatch, HTTPHeaderModifiers
from mesh_lab.controlplane.dialects.consul.kinds.router import (
    QueryParamMatch,
    ServiceRouteDestination,
    ServiceRouteHTTPMatch,
)
from mesh_lab.controlplane.dialects.consul.objects import Sources
from mesh_lab.controlplane.model import VirtualService
from mesh_lab.controlplane.model.base import StringMatch
from mesh_lab.controlplane.model.internal import Rule
from mesh_lab.controlplane.model.units import nanoseconds
from mesh_lab.controlplane.model.virtualservice import (
    Destination,
    HeaderOperations,
    Headers,
    HTTPMatchRequest,
    HTTPRetry,
    HTTPRewrite,
    HTTPRouteDestination,
    RouteDestination,
    TCPRoute,
)
from mesh_lab.controlplane.world.snapshot import Config


def virtual_service(chain: Chain, sources: Sources) -> Config[VirtualService]:
    """The rules of a chain that is not plain, for all clients of the service."""
    last = chain.branches[-1].shares
    spec = VirtualService(
        hosts=[sources.host(chain.service)],
        gateways=["mesh"],
        http=[_rule(branch, sources) for branch in chain.branches],
        tcp=[TCPRoute(route=[_connections(share, sources) for share in last])],
        export_to=["*"],
    )
    first, *rest = chain.entries
    namespace, name = chain.service
    others = (*(entry.origin for entry in rest), *chain.others)
    created = min(entry.created for entry in chain.entries)
    return Config(first.origin, namespace, f"{name}-consul", {}, created, spec, merged_from=others)


def _rule(branch: Branch, sources: Sources) -> Rule:
    rule = branch.rule
    http = rule.match.http if rule is not None and rule.match is not None else None
    matches = [_match(http)] if http is not None else []
    to = (rule.destination if rule is not None else None) or ServiceRouteDestination()
    return Rule(
        match=matches,
        route=[_requests(share, sources) for share in branch.shares],
        rewrite=_rewrite(to, http),
        timeout=_given(to.request_timeout) or _timeout(branch.shares[0].target, sources),
        idle_timeout=_given(to.idle_timeout),
        retries=_retries(to),
        headers=_headers([to.request_headers], [to.response_headers]),
    )


def _given(duration: str | None) -> str | None:
    """A duration; one of zero is none at all."""
    return duration if duration and nanoseconds(duration) else None


def _timeout(target: Target, sources: Sources) -> str | None:
    resolver = sources.one(ServiceResolver, target.service)
    return _given(resolver.spec.request_timeout) if resolver is not None else None


def _requests(share: Share, sources: Sources) -> HTTPRouteDestination:
    headers = _headers(share.requests, share.responses)
    return HTTPRouteDestination(destination=_destination(share.target, sources), weight=share.weight, headers=headers)


def _connections(share: Share, sources: Sources) -> RouteDestination:
    return RouteDestination(destination=_destination(share.target, sources), weight=share.weight)


def _destination(target: Target, sources: Sources) -> Destination:
    return Destination(host=sources.host(target.service), subset=target.subset)


def _headers(
    requests: Iterable[HTTPHeaderModifiers | None], responses: Iterable[HTTPHeaderModifiers | None]
) -> Headers | None:
    """The changes one after another as one."""
    request, response = _together(requests), _together(responses)
    return Headers(request=request, response=response) if request is not None or response is not None else None


def _together(changes: Iterable[HTTPHeaderModifiers | None]) -> HeaderOperations | None:
    found = [change for change in changes if change is not None]
    if not found:
        return None
    total = HeaderOperations()
    for change in found:
        total = msgspec.structs.replace(
            total,
            add={**total.add, **change.add},
            set={**total.set, **change.set},
            remove=[*total.remove, *change.remove],
        )
    return total


def _match(http: ServiceRouteHTTPMatch) -> HTTPMatchRequest:
    plain = [header for header in http.header if not header.invert]
    turned = [header for header in http.header if header.invert]
    return HTTPMatchRequest(
        uri=_path(http),
        method=_any_of(http.methods),
        headers={header.name.lower(): header_test(header) for header in plain},
        without_headers={header.name.lower(): header_test(header) for header in turned},
        query_params={each.name: _query_test(each) for each in http.query_param},
        ignore_uri_case=http.case_insensitive,
    )


def _path(http: ServiceRouteHTTPMatch) -> StringMatch | None:
    if http.path_exact:
        return StringMatch(exact=http.path_exact)
    if http.path_prefix:
        return StringMatch(prefix=http.path_prefix)
    if http.path_regex:
        return StringMatch(regex=f"(?i:{http.path_regex})" if http.case_insensitive else http.path_regex)
    return None


def _any_of(methods: list[str]) -> StringMatch | None:
    if len(methods) == 1:
        return StringMatch(exact=methods[0])
    return StringMatch(regex="|".join(map(re.escape, methods))) if methods else None


def header_test(header: HeaderMatch) -> StringMatch:
    """A condition on a header's value; without any the header must be there."""
    if header.exact:
        return StringMatch(exact=header.exact)
    if header.prefix:
        return StringMatch(prefix=header.prefix)
    if header.suffix:
        return StringMatch(regex=f".*{re.escape(header.suffix)}")
    return StringMatch(regex=header.regex) if header.regex else StringMatch()


def _query_test(query: QueryParamMatch) -> StringMatch:
    if query.exact:
        return StringMatch(exact=query.exact)
    return StringMatch(regex=query.regex) if query.regex else StringMatch()


def _rewrite(to: ServiceRouteDestination, http: ServiceRouteHTTPMatch | None) -> HTTPRewrite | None:
    return HTTPRewrite(uri=to.prefix_rewrite) if to.prefix_rewrite and http is not None else None


def _retries(to: ServiceRouteDestination) -> HTTPRetry | None:
    """Retries that a rule asks for. Where it does not, those hold that the mesh has for all routes."""
    codes = [str(code) for code in to.retry_on_status_codes]
    causes = [*to.retry_on, *(["connect-failure"] if to.retry_on_connect_failure else [])]
    if not (causes or codes):
        return None
    return HTTPRetry(attempts=to.num_retries or 1, retry_on=",".join([*dict.fromkeys(causes), *codes]))
