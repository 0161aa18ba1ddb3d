"""DestinationRule: how to talk to a service.

https://istio.io/latest/docs/reference/config/networking/destination-rule/
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from mesh_lab.controlplane.model.base import (
    Duration,
    HeaderName,
    HeaderValue,
    HostName,
    Int32,
    Labels,
    PercentValue,
    PortSelector,
    Spec,
    SubsetName,
    UInt32,
    UInt64,
    Weight,
    WorkloadSelector,
)


class CookieAttribute(Spec, frozen=True):
    """An attribute of a cookie that the proxy makes, such as `SameSite`."""

    name: HeaderValue
    value: HeaderValue = ""


class HTTPCookie(Spec, frozen=True):
    """A cookie to hash on; made by the proxy when the client has none."""

    name: Annotated[str, Meta(min_length=1)]
    path: str = ""
    ttl: Duration | None = None
    attributes: list[CookieAttribute] = []


class RingHash(Spec, frozen=True):
    """A hash ring; more entries, more even shares."""

    minimum_ring_size: UInt64 | None = None


class Maglev(Spec, frozen=True):
    """Maglev hashing; `tableSize` must be a prime."""

    table_size: UInt64 | None = None


class ConsistentHashLB(Spec, frozen=True):
    """Requests that are alike in one respect go to one endpoint."""

    http_header_name: HeaderName | None = None
    http_cookie: HTTPCookie | None = None
    use_source_ip: bool | None = None
    http_query_parameter_name: str | None = None
    ring_hash: RingHash | None = None
    maglev: Maglev | None = None
    minimum_ring_size: UInt64 | None = None


class LocalityDistribute(Spec, frozen=True):
    """From one locality, shares of the traffic to others; they add up to 100."""

    from_: str = field(default="", name="from")
    to: dict[str, UInt32] = {}


class LocalityFailover(Spec, frozen=True):
    """Where a region's traffic goes when its own endpoints fail."""

    from_: str = field(default="", name="from")
    to: str = ""


class LocalityLoadBalancerSetting(Spec, frozen=True):
    """Load balancing by region, zone and subzone."""

    distribute: list[LocalityDistribute] = []
    failover: list[LocalityFailover] = []
    failover_priority: list[str] = []
    enabled: bool | None = None


class ZoneAwareLoadBalancerSetting(Spec, frozen=True):
    """Load balancing that leaves zones to Envoy, and orders regions."""

    enabled: bool | None = None
    failover: list[LocalityFailover] = []
    failover_priority: list[str] = []
    min_cluster_size: Annotated[int, Meta(ge=1, le=9223372036854775807)] | None = None


class WarmupConfiguration(Spec, frozen=True):
    """How a new endpoint's share grows."""

    duration: Duration
    minimum_percent: PercentValue | None = None
    aggression: Annotated[float, Meta(gt=0)] | None = None


SimpleLB = Literal["UNSPECIFIED", "RANDOM", "PASSTHROUGH", "ROUND_ROBIN", "LEAST_REQUEST", "LEAST_CONN"]


class LoadBalancerSettings(Spec, frozen=True):
    """`simple` or `consistentHash`."""

    simple: SimpleLB | None = None
    consistent_hash: ConsistentHashLB | None = None
    locality_lb_setting: LocalityLoadBalancerSetting | None = None
    zone_aware_lb_setting: ZoneAwareLoadBalancerSetting | None = None
    warmup_duration_secs: Duration | None = None
    warmup: WarmupConfiguration | None = None


class TcpKeepalive(Spec, frozen=True):
    """TCP keep-alive probes."""

    probes: UInt32 = 0
    time: Duration | None = None
    interval: Duration | None = None


class ConnectionKeepalive(Spec, frozen=True):
    """Pings of HTTP/2: how often, and how long an answer may take."""

    interval: Duration | None = None
    timeout: Duration | None = None


class TCPSettings(Spec, frozen=True):
    """Limits and times of connections."""

    max_connections: Int32 = 0
    connect_timeout: Duration | None = None
    tcp_keepalive: TcpKeepalive | None = None
    max_connection_duration: Duration | None = None
    idle_timeout: Duration | None = None


class HTTPSettings(Spec, frozen=True):
    """Limits of requests; 0 is without a limit."""

    http1_max_pending_requests: Int32 = 0
    http2_max_requests: Int32 = 0
    max_requests_per_connection: Int32 = 0
    max_retries: Int32 = 0
    idle_timeout: Duration | None = None
    h2_upgrade_policy: Literal["DEFAULT", "DO_NOT_UPGRADE", "UPGRADE"] | None = None
    use_client_protocol: bool = False
    max_concurrent_streams: Int32 = 0
    http2_keep_alive: ConnectionKeepalive | None = None


class ConnectionPoolSettings(Spec, frozen=True):
    """Circuit breaking."""

    tcp: TCPSettings | None = None
    http: HTTPSettings | None = None


class OutlierDetection(Spec, frozen=True):
    """When an endpoint that fails is left out, and for how long."""

    consecutive_errors: Weight = 0
    split_external_local_origin_errors: bool = False
    consecutive_local_origin_failures: UInt32 | None = None
    consecutive_gateway_errors: UInt32 | None = None
    consecutive_5xx_errors: UInt32 | None = field(default=None, name="consecutive5xxErrors")
    interval: Duration | None = None
    base_ejection_time: Duration | None = None
    max_ejection_percent: Int32 = 0
    min_health_percent: Int32 = 0
    outlier_detection_http_error_codes: list[Annotated[int, Meta(ge=100, le=599)]] = []


class ClientTLSSettings(Spec, frozen=True):
    """How a client's proxy encrypts. ISTIO_MUTUAL uses the mesh's own certificates."""

    mode: Literal["DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"] | None = None
    client_certificate: str = ""
    private_key: str = ""
    ca_certificates: str = ""
    credential_name: str = ""
    subject_alt_names: list[str] = []
    sni: HostName = ""
    insecure_skip_verify: bool | None = None
    ca_crl: str = ""


class PortTrafficPolicy(Spec, frozen=True):
    """The policy of one port; it replaces the destination's as a whole."""

    port: PortSelector | None = None
    load_balancer: LoadBalancerSettings | None = None
    connection_pool: ConnectionPoolSettings | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTLSSettings | None = None


class TunnelSettings(Spec, frozen=True):
    """A tunnel through an HTTP proxy."""

    target_host: str
    target_port: UInt32
    protocol: str = ""


class ProxyProtocol(Spec, frozen=True):
    """PROXY protocol towards the destination."""

    version: Literal["V1", "V2"] | None = None


class RetryBudget(Spec, frozen=True):
    """How many retries may be under way, as a share of the requests that are: 20 percent unless it says otherwise."""

    percent: PercentValue | None = None
    min_retry_concurrency: UInt32 = 0
    budget_interval: Duration | None = None


class TrafficPolicy(Spec, frozen=True):
    """What applies to all ports that have no settings of their own."""

    load_balancer: LoadBalancerSettings | None = None
    connection_pool: ConnectionPoolSettings | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTLSSettings | None = None
    port_level_settings: Annotated[list[PortTrafficPolicy], Meta(max_length=4096)] = []
    tunnel: TunnelSettings | None = None
    proxy_protocol: ProxyProtocol | None = None
    retry_budget: RetryBudget | None = None


class Subset(Spec, frozen=True):
    """The endpoints with these labels, under a name."""

    name: SubsetName
    labels: Labels = {}
    traffic_policy: TrafficPolicy | None = None


class DestinationRule(Spec, frozen=True):
    """The policies and subsets of a host."""

    host: HostName
    traffic_policy: TrafficPolicy | None = None
    subsets: list[Subset] = []
    export_to: list[str] = []
    workload_selector: WorkloadSelector | None = None
