"""Rules for DestinationRule."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from lab.controlplane.model import DestinationRule
from lab.controlplane.model.destinationrule import TcpKeepalive, TrafficPolicy
from lab.controlplane.model.units import nanoseconds
from lab.controlplane.validation.common import Problem, camel, duration, error, host_name, warning

_LARGEST_RING = 8 * 1024 * 1024
_SUBSET_NAME = re.compile(r"^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$")


def destination_rule(spec: DestinationRule) -> Iterator[Problem]:
    """Problems of a DestinationRule."""
    yield from host_name("spec.host", spec.host)
    yield from _traffic_policy("spec.trafficPolicy", spec.traffic_policy)
    seen: set[str] = set()
    for index, subset in enumerate(spec.subsets):
        path = f"spec.subsets[{index}]"
        if not _SUBSET_NAME.match(subset.name):
            yield error(f"{path}.name", f"subset name {subset.name!r} is invalid")
        if subset.name in seen:
            yield error(f"{path}.name", f"duplicate subset names: {subset.name}")
        seen.add(subset.name)
        yield from _traffic_policy(f"{path}.trafficPolicy", subset.traffic_policy)


def _traffic_policy(path: str, policy: TrafficPolicy | None) -> Iterator[Problem]:
    if policy is None:
        return
    yield from _settings(path, policy)
    for index, own in enumerate(policy.port_level_settings):
        where = f"{path}.portLevelSettings[{index}]"
        if own.port is None or not own.port.number:
            yield error(f"{where}.port", "portLevelSettings must name a port by its number")
        yield from _settings(where, own)
    for name, value in (("tunnel", policy.tunnel), ("proxyProtocol", policy.proxy_protocol)):
        if value is not None:
            yield warning(f"{path}.{name}", f"{name} has no effect with this control plane")


def _settings(path: str, policy: Any) -> Iterator[Problem]:
    balancer, pool, detection, tls = (
        policy.load_balancer,
        policy.connection_pool,
        policy.outlier_detection,
        policy.tls,
    )
    if balancer is not None:
        yield from _load_balancer(f"{path}.loadBalancer", balancer)
    if pool is not None and pool.tcp is not None:
        yield from _negatives(f"{path}.connectionPool.tcp", pool.tcp, ("max_connections",))
        yield from _keepalive(f"{path}.connectionPool.tcp.tcpKeepalive", pool.tcp.tcp_keepalive)
        yield from duration(f"{path}.connectionPool.tcp.connectTimeout", pool.tcp.connect_timeout)
        yield from duration(f"{path}.connectionPool.tcp.maxConnectionDuration", pool.tcp.max_connection_duration)
        yield from duration(f"{path}.connectionPool.tcp.idleTimeout", pool.tcp.idle_timeout, zero=True)
    if pool is not None and pool.http is not None:
        fields = (
            "http1_max_pending_requests",
            "http2_max_requests",
            "max_requests_per_connection",
            "max_retries",
            "max_concurrent_streams",
        )
        yield from _negatives(f"{path}.connectionPool.http", pool.http, fields)
        if pool.http.use_client_protocol and pool.http.h2_upgrade_policy == "UPGRADE":
            yield error(
                f"{path}.connectionPool.http.useClientProtocol", "must not be true when h2UpgradePolicy is UPGRADE"
            )
    if detection is not None:
        if detection.consecutive_local_origin_failures and not detection.split_external_local_origin_errors:
            yield error(
                f"{path}.outlierDetection.consecutiveLocalOriginFailures",
                "has no effect unless splitExternalLocalOriginErrors is true",
            )
        yield from duration(f"{path}.outlierDetection.interval", detection.interval)
        yield from duration(f"{path}.outlierDetection.baseEjectionTime", detection.base_ejection_time)
        for name in ("max_ejection_percent", "min_health_percent"):
            if not 0 <= getattr(detection, name) <= 100:
                yield error(
                    f"{path}.outlierDetection.{camel(name)}",
                    f"percentage {getattr(detection, name)} is not in range 0..100",
                )
    if tls is not None and tls.credential_name:
        yield warning(
            f"{path}.tls.credentialName", "only gateways are given Secrets: a sidecar's connections fail for want of it"
        )
    if tls is not None and tls.mode == "MUTUAL" and not tls.credential_name:
        if not tls.client_certificate:
            yield error(f"{path}.tls.clientCertificate", "client certificate required for mutual tls")
        if not tls.private_key:
            yield error(f"{path}.tls.privateKey", "private key required for mutual tls")


def _keepalive(path: str, settings: TcpKeepalive | None) -> Iterator[Problem]:
    """Envoy takes whole seconds, as a number of 32 bits."""
    for name in ("time", "interval"):
        value = getattr(settings, name, None)
        yield from duration(f"{path}.{name}", value)
        if value is not None and nanoseconds(value) >= 2**32 * 1_000_000_000:
            yield error(f"{path}.{name}", f"{value} is out of range: at most {2**32 - 1}s")


def _load_balancer(path: str, balancer: Any) -> Iterator[Problem]:
    locality = balancer.locality_lb_setting
    if locality is not None and (locality.distribute or locality.failover or locality.failover_priority):
        yield warning(f"{path}.localityLbSetting", "localities have no effect with this control plane: there is one")
    hashed = balancer.consistent_hash
    if hashed is None:
        return
    if balancer.simple is not None:
        yield error(path, "only one of simple and consistentHash may be given")
    keys = [hashed.http_header_name, hashed.http_cookie, hashed.use_source_ip, hashed.http_query_parameter_name]
    if sum(bool(key) for key in keys) != 1:
        yield error(
            f"{path}.consistentHash",
            "exactly one of httpHeaderName, httpCookie, useSourceIp and httpQueryParameterName must be given",
        )
    sizes = (hashed.minimum_ring_size, hashed.ring_hash.minimum_ring_size if hashed.ring_hash else None)
    if any(size is not None and size > _LARGEST_RING for size in sizes):
        yield error(f"{path}.consistentHash", f"a ring has at most {_LARGEST_RING} entries")
    if hashed.maglev is not None and hashed.maglev.table_size is not None and not _is_prime(hashed.maglev.table_size):
        yield error(f"{path}.consistentHash.maglev.tableSize", "tableSize must be prime number for maglev")


def _is_prime(number: int) -> bool:
    return 1 < number <= 5_000_011 and all(number % divisor for divisor in range(2, int(number**0.5) + 1))


def _negatives(path: str, settings: Any, fields: tuple[str, ...]) -> Iterator[Problem]:
    for name in fields:
        if getattr(settings, name) < 0:
            yield error(f"{path}.{camel(name)}", f"{camel(name)} must be non-negative")
