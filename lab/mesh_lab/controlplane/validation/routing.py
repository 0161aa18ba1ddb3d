"""Rules for VirtualService."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping

from mesh_lab.controlplane.model import VirtualService
from mesh_lab.controlplane.model.base import Spec, StringMatch
from mesh_lab.controlplane.model.grpcstatus import grpc_code
from mesh_lab.controlplane.model.units import nanoseconds
from mesh_lab.controlplane.model.virtualservice import (
    CorsPolicy,
    Headers,
    HTTPFaultInjection,
    HTTPMatchRequest,
    HTTPRedirect,
    HTTPRetry,
    HTTPRoute,
    RegexRewrite,
)
from mesh_lab.controlplane.validation.commands import commands
from mesh_lab.controlplane.validation.common import Problem, duration, error, regex, warning
from mesh_lab.controlplane.validation.connections import connection_routes
from mesh_lab.controlplane.validation.destinations import destination, shares, source
from mesh_lab.controlplane.validation.names import (
    export_to,
    gateway_names,
    header_name,
    host_name,
    is_claim,
    overlap,
)

RETRY_POLICIES = frozenset(
    {
        "5xx",
        "cancelled",
        "connect-failure",
        "deadline-exceeded",
        "envoy-ratelimited",
        "gateway-error",
        "http3-post-connect-failure",
        "internal",
        "refused-stream",
        "reset",
        "reset-before-request",
        "resource-exhausted",
        "retriable-4xx",
        "retriable-headers",
        "retriable-status-codes",
        "unavailable",
    }
)
CORS_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE", "*"})
_AUTHORITY = ("host", ":authority")
_LARGE_BODY, LARGEST_BODY = 100 * 1024, 1024 * 1024  # Istio's limits
_SECOND = 1_000_000_000
REDIRECT_CODES = frozenset({301, 302, 303, 307, 308})


def virtual_service(spec: VirtualService) -> Iterator[Problem]:
    """Problems of a VirtualService."""
    bound = "mesh" in (spec.gateways or ["mesh"])
    if not spec.hosts:
        yield from _of_delegate(spec)
    for index, host in enumerate(spec.hosts):
        yield from host_name(f"spec.hosts[{index}]", host, address="." in host)
        if host == "*" and bound:
            yield error(
                f"spec.hosts[{index}]", "wildcard host * is not allowed for virtual services bound to the mesh gateway"
            )
    for one, other in overlap(spec.hosts):
        yield error("spec.hosts", f"duplicate hosts in virtual service: {one} & {other}")
    yield from gateway_names("spec.gateways", spec.gateways)
    yield from export_to("spec.exportTo", spec.export_to)
    if not (spec.http or spec.tcp or spec.tls):
        yield error("spec", "http, tcp or tls must be provided in virtual service")
    for index, route in enumerate(spec.http):
        yield from _http_route(f"spec.http[{index}]", route)
        if not spec.hosts and route.delegate is not None:
            yield error(f"spec.http[{index}].delegate", "delegate HTTP route cannot contain delegate")
        for number, match in enumerate(route.match if bound else ()):
            yield from _no_claims(f"spec.http[{index}].match[{number}]", match)
    yield from connection_routes(spec)


def _of_delegate(spec: VirtualService) -> Iterator[Problem]:
    """A VirtualService without hosts has the routes of others that delegate to it, and these have the rest."""
    for name, given in (("gateways", spec.gateways), ("tls", spec.tls), ("tcp", spec.tcp)):
        if given:
            yield error(f"spec.{name}", f"delegate virtual service must have no {name} specified")


def _no_claims(path: str, match: HTTPMatchRequest) -> Iterator[Problem]:
    """Only gateways route by the claims of tokens."""
    for field, names in (("headers", match.headers), ("withoutHeaders", match.without_headers)):
        for name in names:
            if is_claim(name):
                yield error(f"{path}.{field}[{name}]", "JWT claim based routing is only supported for gateway")


def _http_route(path: str, route: HTTPRoute) -> Iterator[Problem]:
    answers = [
        name for name, value in (("redirect", route.redirect), ("directResponse", route.direct_response)) if value
    ]
    if route.delegate is not None:
        for name in (*answers, *(["route"] if route.route else [])):
            yield error(f"{path}.{name}", f"a route that delegates must not specify {name}")
    elif not route.route and not answers:
        yield error(path, "HTTP route, redirect or direct_response is required")
    for name in answers:
        if route.route:
            yield error(path, f"HTTP route cannot contain both route and {name}")
        if route.fault is not None:
            yield error(path, f"HTTP route cannot contain both fault and {name}")
        if route.rewrite is not None:
            yield error(path, f"HTTP route rule cannot contain both rewrite and {name}")
    if len(answers) > 1:
        yield error(path, "HTTP route cannot contain both redirect and direct_response")
    for index, match in enumerate(route.match):
        yield from _match(f"{path}.match[{index}]", match)
    if route.route:
        yield from shares(path, [share.weight for share in route.route])
    for index, share in enumerate(route.route):
        yield from header_operations(f"{path}.route[{index}].headers", share.headers)
        yield from destination(f"{path}.route[{index}].destination", share.destination)
    if route.mirror is not None:
        yield from destination(f"{path}.mirror", route.mirror)
    for index, mirror in enumerate(route.mirrors):
        yield from destination(f"{path}.mirrors[{index}].destination", mirror.destination)
    yield from header_operations(f"{path}.headers", route.headers)
    yield from _authority_once(path, route)
    if route.redirect is not None:
        yield from _redirect(f"{path}.redirect", route.redirect, route.match)
    if route.direct_response is not None:
        yield from _direct_response(f"{path}.directResponse", route)
    yield from duration(f"{path}.timeout", route.timeout)
    if route.retries is not None:
        yield from retry_policy(f"{path}.retries", route.retries)
    if route.fault is not None:
        yield from _fault(f"{path}.fault", route.fault)
    if route.cors_policy is not None:
        yield from _cors(f"{path}.corsPolicy", route.cors_policy)
    if route.mirrors and route.mirror is not None:
        yield error(f"{path}.mirrors", "HTTP route cannot contain both mirror and mirrors")
    if route.mirror_percent is not None:
        yield warning(f"{path}.mirrorPercent", "deprecated: use mirrorPercentage instead")
    if route.rewrite is not None and not _has_field(route.rewrite):
        yield error(f"{path}.rewrite", "rewrite must specify uri, uriRegexRewrite or authority")
    if route.rewrite is not None and route.rewrite.uri_regex_rewrite is not None:
        if route.rewrite.uri:
            yield error(f"{path}.rewrite", "rewrite may only contain one of uri or uriRegexRewrite")
        if not route.rewrite.uri_regex_rewrite.match or not route.rewrite.uri_regex_rewrite.rewrite:
            yield error(f"{path}.rewrite.uriRegexRewrite", "uriRegexRewrite requires both match and rewrite")
        yield from regex(f"{path}.rewrite.uriRegexRewrite.match", route.rewrite.uri_regex_rewrite.match)
        yield from _groups(f"{path}.rewrite.uriRegexRewrite.rewrite", route.rewrite.uri_regex_rewrite)


def _redirect(path: str, redirect: HTTPRedirect, matches: list[HTTPMatchRequest]) -> Iterator[Problem]:
    if redirect.redirect_code not in REDIRECT_CODES | {0}:
        yield error(
            f"{path}.redirectCode",
            f"invalid redirect code {redirect.redirect_code}, must be one of 301, 302, 303, 307, 308",
        )
    if not _has_field(redirect, but="redirect_code"):
        yield error(path, "redirect must specify uri, authority, scheme or port")
    if redirect.scheme not in ("", "http", "https"):
        yield error(f"{path}.scheme", 'invalid redirect scheme, must be "http" or "https"')
    if redirect.port is not None and redirect.derive_port is not None:
        yield error(path, "only one of port and derivePort may be given")
    if redirect.port is not None and redirect.port > 65535:
        yield error(f"{path}.port", f"port number {redirect.port} must be in the range 1..65535")
    if redirect.prefix_rewrite and redirect.uri:
        yield error(path, "redirect may only specify one of uri or prefixRewrite")
    if redirect.prefix_rewrite and any(match.uri is not None and match.uri.prefix is None for match in matches):
        yield error(f"{path}.prefixRewrite", "prefixRewrite needs uri matches by prefix, and only these")


def _groups(path: str, rewrite: RegexRewrite) -> Iterator[Problem]:
    """A rewrite names groups that the expression has; any other backslash is written twice."""
    named = re.findall(r"\\(.?)", rewrite.rewrite, re.DOTALL)
    groups = len(re.findall(r"(?<!\\)\((?!\?)", rewrite.match))
    for each in named:
        if each != "\\" and not (each.isascii() and each.isdecimal() and int(each) <= groups):
            yield error(path, f'"\\{each}" is neither a group of the expression nor "\\\\"')
            return


def _has_field(spec: Spec, *, but: str = "") -> bool:
    return any(getattr(spec, name) not in ("", None) for name in spec.__struct_fields__ if name != but)


def _direct_response(path: str, route: HTTPRoute) -> Iterator[Problem]:
    response = route.direct_response
    assert response is not None
    if not 200 <= response.status <= 599:
        yield error(f"{path}.status", f"HTTP status {response.status} is not in range 200..599")
    body = response.body
    size = len(body.string.encode()) if body is not None and body.string is not None else 0
    if body is not None and body.bytes is not None:
        try:
            size = len(base64.b64decode(body.bytes, validate=True))
        except ValueError:
            yield error(f"{path}.body.bytes", "must be base64")
    if size > LARGEST_BODY:
        yield error(
            f"{path}.body", "large direct responses may impact control plane performance, must be less than 1MB"
        )
    elif size > _LARGE_BODY:
        yield warning(f"{path}.body", "large direct responses may impact control plane performance")


def _match(path: str, match: HTTPMatchRequest) -> Iterator[Problem]:
    single = {"uri": match.uri, "scheme": match.scheme, "method": match.method, "authority": match.authority}
    named: Mapping[str, Mapping[str, StringMatch]] = {
        "headers": match.headers,
        "withoutHeaders": match.without_headers,
        "queryParams": match.query_params,
    }
    for name, value in single.items():
        if value is not None:
            yield from _string_match(f"{path}.{name}", value, presence=True, empty_prefix=name == "uri")
    for name, group in named.items():
        for key, value in group.items():
            where = f"{path}.{name}[{key}]"
            if name != "queryParams" and not is_claim(key):
                yield from header_name(where, key)
            elif not key:
                yield error(where, f"{name}: a name must not be empty")
            # `*` is no expression there: the header must be absent.
            if not (name == "withoutHeaders" and value.regex == "*"):
                yield from _string_match(where, value, presence=True)
    yield from source(path, match)


def _string_match(path: str, match: StringMatch, *, presence: bool, empty_prefix: bool = False) -> Iterator[Problem]:
    given = [name for name in ("exact", "prefix", "regex") if getattr(match, name) is not None]
    if len(given) > 1:
        yield error(path, f"only one of exact, prefix and regex may be given, not {' and '.join(given)}")
    elif match.prefix == "" and not empty_prefix:
        yield error(path, "prefix string match should not be empty")
    elif match.regex == "":
        yield error(path, "regex string match should not be empty")
    elif not given and not presence:
        yield error(path, "one of exact, prefix and regex must be given")
    if match.regex is not None:
        yield from regex(path, match.regex)


def _authority_once(path: str, route: HTTPRoute) -> Iterator[Problem]:
    """The authority has one new value at most: of `rewrite`, or of a header that is set or added."""
    operations = route.headers.request if route.headers else None
    given = [route.rewrite.authority] if route.rewrite is not None and route.rewrite.authority else []
    for names in (operations.set, operations.add) if operations is not None else ():
        given += [value for name, value in names.items() if name.lower() in _AUTHORITY]
    if len(given) > 1:
        yield error(path, f"authority header cannot be set multiple times: {', '.join(map(repr, given))}")


def _cors(path: str, policy: CorsPolicy) -> Iterator[Problem]:
    for index, origin in enumerate(policy.allow_origins):
        yield from _string_match(f"{path}.allowOrigins[{index}]", origin, presence=False)
    yield from duration(f"{path}.maxAge", policy.max_age)
    if policy.max_age is not None and nanoseconds(policy.max_age) % _SECOND:
        yield error(f"{path}.maxAge", "maxAge is accurate only to seconds precision")
    for index, method in enumerate(policy.allow_methods):
        if method not in CORS_METHODS:
            yield error(f"{path}.allowMethods[{index}]", f'"{method}" is not a supported HTTP method')
    for field, names in (("allowHeaders", policy.allow_headers), ("exposeHeaders", policy.expose_headers)):
        for index, name in enumerate(names):
            if name != "*":
                yield from header_name(f"{path}.{field}[{index}]", name)


def header_operations(path: str, headers: Headers | None) -> Iterator[Problem]:
    """Problems of what is done to headers."""
    for side in ("request", "response"):
        operations = getattr(headers, side, None)
        if operations is None:
            continue
        for values in (operations.set, operations.add):
            for name, value in values.items():
                yield from commands(f"{path}.{side}[{name}]", value)
        for verb, names in (("set", operations.set), ("add", operations.add), ("remove", operations.remove)):
            for name in names:
                where = f"{path}.{side}.{verb}"
                is_host = name.lower() in _AUTHORITY
                if not name:
                    yield error(where, "header name cannot be empty")
                elif name.startswith(":") and not is_host:
                    yield error(
                        where, f'header {name} cannot be changed: names that start with ":" are the protocol\'s'
                    )
                elif is_host and (side != "request" or verb == "remove"):
                    yield error(where, f"{name} can only be set or added, and only on a request")


def retry_policy(path: str, retries: HTTPRetry) -> Iterator[Problem]:
    """Problems of retries: of a route, or of all routes."""
    if retries.attempts < 0:
        yield error(f"{path}.attempts", "attempts cannot be negative")
    remote = retries.retry_remote_localities is not None
    if retries.attempts == 0 and (retries.retry_on or retries.per_try_timeout is not None or remote):
        yield error(path, "http retry policy configured when attempts are set to 0 (disabled)")
    for policy in retries.retry_on.split(",") if retries.retry_on else ():
        if policy not in RETRY_POLICIES and not (policy.isdecimal() and policy.isascii() and 100 <= int(policy) <= 599):
            yield error(f"{path}.retryOn", f'"{policy}" is not a valid retryOn policy')
    yield from duration(f"{path}.perTryTimeout", retries.per_try_timeout)
    yield from duration(f"{path}.backoff", retries.backoff)


def _fault(path: str, fault: HTTPFaultInjection) -> Iterator[Problem]:
    if fault.delay is None and fault.abort is None:
        yield error(path, "HTTP fault injection must have an abort and/or a delay")
    if fault.delay is not None:
        if fault.delay.exponential_delay is not None:
            yield error(f"{path}.delay.exponentialDelay", "exponentialDelay not supported yet")
        if fault.delay.fixed_delay is None:
            yield warning(f"{path}.delay.fixedDelay", "without a fixedDelay, no request is delayed")
        yield from duration(f"{path}.delay.fixedDelay", fault.delay.fixed_delay)
        if fault.delay.percentage is None and not fault.delay.percent:
            yield warning(f"{path}.delay.percentage", "without a percentage, no request is delayed")
    if fault.abort is not None:
        if fault.abort.http2_error is not None:
            yield error(f"{path}.abort.http2Error", "HTTP/2 abort fault injection not supported yet")
        elif fault.abort.http_status is not None and fault.abort.grpc_status is not None:
            yield error(f"{path}.abort", "only one of httpStatus and grpcStatus may be given")
        elif fault.abort.http_status is None and fault.abort.grpc_status is None:
            yield warning(f"{path}.abort", "abort configured, but error type not set: no request is aborted")
        if fault.abort.http_status is not None and not 200 <= fault.abort.http_status <= 599:
            yield error(f"{path}.abort.httpStatus", f"HTTP status {fault.abort.http_status} is not in range 200..599")
        if fault.abort.grpc_status is not None and grpc_code(fault.abort.grpc_status) is None:
            yield error(
                f"{path}.abort.grpcStatus",
                f'gRPC status "{fault.abort.grpc_status}" is not supported: write a name such as NOT_FOUND',
            )
        if fault.abort.percentage is None:
            yield warning(f"{path}.abort.percentage", "without a percentage, no request is aborted")
