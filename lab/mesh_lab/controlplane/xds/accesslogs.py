"""Access logs: what Telemetry and the mesh's settings say, as Envoy's access loggers.

https://istio.io/latest/docs/tasks/observability/logs/
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from envoy.config.accesslog.v3.accesslog_pb2 import AccessLog, AccessLogFilter, AndFilter, ExtensionFilter
from envoy.config.core.v3.config_source_pb2 import ApiVersion
from envoy.config.core.v3.grpc_service_pb2 import GrpcService
from envoy.extensions.access_loggers.file.v3.file_pb2 import FileAccessLog as FileLog
from envoy.extensions.access_loggers.filters.cel.v3.cel_pb2 import ExpressionFilter
from envoy.extensions.access_loggers.grpc.v3.als_pb2 import (
    CommonGrpcAccessLogConfig,
    HttpGrpcAccessLogConfig,
    TcpGrpcAccessLogConfig,
)
from envoy.extensions.access_loggers.open_telemetry.v3.logs_service_pb2 import OpenTelemetryAccessLogConfig
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue, KeyValueList

from mesh_lab.controlplane.model.providers import (
    ExtensionProvider,
    FileAccessLog,
    HttpAccessLog,
    OtelAccessLog,
    TcpAccessLog,
)
from mesh_lab.controlplane.validation.cel import unable
from mesh_lab.controlplane.world.meshconfig import MeshConfig
from mesh_lab.controlplane.xds.built import any_of
from mesh_lab.controlplane.xds.logformat import DEFAULT_FORMAT, formatters, log_format, own_format
from mesh_lab.controlplane.xds.memo import memoised
from mesh_lab.controlplane.xds.telemetries import Applied, Mode, concerns, fetch, named

_BUILT_IN = "envoy"
_PEERS = ("upstream_peer", "downstream_peer")
_CEL = "envoy.access_loggers.extension_filters.cel"


class Choice(NamedTuple):
    """What is said of one provider: that it logs nothing, or what `expression` is true for, or all."""

    disabled: bool = False
    expression: str | None = None


@memoised
def choices(applied: Applied, mesh: MeshConfig, mode: Mode) -> tuple[tuple[str, Choice], ...]:
    """The providers in use, by name, as Istio merges the resources (`mergeLogs` in pilot/pkg/model/telemetry.go)."""
    levels = [config.spec.access_logging for config in applied.levels if config.spec.access_logging]
    inherited = list(mesh.default_providers.access_logging)
    if not levels:
        return tuple((name, Choice()) for name in sorted(inherited))
    in_scope = inherited
    said: dict[str, Choice] = {}
    for parts in levels:
        here: list[str] = []
        for part in parts:
            if concerns(part.match, mode):
                expression = part.filter.expression if part.filter is not None else None
                here += named(part.providers)
                said.update({name: Choice(expression=expression) for name in named(part.providers)})
        in_scope = here or in_scope
    found: dict[str, Choice] = {}
    for part in (part for parts in levels for part in parts):
        inherited = named(part.providers) or inherited
        for name in inherited:
            if name in in_scope and concerns(part.match, mode):
                found[name] = Choice(disabled=True) if part.disabled else said.get(name, Choice())
    return tuple(sorted(found.items()))


def loggers(applied: Applied, mesh: MeshConfig, mode: Mode, only: AccessLogFilter | None = None) -> Iterator[AccessLog]:
    """The loggers of a listener's side. Without any provider that can be used, the mesh's `accessLogFile` holds.

    `only` limits them all.
    """
    usable = [(log, said) for name, said in choices(applied, mesh, mode) if (log := _of(name, applied, mesh))]
    if not usable and mesh.access_log_file:
        usable = [(_file(mesh.access_log_file, log_format(mesh)), Choice())]
    for log, said in usable:
        if said.disabled:
            continue
        filters = [each for each in (only, _expression(said.expression)) if each is not None]
        if filters:
            log.filter.CopyFrom(filters[0] if len(filters) == 1 else _all(filters))
        yield log


def _all(filters: list[AccessLogFilter]) -> AccessLogFilter:
    return AccessLogFilter(and_filter=AndFilter(filters=filters))


def _expression(text: str | None) -> AccessLogFilter | None:
    """One that Envoy cannot compute would take the listener with it: it is left out, and reported."""
    if text is None or unable(text):
        return None
    extension = ExtensionFilter(name=_CEL, typed_config=any_of(ExpressionFilter(expression=text)))
    return AccessLogFilter(extension_filter=extension)


def _of(name: str, applied: Applied, mesh: MeshConfig) -> AccessLog | None:
    """The logger of a provider; None of one that does not exist, does not log, or whose service does not exist."""
    provider = fetch(mesh, name)
    if provider is None:
        return None
    if provider.envoy_file_access_log is not None:
        return _file_of(provider, provider.envoy_file_access_log, mesh)
    for kind, make in _REMOTE.items():
        part: Any = getattr(provider, kind)
        if part is not None:
            place = applied.cluster(part)
            return make(part, *place) if place is not None else None
    return None


def _file_of(provider: ExtensionProvider, part: FileAccessLog, mesh: MeshConfig) -> AccessLog:
    """Istio's own provider goes by the mesh's settings."""
    path = part.path or "/dev/stdout"
    if provider.name == _BUILT_IN and part.log_format is None and not part.omit_empty_values:
        return _file(path, log_format(mesh))
    return _file(path, own_format(part.log_format, omit_empty=part.omit_empty_values))


def _file(path: str, form: Any) -> AccessLog:
    log = FileLog(path=path, log_format=form)
    return AccessLog(name="envoy.access_loggers.file", typed_config=any_of(log))


def _otel(part: OtelAccessLog, host: str, cluster: str) -> AccessLog:
    given = part.log_format
    text = given.text if given is not None and given.text else DEFAULT_FORMAT
    labels = given.labels if given is not None and given.labels else {}
    attributes = [KeyValue(key=name, value=AnyValue(string_value=str(labels[name]))) for name in sorted(labels)]
    config = OpenTelemetryAccessLogConfig(
        common_config=_common(part.log_name or "otel_envoy_accesslog", host, cluster),
        disable_builtin_labels=True,
        body=AnyValue(string_value=text),
        formatters=formatters(text, *map(str, labels.values())),
    )
    if attributes:
        config.attributes.CopyFrom(KeyValueList(values=attributes))
    return AccessLog(name="envoy.access_loggers.open_telemetry", typed_config=any_of(config))


def _http(part: HttpAccessLog, host: str, cluster: str) -> AccessLog:
    config = HttpGrpcAccessLogConfig(
        common_config=_common(part.log_name or "http_envoy_accesslog", host, cluster, part.filter_state_objects_to_log),
        additional_request_headers_to_log=part.additional_request_headers_to_log,
        additional_response_headers_to_log=part.additional_response_headers_to_log,
        additional_response_trailers_to_log=part.additional_response_trailers_to_log,
    )
    return AccessLog(name="envoy.access_loggers.http_grpc", typed_config=any_of(config))


def _tcp(part: TcpAccessLog, host: str, cluster: str) -> AccessLog:
    named_log = part.log_name or "tcp_envoy_accesslog"
    config = TcpGrpcAccessLogConfig(common_config=_common(named_log, host, cluster, part.filter_state_objects_to_log))
    return AccessLog(name="envoy.access_loggers.tcp_grpc", typed_config=any_of(config))


def _common(name: str, host: str, cluster: str, state: list[str] | None = None) -> CommonGrpcAccessLogConfig:
    service = GrpcService(envoy_grpc=GrpcService.EnvoyGrpc(cluster_name=cluster, authority=host))
    return CommonGrpcAccessLogConfig(
        log_name=name,
        grpc_service=service,
        transport_api_version=ApiVersion.V3,
        filter_state_objects_to_log=state or _PEERS,
    )


_REMOTE: Mapping[str, Callable[[Any, str, str], AccessLog]] = {
    "envoy_otel_als": _otel,
    "envoy_http_als": _http,
    "envoy_tcp_als": _tcp,
}
