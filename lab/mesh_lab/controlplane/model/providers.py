"""The mesh configuration's `extensionProviders`: what authorises requests, traces, counts and logs outside the proxies.

https://istio.io/latest/docs/reference/config/istio.mesh.v1alpha1/#MeshConfig-ExtensionProvider
"""

from __future__ import annotations

from typing import Literal

from msgspec import field, structs

from mesh_lab.controlplane.model.base import Duration, FreeText, HeaderName, HeaderValue, JsonObject, Spec, UInt32


class ServiceProvider(Spec, frozen=True):
    """A provider that is a service, `HOST` or `NAMESPACE/HOST`, and one of its ports."""

    service: str = ""
    port: UInt32 = 0


class RequestBody(Spec, frozen=True):
    """How much of a request's body an authoriser gets."""

    max_request_bytes: UInt32 = 0
    allow_partial_message: bool = False
    pack_as_bytes: bool = False


class ExtAuthz(ServiceProvider, frozen=True):
    """What both kinds of authoriser have."""

    timeout: Duration | None = None
    fail_open: bool = False
    clear_route_cache: bool = False
    status_on_error: str = ""
    include_request_body_in_check: RequestBody | None = None


class ExtAuthzHttp(ExtAuthz, frozen=True):
    """An authoriser that is asked by HTTP. Names of headers may begin or end with `*`."""

    path_prefix: str = ""
    include_headers_in_check: list[str] = []
    include_request_headers_in_check: list[str] = []
    include_additional_headers_in_check: dict[HeaderName, HeaderValue] = {}
    headers_to_upstream_on_allow: list[str] = []
    headers_to_downstream_on_deny: list[str] = []
    headers_to_downstream_on_allow: list[str] = []


class ExtAuthzGrpc(ExtAuthz, frozen=True):
    """An authoriser that is asked by Envoy's protocol over gRPC."""


class HttpHeader(Spec, frozen=True):
    """A header, whose value is given or is that of a variable of the proxy's environment."""

    name: HeaderName
    value: HeaderValue | None = None
    env_name: str | None = None


class HttpService(Spec, frozen=True):
    """How a provider is called by HTTP."""

    path: str = ""
    timeout: Duration | None = None
    headers: list[HttpHeader] = []


class GrpcService(Spec, frozen=True):
    """How a provider is called by gRPC."""

    timeout: Duration | None = None
    initial_metadata: list[HttpHeader] = []


class Tracer(ServiceProvider, frozen=True):
    """What all tracers have; `maxTagLength` 0 is Envoy's own limit."""

    max_tag_length: UInt32 = 0


class Zipkin(Tracer, frozen=True):
    """Zipkin, or what speaks its protocol, such as Jaeger."""

    enable_64bit_trace_id: bool = field(default=False, name="enable64bitTraceId")
    path: str = ""
    trace_context_option: Literal["USE_B3", "USE_B3_WITH_W3C_PROPAGATION"] = "USE_B3"
    timeout: Duration | None = None
    headers: list[HttpHeader] = []


class Lightstep(Tracer, frozen=True):
    """Lightstep."""

    access_token: str = ""


class Datadog(Tracer, frozen=True):
    """Datadog."""


class SkyWalking(ServiceProvider, frozen=True):
    """Apache SkyWalking."""

    access_token: str = ""


class StackdriverLogging(Spec, frozen=True):
    """Labels of log entries."""

    labels: dict[str, str] = {}


class Stackdriver(Spec, frozen=True):
    """Google's Cloud Monitoring, Logging and Trace."""

    debug: bool = False
    max_number_of_attributes: int | None = None
    max_number_of_annotations: int | None = None
    max_number_of_message_events: int | None = None
    max_tag_length: UInt32 = 0
    logging: StackdriverLogging | None = None


class OpenCensus(Tracer, frozen=True):
    """The agent of OpenCensus."""

    context: list[Literal["UNSPECIFIED", "W3C_TRACE_CONTEXT", "GRPC_BIN", "CLOUD_TRACE_CONTEXT", "B3"]] = []


class _Empty(Spec, frozen=True):
    """A choice without settings."""


class ResourceDetectors(Spec, frozen=True):
    """What spans say of where they come from."""

    environment: _Empty | None = None
    dynatrace: _Empty | None = None


class DynatraceApi(ServiceProvider, frozen=True):
    """Where Dynatrace's sampling is configured."""

    http: HttpService | None = None


class DynatraceSampler(Spec, frozen=True):
    """Dynatrace's own sampling."""

    tenant: str = ""
    cluster_id: int = 0
    root_spans_per_minute: UInt32 = 0
    http_service: DynatraceApi | None = None


class OpenTelemetry(Tracer, frozen=True):
    """A collector of OpenTelemetry: by gRPC, or with `http` by HTTP."""

    http: HttpService | None = None
    grpc: GrpcService | None = None
    resource_detectors: ResourceDetectors | None = None
    service_attribute_enrichment: Literal["ISTIO_CANONICAL", "OTEL_SEMANTIC_CONVENTIONS"] = "ISTIO_CANONICAL"
    dynatrace_sampler: DynatraceSampler | None = None


class Prometheus(Spec, frozen=True):
    """Metrics that Prometheus fetches from the proxies."""


class LogFormat(Spec, frozen=True):
    """A line of text, or a JSON object, with Envoy's commands."""

    text: FreeText | None = None
    labels: JsonObject | None = None


class FileAccessLog(Spec, frozen=True):
    """Lines in a file, such as /dev/stdout."""

    path: str = ""
    log_format: LogFormat | None = None
    omit_empty_values: bool = False


class OtelAccessLog(ServiceProvider, frozen=True):
    """Log records in OpenTelemetry's protocol."""

    log_name: str = ""
    log_format: LogFormat | None = None


class TcpAccessLog(ServiceProvider, frozen=True):
    """Envoy's access log service, for connections."""

    log_name: str = ""
    filter_state_objects_to_log: list[str] = []


class HttpAccessLog(TcpAccessLog, frozen=True):
    """Envoy's access log service, for requests."""

    additional_request_headers_to_log: list[str] = []
    additional_response_headers_to_log: list[str] = []
    additional_response_trailers_to_log: list[str] = []


class SdsProvider(ServiceProvider, frozen=True):
    """A source of certificates, by Envoy's secret discovery service."""

    name: str = ""


class ExtensionProvider(Spec, frozen=True):
    """A provider under the name by which Telemetry, AuthorizationPolicy and `defaultProviders` refer to it.

    Exactly one of the others is given.
    """

    name: str = ""
    envoy_ext_authz_http: ExtAuthzHttp | None = None
    envoy_ext_authz_grpc: ExtAuthzGrpc | None = None
    zipkin: Zipkin | None = None
    lightstep: Lightstep | None = None
    datadog: Datadog | None = None
    stackdriver: Stackdriver | None = None
    opencensus: OpenCensus | None = None
    skywalking: SkyWalking | None = None
    opentelemetry: OpenTelemetry | None = None
    prometheus: Prometheus | None = None
    envoy_file_access_log: FileAccessLog | None = None
    envoy_http_als: HttpAccessLog | None = None
    envoy_tcp_als: TcpAccessLog | None = None
    envoy_otel_als: OtelAccessLog | None = None
    sds: SdsProvider | None = None

    @property
    def given(self) -> dict[str, Spec]:
        """The kinds that are given, by Istio's names of them: one, of a provider that passes the checks."""
        parts = ((each.encode_name, getattr(self, each.name)) for each in structs.fields(type(self))[1:])
        return {name: part for name, part in parts if part is not None}


_COLLECTOR = "opentelemetry-collector.observability.svc.cluster.local"

# Istio writes these into the ConfigMap `istio`. Its pages have the user put a list of providers in there by hand, and
# a second list beside the first would be a key given twice.
_OF_PROFILE_DEMO = (
    ExtensionProvider(name="otel", envoy_otel_als=OtelAccessLog(service=_COLLECTOR, port=4317)),
    ExtensionProvider(
        name="skywalking", skywalking=SkyWalking(service="tracing.istio-system.svc.cluster.local", port=11800)
    ),
    ExtensionProvider(name="otel-tracing", opentelemetry=OpenTelemetry(service=_COLLECTOR, port=4317)),
    ExtensionProvider(
        name="jaeger", opentelemetry=OpenTelemetry(service="jaeger-collector.istio-system.svc.cluster.local", port=4317)
    ),
)

BUILT_IN = (
    ExtensionProvider(name="prometheus", prometheus=Prometheus()),
    ExtensionProvider(name="stackdriver", stackdriver=Stackdriver()),
    ExtensionProvider(name="envoy", envoy_file_access_log=FileAccessLog(path="/dev/stdout")),
    *_OF_PROFILE_DEMO,
)
"""Istio's own and those of its profile demo, each of which one of the same name replaces."""
