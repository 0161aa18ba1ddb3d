"""Rules for the mesh configuration's `extensionProviders`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mesh_lab.controlplane.model.base import Spec
from mesh_lab.controlplane.model.providers import (
    ExtAuthz,
    ExtAuthzHttp,
    ExtensionProvider,
    FileAccessLog,
    Lightstep,
    LogFormat,
    OpenTelemetry,
    OtelAccessLog,
    ServiceProvider,
)
from mesh_lab.controlplane.validation.bounds import bounds
from mesh_lab.controlplane.validation.commands import log_commands
from mesh_lab.controlplane.validation.common import Problem, duration, error, warning
from mesh_lab.controlplane.validation.names import host_name, scoped_host

UNABLE: Mapping[str, str] = {
    "lightstep": "Envoy has no tracer of that name any more: use opentelemetry",
    "opencensus": "Envoy has no tracer of that name any more: use opentelemetry",
    "stackdriver": "Envoy as its project builds it has no such extension: use opentelemetry or envoyOtelAls",
    "sds": "istiod reads certificates from Secrets: use credentialName",
}
"""The kinds of provider that no proxy of this lab can use, and what can be used instead."""

_MOST_PORT = 65535
# Envoy's list, envoy.type.v3.StatusCode.
_STATUSES = frozenset(
    {100, *range(200, 209), 226, *range(300, 306), 307, 308, *range(400, 418), *range(421, 425), 426, 428, 429, 431}
    | {*range(500, 509), 510, 511}
) - {306}


def provider(path: str, spec: ExtensionProvider) -> Iterator[Problem]:
    """Problems of a provider. With an error it cannot be used; the others can."""
    yield from bounds(spec, path)
    if not spec.name:
        yield error(f"{path}.name", "empty extension provider name")
    if len(spec.given) != 1:
        yield error(path, f"exactly one kind of provider must be given, found {', '.join(spec.given) or 'none'}")
    for name, part in spec.given.items():
        yield from _part(f"{path}.{name}", part)
        if name in UNABLE:
            yield warning(f"{path}.{name}", f"no proxy of this lab can use it: {UNABLE[name]}")


def _part(path: str, part: Spec) -> Iterator[Problem]:
    for kind, check in _CHECKS.items():
        if isinstance(part, kind):
            yield from check(path, part)


def _service(path: str, part: ServiceProvider) -> Iterator[Problem]:
    if not 1 <= part.port <= _MOST_PORT:
        yield error(f"{path}.port", f"invalid service port: {part.port} must be in the range 1..{_MOST_PORT}")
    if not part.service:
        yield error(f"{path}.service", "service must not be empty")
    elif "/" in part.service:
        yield from scoped_host(f"{path}.service", part.service, gateway=False)
    elif part.service.startswith("*"):
        yield error(f"{path}.service", f"invalid service fmt {part.service}: a wildcard names no service")
    else:
        yield from host_name(f"{path}.service", part.service, address=True)
    yield from duration(f"{path}.timeout", getattr(part, "timeout", None))


def _ext_authz(path: str, part: ExtAuthz) -> Iterator[Problem]:
    status = part.status_on_error
    if status and not (status.isascii() and status.isdecimal() and len(status) == 3 and int(status) in _STATUSES):
        yield error(f"{path}.statusOnError", f"unsupported statusOnError value {status}")
    body = part.include_request_body_in_check
    if body is not None and not body.max_request_bytes:
        where = f"{path}.includeRequestBodyInCheck.maxRequestBytes"
        yield error(where, "must be more than 0: Envoy takes no other")


def _ext_authz_http(path: str, part: ExtAuthzHttp) -> Iterator[Problem]:
    if part.path_prefix and not part.path_prefix.startswith("/"):
        yield error(f"{path}.pathPrefix", f'pathPrefix should begin with "/" but found "{part.path_prefix}"')
    for name, values in (
        ("includeHeadersInCheck", part.include_headers_in_check),
        ("includeRequestHeadersInCheck", part.include_request_headers_in_check),
        ("headersToUpstreamOnAllow", part.headers_to_upstream_on_allow),
        ("headersToDownstreamOnDeny", part.headers_to_downstream_on_deny),
        ("headersToDownstreamOnAllow", part.headers_to_downstream_on_allow),
    ):
        for index, value in enumerate(values):
            if not value:
                yield error(f"{path}.{name}[{index}]", "empty value not allowed")


def _lightstep(path: str, part: Lightstep) -> Iterator[Problem]:
    if not part.access_token:
        yield error(f"{path}.accessToken", "access token is required")


def _opentelemetry(path: str, part: OpenTelemetry) -> Iterator[Problem]:
    if part.http is not None and part.grpc is not None:
        yield error(path, "OpenTelemetryTracingProvider cannot specify both grpc and http")
    for name in ("http", "grpc"):
        settings = getattr(part, name)
        yield from duration(f"{path}.{name}.timeout", settings.timeout if settings is not None else None)


def _file(path: str, part: FileAccessLog) -> Iterator[Problem]:
    yield from _format(f"{path}.logFormat", part.log_format)
    if part.log_format is not None and part.log_format.text is not None and part.log_format.labels is not None:
        yield error(f"{path}.logFormat", "only one of text and labels may be given")


def _otel_log(path: str, part: OtelAccessLog) -> Iterator[Problem]:
    yield from _format(f"{path}.logFormat", part.log_format)


def _format(path: str, given: LogFormat | None) -> Iterator[Problem]:
    if given is None:
        return
    if given.text is not None:
        yield from log_commands(f"{path}.text", given.text)
    yield from _labels(f"{path}.labels", given.labels)


def _labels(path: str, value: Any) -> Iterator[Problem]:
    if isinstance(value, str):
        yield from log_commands(path, value)
    elif isinstance(value, dict):
        for name, part in value.items():
            yield from _labels(f"{path}[{name}]", part)
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from _labels(f"{path}[{index}]", part)


_CHECKS: Mapping[type[Spec], Callable[[str, Any], Iterator[Problem]]] = {
    ServiceProvider: _service,
    ExtAuthz: _ext_authz,
    ExtAuthzHttp: _ext_authz_http,
    Lightstep: _lightstep,
    OpenTelemetry: _opentelemetry,
    FileAccessLog: _file,
    OtelAccessLog: _otel_log,
}
"""What holds of each kind, and of all that are like it."""
