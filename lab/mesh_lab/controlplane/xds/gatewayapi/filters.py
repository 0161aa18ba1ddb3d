"""Filters of HTTPRoutes and GRPCRoutes: what is done to requests and answers.

https://gateway-api.sigs.k8s.io/reference/spec/#httproutefilter
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from mesh_lab.controlplane.model.base import Percent, StringMatch
from mesh_lab.controlplane.model.gatewayapi.common import HeaderModifier, HTTPHeader, RequestMirror
from mesh_lab.controlplane.model.gatewayapi.httproute import (
    CORS,
    HTTPRouteFilter,
    PathMatch,
    RequestRedirect,
    URLRewrite,
)
from mesh_lab.controlplane.model.internal import Redirect
from mesh_lab.controlplane.model.virtualservice import (
    CorsPolicy,
    HeaderOperations,
    Headers,
    HTTPMirrorPolicy,
    HTTPRewrite,
)
from mesh_lab.controlplane.validation.commands import commands
from mesh_lab.controlplane.validation.routing import header_operations
from mesh_lab.controlplane.xds.gatewayapi import paths
from mesh_lab.controlplane.xds.gatewayapi.backends import Backends
from mesh_lab.controlplane.xds.gatewayapi.sources import Verdict


class UnsupportedError(ValueError):
    """A route says what cannot be carried out, so that it is refused as a whole."""

    @property
    def verdict(self) -> Verdict:
        """What the route's condition says."""
        return Verdict("UnsupportedValue", str(self))


@dataclass
class Effects:
    """What the filters of a rule do, put together. `problems` are mirrors that lead nowhere."""

    headers: Headers | None = None
    redirect: Redirect | None = None
    rewrite: HTTPRewrite | None = None
    mirrors: list[HTTPMirrorPolicy] = field(default_factory=list)
    cors: CorsPolicy | None = None
    problems: list[Verdict] = field(default_factory=list)


def effects_of(where: str, filters: Iterable[HTTPRouteFilter], path: PathMatch, backends: Backends) -> Effects:
    """What a rule's filters do to requests of one match.

    Raises:
        UnsupportedError: one is unknown, or not carried out.
    """
    made = Effects()
    for each in filters:
        match each.type:
            case "RequestHeaderModifier" if each.request_header_modifier is not None:
                made.headers = _merged(made.headers, request=operations(each.request_header_modifier))
            case "ResponseHeaderModifier" if each.response_header_modifier is not None:
                made.headers = _merged(made.headers, response=operations(each.response_header_modifier))
            case "RequestMirror" if each.request_mirror is not None:
                _mirror(made, each.request_mirror, backends)
            case "RequestRedirect" if each.request_redirect is not None:
                made.redirect = _redirect(each.request_redirect, path)
            case "URLRewrite" if each.url_rewrite is not None:
                made.rewrite = _rewrite(each.url_rewrite, path)
            case "CORS" if each.cors is not None:
                made.cors = _cors(each.cors)
            case _:
                raise UnsupportedError(f"{where}.filters: {each.type} is not carried out by the lab")
    _check(f"{where}.filters", made.headers)
    return made


def of_backend(where: str, filters: Iterable[HTTPRouteFilter]) -> Headers | None:
    """What a backend's own filters do to the headers.

    Raises:
        UnsupportedError: one is for something else.
    """
    headers: Headers | None = None
    for each in filters:
        if each.type == "RequestHeaderModifier" and each.request_header_modifier is not None:
            headers = _merged(headers, request=operations(each.request_header_modifier))
        elif each.type == "ResponseHeaderModifier" and each.response_header_modifier is not None:
            headers = _merged(headers, response=operations(each.response_header_modifier))
        else:
            text = f"{where}.filters: {each.type} is not carried out for a single backend"
            raise UnsupportedError(text)
    _check(f"{where}.filters", headers)
    return headers


def _check(where: str, headers: Headers | None) -> None:
    for problem in header_operations(where, headers):
        raise UnsupportedError(f"{problem.path}: {problem.message}")


def operations(modifier: HeaderModifier) -> HeaderOperations:
    """Operations on headers; of several for one header the first counts."""
    return HeaderOperations(set=_first(modifier.set), add=_first(modifier.add), remove=list(modifier.remove))


def _first(headers: list[HTTPHeader]) -> dict[str, str]:
    found: dict[str, tuple[str, str]] = {}
    for each in headers:
        found.setdefault(each.name.lower(), (each.name, _value(each.value)))
    return dict(found.values())


def _value(written: str) -> str:
    """A value with Envoy's commands has their results, as in Istio; in any other a percent sign is just one."""
    return written.replace("%", "%%") if any(commands("", written)) else written


def _merged(
    headers: Headers | None, request: HeaderOperations | None = None, response: HeaderOperations | None = None
) -> Headers:
    before = headers or Headers()
    return Headers(request=before.request or request, response=before.response or response)


def _mirror(made: Effects, mirror: RequestMirror, backends: Backends) -> None:
    found = backends.find(mirror.backend_ref)
    if found.destination is None:
        made.problems += [found.problem] if found.problem is not None else []
        return
    share = None
    if mirror.percent is not None:
        share = Percent(value=mirror.percent)
    elif mirror.fraction is not None:
        share = Percent(value=100 * mirror.fraction.numerator / (mirror.fraction.denominator or 100))
    made.mirrors.append(HTTPMirrorPolicy(destination=found.destination, percentage=share))


def _redirect(redirect: RequestRedirect, path: PathMatch) -> Redirect:
    """Without a port that of the scheme which is named, else that on which the request came."""
    return Redirect(
        scheme=redirect.scheme,
        authority=redirect.hostname,
        port=redirect.port or ({"http": 80, "https": 443}.get(redirect.scheme)),
        derive_port="FROM_REQUEST_PORT",
        redirect_code=redirect.status_code,
        uri_regex_rewrite=paths.rewrite(redirect.path, path) if redirect.path is not None else None,
    )


def _rewrite(rewrite: URLRewrite, path: PathMatch) -> HTTPRewrite:
    return HTTPRewrite(
        authority=rewrite.hostname,
        uri_regex_rewrite=paths.rewrite(rewrite.path, path) if rewrite.path is not None else None,
    )


def _cors(cors: CORS) -> CorsPolicy:
    """A preflight that nothing here allows is not sent on: the answer names no origin, so the client stops."""
    return CorsPolicy(
        allow_origins=[_origin(each) for each in cors.allow_origins],
        allow_methods=list(cors.allow_methods),
        allow_headers=list(cors.allow_headers),
        expose_headers=list(cors.expose_headers),
        max_age=f"{cors.max_age}s",
        allow_credentials=cors.allow_credentials or None,
        unmatched_preflights="IGNORE",
    )


def _origin(written: str) -> StringMatch:
    """An origin; `*` stands for any, alone or in place of a host's first labels."""
    if written == "*":
        return StringMatch(regex=".*")
    if "*" not in written:
        return StringMatch(exact=written)
    return StringMatch(regex=re.escape(written).replace(r"\*", ".*"))
