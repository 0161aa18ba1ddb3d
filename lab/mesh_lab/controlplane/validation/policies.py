"""Rules for DestinationRule."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mesh_lab.controlplane.model import DestinationRule
from mesh_lab.controlplane.model.base import Spec
from mesh_lab.controlplane.model.destinationrule import (
    ClientTLSSettings,
    ConnectionKeepalive,
    ConnectionPoolSettings,
    HTTPCookie,
    LoadBalancerSettings,
    OutlierDetection,
    TcpKeepalive,
    TrafficPolicy,
    TunnelSettings,
)
from mesh_lab.controlplane.model.units import nanoseconds
from mesh_lab.controlplane.validation.common import Problem, camel, duration, error, warning
from mesh_lab.controlplane.validation.localities import locality_setting, zone_setting
from mesh_lab.controlplane.validation.names import export_to, host_name, is_label, labels, workload_labels

_LARGEST_RING = 8 * 1024 * 1024


def destination_rule(spec: DestinationRule) -> Iterator[Problem]:
    """Problems of a DestinationRule."""
    yield from host_name("spec.host", spec.host)
    yield from _traffic_policy("spec.trafficPolicy", spec.traffic_policy)
    seen: set[str] = set()
    for index, subset in enumerate(spec.subsets):
        path = f"spec.subsets[{index}]"
        if not is_label(subset.name):
            yield error(f"{path}.name", f"subset name {subset.name!r} is invalid")
        yield from labels(f"{path}.labels", subset.labels)
        if subset.name in seen:
            yield error(f"{path}.name", f"duplicate subset names: {subset.name}")
        seen.add(subset.name)
        yield from _traffic_policy(f"{path}.trafficPolicy", subset.traffic_policy)
    yield from export_to("spec.exportTo", spec.export_to)
    if spec.workload_selector is not None:
        yield from workload_labels("spec.workloadSelector", spec.workload_selector.match_labels)
        if set(spec.export_to) - {"."}:
            text = "destination rule with workload selector cannot have exportTo beyond current namespace"
            yield error("spec.exportTo", text)


def _traffic_policy(path: str, policy: TrafficPolicy | None) -> Iterator[Problem]:
    if policy is None:
        return
    if _is_empty(policy):
        yield error(path, "traffic policy must have at least one field")
    yield from _settings(path, policy)
    for index, own in enumerate(policy.port_level_settings):
        where = f"{path}.portLevelSettings[{index}]"
        if own.port is None or not own.port.number:
            yield error(f"{where}.port", "portLevelSettings must name a port by its number")
        if not any((own.load_balancer, own.connection_pool, own.outlier_detection, own.tls)):
            yield error(where, "port traffic policy must have at least one field")
        yield from _settings(where, own)
    if policy.tunnel is not None:
        yield from _tunnel(f"{path}.tunnel", policy.tunnel)
        if policy.proxy_protocol is not None:
            yield error(path, "tunnel and proxyProtocol must not be set together")


def _is_empty(part: Spec) -> bool:
    """Whether no field is set. A part that is present counts as set, even an empty one."""
    return not any(getattr(part, name) for name in part.__struct_fields__)


def _tunnel(path: str, tunnel: TunnelSettings) -> Iterator[Problem]:
    if tunnel.protocol not in ("", "CONNECT", "POST"):
        yield error(f"{path}.protocol", 'tunnel protocol must be "CONNECT" or "POST"')
    if tunnel.target_host.startswith("*"):
        yield error(f"{path}.targetHost", "tunnel target host must be valid FQDN or IP address")
    else:
        yield from host_name(f"{path}.targetHost", tunnel.target_host, address=True)
    if not 1 <= tunnel.target_port <= 65535:
        yield error(f"{path}.targetPort", f"port number {tunnel.target_port} must be in the range 1..65535")


def _settings(path: str, policy: Any) -> Iterator[Problem]:
    balancer, pool, detection, tls = (
        policy.load_balancer,
        policy.connection_pool,
        policy.outlier_detection,
        policy.tls,
    )
    if balancer is not None:
        yield from _load_balancer(f"{path}.loadBalancer", balancer, detected=detection is not None)
    if pool is not None and pool.tcp is None and pool.http is None:
        yield error(f"{path}.connectionPool", "connection pool must have at least one field")
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
        yield from duration(f"{path}.connectionPool.http.idleTimeout", pool.http.idle_timeout)
        yield from _pings(f"{path}.connectionPool.http.http2KeepAlive", pool.http.http2_keep_alive)
        if pool.http.use_client_protocol and pool.http.h2_upgrade_policy == "UPGRADE":
            yield error(
                f"{path}.connectionPool.http.useClientProtocol", "must not be true when h2UpgradePolicy is UPGRADE"
            )
    if detection is not None:
        if detection.consecutive_errors:
            text = "deprecated: use consecutiveGatewayErrors or consecutive5xxErrors instead"
            yield warning(f"{path}.outlierDetection.consecutiveErrors", text)
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
    if tls is not None:
        yield from _client_tls(f"{path}.tls", tls)
    if tls is not None and tls.mode == "MUTUAL" and not tls.credential_name:
        if not tls.client_certificate:
            yield error(f"{path}.tls.clientCertificate", "client certificate required for mutual tls")
        if not tls.private_key:
            yield error(f"{path}.tls.privateKey", "private key required for mutual tls")


def _client_tls(path: str, tls: ClientTLSSettings) -> Iterator[Problem]:
    files = (tls.client_certificate, tls.private_key, tls.ca_certificates, tls.ca_crl)
    if tls.mode in ("SIMPLE", "MUTUAL") and tls.credential_name and any(files):
        text = "cannot specify client certificates or CA certificate or CA CRL if credentialName is set"
        yield error(path, text)
    if tls.insecure_skip_verify and tls.mode in ("SIMPLE", "MUTUAL"):
        from_secret = tls.mode == "SIMPLE" and tls.credential_name
        if tls.ca_certificates or tls.subject_alt_names or from_secret:
            text = "cannot specify caCertificates, credentialName or subjectAltNames when insecureSkipVerify is true"
            yield error(f"{path}.insecureSkipVerify", text)


def _pings(path: str, settings: ConnectionKeepalive | None) -> Iterator[Problem]:
    for name in ("interval", "timeout") if settings is not None else ():
        value = getattr(settings, name)
        if value is None:
            yield error(f"{path}.{name}", f"http2 keepalive {name} is required")
        yield from duration(f"{path}.{name}", value)


def _keepalive(path: str, settings: TcpKeepalive | None) -> Iterator[Problem]:
    """Envoy takes whole seconds, as a number of 32 bits."""
    for name in ("time", "interval"):
        value = getattr(settings, name, None)
        yield from duration(f"{path}.{name}", value)
        if value is not None and nanoseconds(value) >= 2**32 * 1_000_000_000:
            yield error(f"{path}.{name}", f"{value} is out of range: at most {2**32 - 1}s")


def _load_balancer(path: str, balancer: LoadBalancerSettings, *, detected: bool) -> Iterator[Problem]:
    locality, zones, warmup = balancer.locality_lb_setting, balancer.zone_aware_lb_setting, balancer.warmup
    if locality is not None:
        yield from locality_setting(f"{path}.localityLbSetting", locality, detected=detected)
    if zones is not None:
        yield from zone_setting(f"{path}.zoneAwareLbSetting", zones, detected=detected)
        if locality is not None:
            yield error(path, "only one of localityLbSetting and zoneAwareLbSetting can be set")
    yield from duration(f"{path}.warmupDurationSecs", balancer.warmup_duration_secs)
    if warmup is not None:
        yield from duration(f"{path}.warmup.duration", warmup.duration)
        if balancer.warmup_duration_secs is not None:
            yield error(path, "only one of warmupDurationSecs or warmup can be set")
    hashed = balancer.consistent_hash
    if hashed is None:
        return
    if hashed.http_cookie is not None:
        yield from _cookie(f"{path}.consistentHash.httpCookie", hashed.http_cookie)
    if hashed.minimum_ring_size:
        where = f"{path}.consistentHash.minimumRingSize"
        yield warning(where, "deprecated: use ringHash.minimumRingSize instead")
        if hashed.ring_hash is not None or hashed.maglev is not None:
            yield error(where, "only one of minimumRingSize or maglev/ringHash can be specified")
    if balancer.simple is not None:
        yield error(path, "only one of simple and consistentHash may be given")
    keys = [hashed.http_header_name, hashed.http_cookie, hashed.use_source_ip, hashed.http_query_parameter_name]
    if sum(bool(key) for key in keys) > 1:
        yield error(
            f"{path}.consistentHash",
            "only one of httpHeaderName, httpCookie, useSourceIp and httpQueryParameterName may be given",
        )
    elif not any(keys):
        yield warning(f"{path}.consistentHash", "nothing is named to hash on: requests go to endpoints at random")
    sizes = (hashed.minimum_ring_size, hashed.ring_hash.minimum_ring_size if hashed.ring_hash else None)
    if any(size is not None and size > _LARGEST_RING for size in sizes):
        yield error(f"{path}.consistentHash", f"a ring has at most {_LARGEST_RING} entries")
    if hashed.maglev is not None and not hashed.maglev.table_size:
        yield error(f"{path}.consistentHash.maglev.tableSize", "tableSize must be set for maglev")
    elif hashed.maglev is not None and hashed.maglev.table_size is not None and not _is_prime(hashed.maglev.table_size):
        yield error(f"{path}.consistentHash.maglev.tableSize", "tableSize must be prime number for maglev")


def _cookie(path: str, cookie: HTTPCookie) -> Iterator[Problem]:
    if not cookie.name:
        yield error(f"{path}.name", "name required for HttpCookie")
    seen: set[str] = set()
    for index, attribute in enumerate(cookie.attributes):
        if not attribute.name:
            yield error(f"{path}.attributes[{index}].name", "cookie attribute name cannot be empty")
        elif attribute.name in seen:
            yield error(f"{path}.attributes[{index}].name", f"duplicate cookie attribute name: {attribute.name}")
        seen.add(attribute.name)


def _is_prime(number: int) -> bool:
    return 1 < number < 5_000_011 and all(number % divisor for divisor in range(2, int(number**0.5) + 1))


def _negatives(path: str, settings: Any, fields: tuple[str, ...]) -> Iterator[Problem]:
    for name in fields:
        if getattr(settings, name) < 0:
            yield error(f"{path}.{camel(name)}", f"{camel(name)} must be non-negative")


def connection_pool(path: str, pool: ConnectionPoolSettings) -> Iterator[Problem]:
    """Problems of limits that stand by themselves: the same as within a traffic policy."""
    for problem in _settings("", TrafficPolicy(connection_pool=pool)):
        yield problem._replace(path=problem.path.replace(".connectionPool", path, 1))


def outlier_detection(path: str, detection: OutlierDetection) -> Iterator[Problem]:
    """Problems of ejection that stands by itself: the same as within a traffic policy."""
    for problem in _settings("", TrafficPolicy(outlier_detection=detection)):
        yield problem._replace(path=problem.path.replace(".outlierDetection", path, 1))


def client_tls(path: str, tls: ClientTLSSettings) -> Iterator[Problem]:
    """Problems of a client's TLS that stands by itself: the same as within a traffic policy."""
    for problem in _settings("", TrafficPolicy(tls=tls)):
        yield problem._replace(path=problem.path.replace(".tls", path, 1))
