"""Tracing: what Telemetry and the mesh's settings say of spans, as a part of the HTTP connection manager.

https://istio.io/latest/docs/tasks/observability/distributed-tracing/
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from envoy.config.core.v3.base_pb2 import HeaderValue, HeaderValueOption
from envoy.config.core.v3.extension_pb2 import TypedExtensionConfig
from envoy.config.core.v3.grpc_service_pb2 import GrpcService
from envoy.config.core.v3.http_service_pb2 import HttpService
from envoy.config.core.v3.http_uri_pb2 import HttpUri
from envoy.config.trace.v3.datadog_pb2 import DatadogConfig
from envoy.config.trace.v3.http_tracer_pb2 import Tracing as Tracer
from envoy.config.trace.v3.opentelemetry_pb2 import OpenTelemetryConfig
from envoy.config.trace.v3.skywalking_pb2 import SkyWalkingConfig
from envoy.config.trace.v3.zipkin_pb2 import ZipkinConfig
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)
from envoy.extensions.request_id.uuid.v3.uuid_pb2 import UuidRequestIdConfig
from envoy.extensions.tracers.opentelemetry.resource_detectors.v3.environment_resource_detector_pb2 import (
    EnvironmentResourceDetectorConfig,
)
from envoy.type.metadata.v3.metadata_pb2 import MetadataKey, MetadataKind
from envoy.type.tracing.v3.custom_tag_pb2 import CustomTag as Tag

from mesh_lab.controlplane.model.meshproxy import ProxyTracing
from mesh_lab.controlplane.model.providers import (
    Datadog,
    ExtensionProvider,
    HttpHeader,
    OpenTelemetry,
    SkyWalking,
    Zipkin,
)
from mesh_lab.controlplane.model.telemetry import CustomTag, Telemetry
from mesh_lab.controlplane.model.telemetry import Tracing as Part
from mesh_lab.controlplane.world.kubernetes import ObjectKey
from mesh_lab.controlplane.world.meshconfig import MeshConfig
from mesh_lab.controlplane.world.snapshot import Config, Table
from mesh_lab.controlplane.xds.built import any_of
from mesh_lab.controlplane.xds.durations import duration
from mesh_lab.controlplane.xds.memo import memoised
from mesh_lab.controlplane.xds.peers import FIELDS, SEPARATOR, Own
from mesh_lab.controlplane.xds.telemetries import Applied, Mode, concerns, fetch, named

BUILT_IN_CLUSTER = "zipkin"
"""The cluster of `defaultConfig.tracing.zipkin`."""

_ADDRESS = re.compile(r"[^:/]+:[0-9]{1,5}")
SPANS_PATH = "/api/v2/spans"
_SAMPLED = 1.0
_RBAC = "envoy.filters.http.rbac"
# What a dry run of AuthorizationPolicies leaves for a request, by the tags that Istio gives spans.
_DRY_RUNS = {
    f"istio.authorization.dry_run.{action}_policy.{what}": f"istio_dry_run_{action}_shadow_{key}"
    for action in ("allow", "deny")
    for what, key in (("name", "effective_policy_id"), ("result", "engine_result"))
}


@dataclass(frozen=True)
class Spans:
    """What is said of one side's spans. Without a provider that exists they are not reported."""

    provider: ExtensionProvider | None = None
    disabled: bool = False
    sampling: float | None = None
    custom_tags: Mapping[str, CustomTag] = field(default_factory=dict)
    by_request_id: bool = True
    istio_tags: bool = True


def spans(applied: Applied, mesh: MeshConfig, mode: Mode) -> Spans | None:
    """What the resources and the mesh's `defaultProviders` say; None where they say nothing at all."""
    parts = [part for config in applied.levels for part in config.spec.tracing]
    default = next(iter(mesh.default_providers.tracing), None)
    if not parts and default is None:
        return None
    found = Spans(fetch(mesh, default) if default is not None else None)
    for part in parts:
        if concerns(part.match, mode):
            found = _overlay(found, part, mesh)
    return found


def _overlay(spans: Spans, part: Part, mesh: MeshConfig) -> Spans:
    said: dict[str, Any] = {
        "disabled": part.disable_span_reporting,
        "custom_tags": part.custom_tags or None,
        "sampling": part.random_sampling_percentage,
        "by_request_id": part.use_request_id_for_trace_sampling,
        "istio_tags": part.enable_istio_tags,
    }
    if part.providers:
        spans = replace(spans, provider=fetch(mesh, named(part.providers)[0]))
    return replace(spans, **{name: value for name, value in said.items() if value is not None})


def built_in(mesh: MeshConfig) -> str:
    """The address of the mesh's own tracer, `defaultConfig.tracing.zipkin`, where it is on; empty otherwise."""
    own = mesh.default_config.tracing
    address = own.zipkin.address if mesh.enable_tracing and own is not None and own.zipkin is not None else ""
    return address if _ADDRESS.fullmatch(address) else ""


@memoised
def is_on(telemetries: Table[ObjectKey, Config[Telemetry]], mesh: MeshConfig) -> bool:
    """Whether any proxy may report spans, so that routes have to say what their spans are called."""
    if mesh.default_providers.tracing or built_in(mesh):
        return True
    return any(config.spec.tracing for config in telemetries.values())


def trace(manager: HttpConnectionManager, applied: Applied, mesh: MeshConfig, own: Own, *, side: str) -> None:
    """Put what is said of spans into a connection manager; nothing where none are reported."""
    said = spans(applied, mesh, "SERVER" if side == "inbound" else "CLIENT")
    settings = mesh.default_config.tracing or ProxyTracing()
    if said is None:
        if address := built_in(mesh):
            tracer = _zipkin(Zipkin(), address.rpartition(":")[0], BUILT_IN_CLUSTER, own)
            said = Spans(istio_tags=settings.enable_istio_tags is not False)
            _fill(manager.tracing, said, tracer, mesh, own)
            manager.tracing.max_path_tag_length.value = settings.max_path_tag_length or 256
        return
    tracer = _tracer(said.provider, applied, own) if said.provider is not None and not said.disabled else None
    if tracer is None or said.provider is None:
        return
    _fill(manager.tracing, said, tracer, mesh, own)
    length = next((getattr(part, "max_tag_length", 0) for part in said.provider.given.values()), 0)
    if length or settings.max_path_tag_length:
        manager.tracing.max_path_tag_length.value = length or settings.max_path_tag_length
    if side == "gateway" or said.provider.skywalking is not None:
        manager.tracing.spawn_upstream_span.value = True
    if not said.by_request_id:
        config = UuidRequestIdConfig(use_request_id_for_trace_sampling={"value": False})
        manager.request_id_extension.typed_config.CopyFrom(any_of(config))


def _fill(tracing: HttpConnectionManager.Tracing, said: Spans, tracer: Tracer.Http, mesh: MeshConfig, own: Own) -> None:
    settings = mesh.default_config.tracing or ProxyTracing()
    tracing.client_sampling.value = tracing.overall_sampling.value = 100.0
    tracing.random_sampling.value = said.sampling if said.sampling is not None else settings.sampling or _SAMPLED
    tracing.provider.CopyFrom(tracer)
    given: Mapping[str, Any] = said.custom_tags or settings.custom_tags
    tags = [*(_istio_tags(own, mesh) if said.istio_tags else ()), *_custom_tags(given)]
    tracing.custom_tags.extend(sorted(tags, key=lambda tag: tag.tag))


def _istio_tags(own: Own, mesh: MeshConfig) -> Iterator[Tag]:
    fields = dict(zip(FIELDS, own.packed.split(SEPARATOR), strict=False))
    yield from (
        Tag(tag=f"istio.{name}", literal=Tag.Literal(value=value or "unknown"))
        for name, value in (
            ("canonical_revision", fields.get("canonical_revision", "")),
            ("canonical_service", fields.get("canonical_service", "")),
            ("mesh_id", mesh.default_config.mesh_id or mesh.trust_domain),
            ("namespace", fields.get("workload_namespace", "")),
            ("cluster_id", "Kubernetes"),
        )
    )
    for name, key in _DRY_RUNS.items():
        path = [MetadataKey.PathSegment(key=key)]
        kind = MetadataKind(request=MetadataKind.Request())
        yield Tag(tag=name, metadata=Tag.Metadata(kind=kind, metadata_key=MetadataKey(key=_RBAC, path=path)))


def _custom_tags(given: Mapping[str, Any]) -> Iterator[Tag]:
    """Of a tag that says nothing there is nothing to make."""
    for name, tag in given.items():
        if tag.literal is not None and tag.literal.value:
            yield Tag(tag=name, literal=Tag.Literal(value=tag.literal.value))
        elif tag.environment is not None and tag.environment.name:
            variable = Tag.Environment(name=tag.environment.name, default_value=tag.environment.default_value)
            yield Tag(tag=name, environment=variable)
        elif tag.header is not None and tag.header.name:
            header = Tag.Header(name=tag.header.name, default_value=tag.header.default_value)
            yield Tag(tag=name, request_header=header)
        elif getattr(tag, "formatter", None) is not None:
            yield Tag(tag=name, value=tag.formatter.value)


def service_of(own: Own) -> str:
    """The name of a workload's spans: its app, or else what runs it, and its namespace."""
    fields = dict(zip(FIELDS, own.packed.split(SEPARATOR), strict=False))
    return f"{fields.get('app') or fields.get('workload')}.{fields.get('workload_namespace')}"


def _tracer(provider: ExtensionProvider, applied: Applied, own: Own) -> Tracer.Http | None:
    """None of a provider that does not trace, or whose service does not exist."""
    for kind, make in _TRACERS.items():
        part: Any = getattr(provider, kind)
        if part is not None:
            place = applied.cluster(part)
            return make(part, *place, own) if place is not None else None
    return None


def _zipkin(part: Zipkin, host: str, cluster: str, own: Own) -> Tracer.Http:
    del own  # Envoy tells Zipkin the name that its node has in the bootstrap
    uri = HttpUri(
        uri=f"http://{host}{part.path or SPANS_PATH}", cluster=cluster, timeout=duration(part.timeout or "5s")
    )
    config = ZipkinConfig(
        collector_endpoint_version=ZipkinConfig.HTTP_JSON,
        trace_id_128bit=not part.enable_64bit_trace_id,
        shared_span_context={"value": False},
        collector_service=HttpService(http_uri=uri, request_headers_to_add=_headers(part.headers)),
        trace_context_option=ZipkinConfig.TraceContextOption.Value(part.trace_context_option),
    )
    return Tracer.Http(name="envoy.tracers.zipkin", typed_config=any_of(config))


def _opentelemetry(part: OpenTelemetry, host: str, cluster: str, own: Own) -> Tracer.Http:
    config = OpenTelemetryConfig(service_name=service_of(own), resource_detectors=_detectors(part))
    if part.http is not None:
        uri = HttpUri(
            uri=f"{host}/{part.http.path.lstrip('/')}", cluster=cluster, timeout=duration(part.http.timeout or "5s")
        )
        service = HttpService(http_uri=uri, request_headers_to_add=_headers(part.http.headers))
        config.http_service.CopyFrom(service)
    else:
        config.grpc_service.CopyFrom(_grpc(host, cluster))
        if part.grpc is not None:
            if part.grpc.timeout is not None:
                config.grpc_service.timeout.CopyFrom(duration(part.grpc.timeout))
            metadata = (HeaderValue(key=each.name, value=_value(each)) for each in part.grpc.initial_metadata)
            config.grpc_service.initial_metadata.extend(metadata)
    return Tracer.Http(name="envoy.tracers.opentelemetry", typed_config=any_of(config))


def _detectors(part: OpenTelemetry) -> list[TypedExtensionConfig]:
    """Dynatrace's finds nothing outside Dynatrace's own agents."""
    by_convention = part.service_attribute_enrichment == "OTEL_SEMANTIC_CONVENTIONS"
    wanted = part.resource_detectors is not None and part.resource_detectors.environment is not None
    if not (wanted or by_convention):
        return []
    name = "envoy.tracers.opentelemetry.resource_detectors.environment"
    return [TypedExtensionConfig(name=name, typed_config=any_of(EnvironmentResourceDetectorConfig()))]


def _skywalking(part: SkyWalking, host: str, cluster: str, own: Own) -> Tracer.Http:
    del part, own
    config = SkyWalkingConfig(grpc_service=_grpc(host, cluster))
    return Tracer.Http(name="envoy.tracers.skywalking", typed_config=any_of(config))


def _datadog(part: Datadog, host: str, cluster: str, own: Own) -> Tracer.Http:
    del part
    config = DatadogConfig(collector_cluster=cluster, service_name=service_of(own), collector_hostname=host)
    return Tracer.Http(name="envoy.tracers.datadog", typed_config=any_of(config))


def _grpc(host: str, cluster: str) -> GrpcService:
    return GrpcService(envoy_grpc=GrpcService.EnvoyGrpc(cluster_name=cluster, authority=host))


def _headers(headers: Iterable[HttpHeader]) -> list[HeaderValueOption]:
    return [
        HeaderValueOption(
            header=HeaderValue(key=header.name, value=_value(header)),
            append_action=HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD,
        )
        for header in headers
    ]


def _value(header: HttpHeader) -> str:
    """In Istio a variable is one of istiod's environment, which the lab's has not."""
    return header.value or ""


_TRACERS: Mapping[str, Callable[[Any, str, str, Own], Tracer.Http]] = {
    "zipkin": _zipkin,
    "datadog": _datadog,
    "skywalking": _skywalking,
    "opentelemetry": _opentelemetry,
}
