"""VirtualService.http[].match as Envoy's route match, and which matches concern a proxy at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from envoy.config.route.v3.route_components_pb2 import HeaderMatcher, QueryParameterMatcher, RouteMatch
from envoy.type.matcher.v3.metadata_pb2 import MetadataMatcher
from envoy.type.matcher.v3.regex_pb2 import RegexMatcher
from envoy.type.matcher.v3.string_pb2 import StringMatcher

from mesh_lab.controlplane.model.base import StringMatch
from mesh_lab.controlplane.model.internal import SegmentMatch
from mesh_lab.controlplane.model.virtualservice import HTTPMatchRequest, HTTPRetry
from mesh_lab.controlplane.validation.names import is_claim
from mesh_lab.controlplane.xds import claims
from mesh_lab.controlplane.xds.hosts import gateway_name
from mesh_lab.controlplane.xds.mtls import selects
from mesh_lab.controlplane.xds.scope import Labels


@dataclass(frozen=True)
class Viewpoint:
    """From where requests come: the gateway (`mesh` for a sidecar), its port, and the client's namespace and labels.

    `tls` says that they come over TLS, which ends there; `retries` is the mesh's default for rules without their own
    (`defaultHttpRetryPolicy`); `traced` that spans may be reported, which are called by their route.
    """

    gateway: str
    port: int
    namespace: str
    labels: Labels
    tls: bool = False
    retries: HTTPRetry | None = None
    traced: bool = False


_ANY = "*"
"""No expression, but Istio takes it for any value of a header."""


def concerns(match: HTTPMatchRequest, view: Viewpoint, owner: str) -> bool:
    """Whether a match can hold at a viewpoint; `owner` is the namespace of the VirtualService.

    Where gateways are named, the client's labels and namespace have no effect, as in Istio. A gateway has labels and a
    namespace like any client.
    """
    if match.port and match.port != view.port:
        return False
    if match.gateways:
        return view.gateway in {gateway_name(gateway, owner) for gateway in match.gateways}
    if match.source_namespace and match.source_namespace != view.namespace:
        return False
    return selects(match.source_labels, dict(view.labels))


def route_match(match: HTTPMatchRequest | None) -> RouteMatch:
    """All conditions of one match; none at all matches every request."""
    if match is None:
        return RouteMatch(prefix="/")
    result = RouteMatch()
    uri = match.uri
    if isinstance(uri, SegmentMatch):
        result.path_separated_prefix = uri.segments
    elif uri is None or (uri.exact is None and uri.prefix is None and uri.regex is None):
        result.prefix = "/"
    elif uri.exact is not None:
        result.path = uri.exact
    elif uri.prefix is not None:
        result.prefix = uri.prefix
    else:
        result.safe_regex.CopyFrom(RegexMatcher(regex=uri.regex or ""))
    if match.ignore_uri_case:
        result.case_sensitive.value = False
    pseudo = {":method": match.method, ":authority": match.authority, ":scheme": match.scheme}
    for headers, invert in ((match.headers, False), (match.without_headers, True)):
        for name, value in _sorted(headers):
            if is_claim(name):
                result.dynamic_metadata.append(_claim(name, value, invert=invert))
            else:
                result.headers.append(_header(name, value, invert=invert))
    result.headers.extend(_header(name, value) for name, value in pseudo.items() if value is not None)
    result.query_parameters.extend(_parameter(name, value) for name, value in _sorted(match.query_params))
    return result


def _sorted(items: Mapping[str, StringMatch]) -> list[tuple[str, StringMatch]]:
    return sorted(items.items())


def string_matcher(match: StringMatch) -> StringMatcher | None:
    """The matcher of a value; None when only its presence is required."""
    if match.exact is not None:
        return StringMatcher(exact=match.exact)
    if match.prefix:
        return StringMatcher(prefix=match.prefix)
    if match.regex is not None and match.regex != _ANY:
        return StringMatcher(safe_regex=RegexMatcher(regex=match.regex))
    return None


def _header(name: str, match: StringMatch, *, invert: bool = False) -> HeaderMatcher:
    matcher = string_matcher(match)
    if matcher is None:
        return HeaderMatcher(name=name, present_match=True, invert_match=invert)
    return HeaderMatcher(name=name, string_match=matcher, invert_match=invert, treat_missing_header_as_empty=invert)


def _claim(name: str, match: StringMatch, *, invert: bool) -> MetadataMatcher:
    """A claim of the token, which a gateway has looked at before it chooses a route."""
    matcher = string_matcher(match) or StringMatcher(safe_regex=RegexMatcher(regex=".*"))
    return claims.claim(claims.routing_claim(name), [matcher], invert=invert)


def _parameter(name: str, match: StringMatch) -> QueryParameterMatcher:
    matcher = string_matcher(match)
    if matcher is None:
        return QueryParameterMatcher(name=name, present_match=True)
    return QueryParameterMatcher(name=name, string_match=matcher)
