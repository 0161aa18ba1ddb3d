"""The settings of proxies: `defaultConfig` of the mesh configuration, and a pod's annotation `proxy.istio.io/config`.

https://istio.io/latest/docs/reference/config/istio.mesh.v1alpha1/#ProxyConfig
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from mesh_lab.controlplane.model.base import Duration, FreeText, Int32, PercentValue, Spec, UInt32, Weight
from mesh_lab.controlplane.model.destinationrule import ClientTLSSettings, TcpKeepalive
from mesh_lab.controlplane.model.proxyconfig import ProxyImage

ForwardClientCert = Literal[
    "UNDEFINED", "SANITIZE", "FORWARD_ONLY", "APPEND_FORWARD", "SANITIZE_SET", "ALWAYS_FORWARD_ONLY"
]


class Address(Spec, frozen=True):
    """`HOST:PORT`."""

    address: str = ""


class LightstepCollector(Address, frozen=True):
    """Lightstep's collector."""

    access_token: str = ""


class StackdriverTracing(Spec, frozen=True):
    """Google's Cloud Trace."""

    debug: bool = False
    max_number_of_attributes: int | None = None
    max_number_of_annotations: int | None = None
    max_number_of_message_events: int | None = None


class OpenCensusAgent(Address, frozen=True):
    """The agent of OpenCensus."""

    context: list[Literal["UNSPECIFIED", "W3C_TRACE_CONTEXT", "GRPC_BIN", "CLOUD_TRACE_CONTEXT", "B3"]] = []


class LiteralTag(Spec, frozen=True):
    """A value that is the same for all spans."""

    value: str = ""


class NamedTag(Spec, frozen=True):
    """The value of a variable of the environment, or of a header."""

    name: str = ""
    default_value: str = ""


class CustomTag(Spec, frozen=True):
    """A tag of a span: exactly one of the three."""

    literal: LiteralTag | None = None
    environment: NamedTag | None = None
    header: NamedTag | None = None


class ProxyTracing(Spec, frozen=True):
    """Where spans go, where no Telemetry and no `defaultProviders` say so."""

    zipkin: Address | None = None
    lightstep: LightstepCollector | None = None
    datadog: Address | None = None
    stackdriver: StackdriverTracing | None = None
    open_census_agent: OpenCensusAgent | None = None
    custom_tags: dict[str, CustomTag] = {}
    max_path_tag_length: UInt32 = 0
    sampling: PercentValue | None = None
    tls_settings: ClientTLSSettings | None = None
    enable_istio_tags: bool | None = None


class _Empty(Spec, frozen=True):
    """A choice without settings."""


class Topology(Spec, frozen=True):
    """What stands before a gateway."""

    num_trusted_proxies: UInt32 = 0
    forward_client_cert_details: ForwardClientCert = "UNDEFINED"
    proxy_protocol: _Empty | None = None


class PollDelay(Spec, frozen=True):
    """An accelerator of TLS."""

    poll_delay: Duration | None = None
    fallback: bool | None = None


class PrivateKeyProvider(Spec, frozen=True):
    """What computes with private keys."""

    cryptomb: PollDelay | None = None
    qat: PollDelay | None = None


class RemoteService(Address, frozen=True):
    """A service outside the mesh that a proxy reports to."""

    tls_settings: ClientTLSSettings | None = None
    tcp_keepalive: TcpKeepalive | None = None


class ProxyStatsMatcher(Spec, frozen=True):
    """Statistics that are kept beside Istio's own, by their names."""

    inclusion_prefixes: list[str] = []
    inclusion_suffixes: list[str] = []
    inclusion_regexps: list[FreeText] = []


class ProbeHeader(Spec, frozen=True):
    """A header of a probe."""

    name: str = ""
    value: str = ""


class HttpGet(Spec, frozen=True):
    """A probe by HTTP."""

    port: UInt32
    path: str = ""
    host: str = ""
    scheme: str = ""
    http_headers: list[ProbeHeader] = []


class TcpSocket(Spec, frozen=True):
    """A probe that connects."""

    port: UInt32
    host: str = ""


class Exec(Spec, frozen=True):
    """A probe that runs a command."""

    command: list[FreeText] = []


class GrpcProbe(Spec, frozen=True):
    """A probe by gRPC's health protocol."""

    port: UInt32 = 0
    service: str = ""


class ReadinessProbe(Spec, frozen=True):
    """Whether a workload outside Kubernetes is ready; times are in seconds."""

    initial_delay_seconds: Weight = 0
    timeout_seconds: Weight = 0
    period_seconds: Weight = 0
    success_threshold: Weight = 0
    failure_threshold: Weight = 0
    http_get: HttpGet | None = None
    tcp_socket: TcpSocket | None = None
    exec: Exec | None = None
    grpc: GrpcProbe | None = None


class Disabled(Spec, frozen=True):
    """Something that is on unless it is disabled."""

    disabled: bool | None = None


class Enabled(Spec, frozen=True):
    """Something that is off unless it is enabled."""

    enabled: bool | None = None


class ServerHeader(Disabled, frozen=True):
    """The header `server`."""

    value: str = ""


class CertDetails(Spec, frozen=True):
    """What of a client's certificate is forwarded."""

    subject: bool | None = None
    cert: bool | None = None
    chain: bool | None = None
    dns: bool | None = None
    uri: bool | None = None


class MetadataExchange(Spec, frozen=True):
    """Whether headers with a workload's name leave the mesh."""

    mode: Literal["UNDEFINED", "IN_MESH"] = "UNDEFINED"


class ProxyHeaders(Spec, frozen=True):
    """The headers that proxies add."""

    forwarded_client_cert: ForwardClientCert = "UNDEFINED"
    set_current_client_cert_details: CertDetails | None = None
    request_id: Disabled | None = None
    server: ServerHeader | None = None
    attempt_count: Disabled | None = None
    envoy_debug_headers: Disabled | None = None
    metadata_exchange_headers: MetadataExchange | None = None
    preserve_http1_header_case: bool | None = None
    x_forwarded_host: Enabled | None = None
    x_forwarded_port: Enabled | None = None


_Positive = Annotated[int, Meta(ge=1, le=2147483647)]
_Window = Annotated[int, Meta(ge=65535, le=2147483647)]


class ConnectionSettings(Spec, frozen=True):
    """Limits and times of a proxy's connections."""

    profile: Literal["SIDECAR", "EDGE"] = "SIDECAR"
    listener_per_connection_buffer_limit_bytes: Weight | None = None
    cluster_per_connection_buffer_limit_bytes: Weight | None = None
    http_idle_timeout: Duration | None = None
    http_max_connection_duration: Duration | None = None
    http_drain_timeout: Duration | None = None
    http_request_timeout: Duration | None = None
    http_request_headers_timeout: Duration | None = None
    http_stream_idle_timeout: Duration | None = None
    http_max_stream_duration: Duration | None = None
    http_max_concurrent_streams: _Positive | None = None
    http2_initial_stream_window_size: _Window | None = None
    http2_initial_connection_window_size: _Window | None = None
    http_headers_with_underscores_action: Literal[
        "HEADERS_WITH_UNDERSCORES_UNSPECIFIED",
        "HEADERS_WITH_UNDERSCORES_ALLOW",
        "HEADERS_WITH_UNDERSCORES_REJECT_REQUEST",
        "HEADERS_WITH_UNDERSCORES_DROP_HEADER",
    ] = "HEADERS_WITH_UNDERSCORES_UNSPECIFIED"
    http_merge_slashes: bool | None = None
    http_path_with_escaped_slashes_action: Literal[
        "PATH_WITH_ESCAPED_SLASHES_UNSPECIFIED",
        "KEEP_UNCHANGED",
        "REJECT_REQUEST",
        "UNESCAPE_AND_REDIRECT",
        "UNESCAPE_AND_FORWARD",
    ] = "PATH_WITH_ESCAPED_SLASHES_UNSPECIFIED"
    listener_connection_limit: _Positive | None = None
    global_downstream_connection_limit: _Positive | None = None


class MeshProxyConfig(Spec, frozen=True):
    """Defaults are Istio's. `config_path`, `binary_path` and other settings of its agent are read, and no more."""

    config_path: str = "./etc/istio/proxy"
    binary_path: str = "/usr/local/bin/envoy"
    service_cluster: str | None = None
    tracing_service_name: (
        Literal["APP_LABEL_AND_NAMESPACE", "CANONICAL_NAME_ONLY", "CANONICAL_NAME_AND_NAMESPACE"] | None
    ) = None
    drain_duration: Duration = "45s"
    discovery_address: str = "istiod.istio-system.svc:15012"
    discovery_refresh_delay: Duration | None = None
    zipkin_address: str = ""
    statsd_udp_address: str = ""
    envoy_metrics_service_address: str = ""
    proxy_admin_port: Int32 = 15000
    availability_zone: str = ""
    control_plane_auth_policy: Literal["NONE", "MUTUAL_TLS"] = "MUTUAL_TLS"
    custom_config_file: str = ""
    stat_name_length: Int32 = 189
    concurrency: Weight | None = None
    proxy_bootstrap_template_path: str = ""
    interception_mode: Literal["REDIRECT", "TPROXY", "NONE"] = "REDIRECT"
    tracing: ProxyTracing | None = None
    envoy_access_log_service: RemoteService | None = None
    envoy_metrics_service: RemoteService | None = None
    proxy_metadata: dict[str, str] = {}
    runtime_values: dict[str, str] = {}
    status_port: Int32 = 15020
    extra_stat_tags: list[str] = []
    gateway_topology: Topology | None = None
    termination_drain_duration: Duration = "5s"
    mesh_id: str = ""
    readiness_probe: ReadinessProbe | None = None
    proxy_stats_matcher: ProxyStatsMatcher | None = None
    hold_application_until_proxy_starts: bool | None = None
    ca_certificates_pem: list[FreeText] = []
    image: ProxyImage | None = None
    private_key_provider: PrivateKeyProvider | None = None
    proxy_headers: ProxyHeaders | None = None
    file_flush_interval: Duration | None = None
    file_flush_min_size_kb: UInt32 = 0
    stats_compression: bool | None = None
    connection_settings: ConnectionSettings | None = None
