"""DestinationRule.trafficPolicy on a cluster: load balancing, circuit breakers, ejection of failing endpoints."""

from __future__ import annotations

from envoy.config.cluster.v3 import circuit_breaker_pb2, outlier_detection_pb2
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from google.protobuf.wrappers_pb2 import UInt32Value, UInt64Value

from mesh_lab.controlplane.model.destinationrule import (
    ConnectionPoolSettings,
    ConsistentHashLB,
    LoadBalancerSettings,
    OutlierDetection,
    RetryBudget,
    TcpKeepalive,
)
from mesh_lab.controlplane.xds.built import wire
from mesh_lab.controlplane.xds.durations import duration

UNLIMITED = 2**32 - 1
DEFAULT_RING_SIZE = 1024
DEFAULT_BUDGET_PERCENT = 20.0
DEFAULT_BUDGET_RETRIES = 3
_BUDGET_INTERVAL = 3
"""`budget_interval` of envoy.config.cluster.v3.CircuitBreakers.Thresholds.RetryBudget."""
_LENGTH_DELIMITED = 2
"""The wire type of messages: https://protobuf.dev/programming-guides/encoding/."""

_SIMPLE = {
    "ROUND_ROBIN": Cluster.ROUND_ROBIN,
    "RANDOM": Cluster.RANDOM,
    "LEAST_REQUEST": Cluster.LEAST_REQUEST,
    "LEAST_CONN": Cluster.LEAST_REQUEST,
    "UNSPECIFIED": Cluster.LEAST_REQUEST,
}


def apply_load_balancer(cluster: Cluster, settings: LoadBalancerSettings | None) -> None:
    """How an endpoint is chosen: LEAST_REQUEST by default. No panic: endpoints that are known to fail get nothing."""
    cluster.common_lb_config.healthy_panic_threshold.SetInParent()
    if cluster.lb_policy == Cluster.CLUSTER_PROVIDED:
        return
    if settings is not None and settings.consistent_hash is not None:
        _apply_consistent_hash(cluster, settings.consistent_hash)
    elif is_passthrough(settings):
        cluster.type = Cluster.ORIGINAL_DST
        cluster.lb_policy = Cluster.CLUSTER_PROVIDED
        cluster.ClearField("eds_cluster_config")
    else:
        cluster.lb_policy = _SIMPLE[(settings.simple if settings else None) or "UNSPECIFIED"]
    _apply_warmup(cluster, settings)


def is_passthrough(settings: LoadBalancerSettings | None) -> bool:
    """Whether connections go to the address that the client chose."""
    return settings is not None and settings.simple == "PASSTHROUGH" and settings.consistent_hash is None


def _apply_consistent_hash(cluster: Cluster, settings: ConsistentHashLB) -> None:
    if settings.maglev is not None:
        cluster.lb_policy = Cluster.MAGLEV
        if settings.maglev.table_size:
            cluster.maglev_lb_config.table_size.value = settings.maglev.table_size
        return
    cluster.lb_policy = Cluster.RING_HASH
    ring = settings.ring_hash.minimum_ring_size if settings.ring_hash else settings.minimum_ring_size
    cluster.ring_hash_lb_config.minimum_ring_size.CopyFrom(UInt64Value(value=ring or DEFAULT_RING_SIZE))


def _apply_warmup(cluster: Cluster, settings: LoadBalancerSettings | None) -> None:
    if settings is None or not (settings.warmup or settings.warmup_duration_secs):
        return
    if cluster.lb_policy == Cluster.ROUND_ROBIN:
        start = cluster.round_robin_lb_config.slow_start_config
    elif cluster.lb_policy == Cluster.LEAST_REQUEST:
        start = cluster.least_request_lb_config.slow_start_config
    else:
        return
    length = settings.warmup.duration if settings.warmup else settings.warmup_duration_secs
    start.slow_start_window.CopyFrom(duration(length or "0s"))
    if settings.warmup and settings.warmup.aggression:
        start.aggression.default_value = settings.warmup.aggression
        start.aggression.runtime_key = f"slow_start.{cluster.name}"
    if settings.warmup and settings.warmup.minimum_percent is not None:
        start.min_weight_percent.value = settings.warmup.minimum_percent


def apply_connection_pool(
    cluster: Cluster,
    settings: ConnectionPoolSettings | None,
    keepalive: TcpKeepalive | None = None,
    budget: RetryBudget | None = None,
) -> None:
    """Circuit breakers, which are unlimited unless set, and the times of connections.

    `keepalive` holds for the whole mesh, as far as the settings say nothing else.

    Envoy keeps count of what remains of the limits where one is set. Of those that are not, Istio lets it do so too, at
    a look-up of the limit in the runtime's settings whenever a request comes or goes.
    """
    tcp = settings.tcp if settings else None
    http = settings.http if settings else None
    limits = {
        "max_connections": tcp.max_connections if tcp else 0,
        "max_pending_requests": http.http1_max_pending_requests if http else 0,
        "max_requests": http.http2_max_requests if http else 0,
        "max_retries": http.max_retries if http else 0,
    }
    thresholds = circuit_breaker_pb2.CircuitBreakers.Thresholds(
        **{name: UInt32Value(value=value or UNLIMITED) for name, value in limits.items()},
        track_remaining=any(limits.values()),
    )
    if budget is not None:
        _apply_retry_budget(thresholds, budget)
    cluster.circuit_breakers.CopyFrom(circuit_breaker_pb2.CircuitBreakers(thresholds=[thresholds]))
    if tcp is not None and tcp.connect_timeout:
        cluster.connect_timeout.CopyFrom(duration(tcp.connect_timeout))
    for probes in (keepalive, tcp.tcp_keepalive if tcp else None):
        if probes is not None:
            _apply_keepalive(cluster, probes)


def _apply_retry_budget(thresholds: circuit_breaker_pb2.CircuitBreakers.Thresholds, budget: RetryBudget) -> None:
    """Instead of a number of retries at once, a share of the requests: that are under way, or came in an interval.

    The interval is younger than the published messages that stand in for Envoy's here, so it goes by its number.
    """
    share = budget.percent if budget.percent is not None else DEFAULT_BUDGET_PERCENT
    thresholds.retry_budget.budget_percent.value = share
    thresholds.retry_budget.min_retry_concurrency.value = budget.min_retry_concurrency or DEFAULT_BUDGET_RETRIES
    if budget.budget_interval:
        thresholds.retry_budget.MergeFromString(_field(_BUDGET_INTERVAL, wire(duration(budget.budget_interval))))


def _field(number: int, message: bytes) -> bytes:
    """A message as a field of another, on the wire; both its number and its length are of one byte."""
    return bytes([number << 3 | _LENGTH_DELIMITED, len(message)]) + message


def _apply_keepalive(cluster: Cluster, settings: TcpKeepalive) -> None:
    """Probes of idle connections: what is not set is as it was, or as the operating system has it."""
    alive = cluster.upstream_connection_options.tcp_keepalive
    alive.SetInParent()
    if settings.probes:
        alive.keepalive_probes.value = settings.probes
    if settings.time:
        alive.keepalive_time.value = duration(settings.time).seconds
    if settings.interval:
        alive.keepalive_interval.value = duration(settings.interval).seconds


def apply_outlier_detection(cluster: Cluster, settings: OutlierDetection | None) -> None:
    """Ejection, off by default; else after 5 errors in a row, for 30 s, of at most a tenth of the endpoints."""
    if settings is None:
        return
    detection = outlier_detection_pb2.OutlierDetection(
        enforcing_success_rate=UInt32Value(value=0),
        consecutive_5xx=UInt32Value(value=5),
        enforcing_consecutive_5xx=UInt32Value(value=100),
        interval=duration(settings.interval or "10s"),
        base_ejection_time=duration(settings.base_ejection_time or "30s"),
        max_ejection_percent=UInt32Value(value=settings.max_ejection_percent or 10),
    )
    errors = settings.consecutive_5xx_errors
    if errors is None and settings.consecutive_errors:
        errors = settings.consecutive_errors
    if errors is not None:
        detection.consecutive_5xx.value = errors
        detection.enforcing_consecutive_5xx.value = 100 if errors else 0
    if settings.consecutive_gateway_errors is not None:
        detection.consecutive_gateway_failure.value = settings.consecutive_gateway_errors
        detection.enforcing_consecutive_gateway_failure.value = 100 if settings.consecutive_gateway_errors else 0
    if settings.split_external_local_origin_errors:
        detection.split_external_local_origin_errors = True
        if settings.consecutive_local_origin_failures:
            detection.consecutive_local_origin_failure.value = settings.consecutive_local_origin_failures
            detection.enforcing_consecutive_local_origin_failure.value = 100
        detection.enforcing_local_origin_success_rate.value = 0
    cluster.outlier_detection.CopyFrom(detection)
    if settings.min_health_percent:
        cluster.common_lb_config.healthy_panic_threshold.value = settings.min_health_percent
