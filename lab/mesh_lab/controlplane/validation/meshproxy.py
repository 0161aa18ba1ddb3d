"""Rules for the settings of proxies: `defaultConfig`, and what a pod's annotation makes of it."""

from __future__ import annotations

from collections.abc import Iterator

from mesh_lab.controlplane.model.meshproxy import MeshProxyConfig, PrivateKeyProvider, ProxyTracing
from mesh_lab.controlplane.model.units import nanoseconds
from mesh_lab.controlplane.validation.common import Problem, duration, error, is_port, regex, warning
from mesh_lab.controlplane.validation.names import host_name
from mesh_lab.controlplane.validation.policies import client_tls

_SECOND = 1_000_000_000
_HOST = "$(HOST_IP)"
"""Stands for the node's address in the address of a tracer."""
_AUTO_ALLOCATE = "ISTIO_META_DNS_AUTO_ALLOCATE"


def proxy_settings(path: str, spec: MeshProxyConfig) -> Iterator[Problem]:
    """Problems of the settings of proxies, but for the bounds of single values."""
    if spec.service_cluster is not None and spec.tracing_service_name is not None:
        yield error(path, "only one of serviceCluster and tracingServiceName may be given")
    if spec.service_cluster == "":
        yield error(f"{path}.serviceCluster", "service cluster must be specified")
    for name, text in (("configPath", spec.config_path), ("binaryPath", spec.binary_path)):
        if not text:
            yield error(f"{path}.{name}", f"{name} must be set")
    yield from _drain(f"{path}.drainDuration", spec.drain_duration)
    yield from duration(f"{path}.terminationDrainDuration", spec.termination_drain_duration, zero=True)
    if not spec.discovery_address:
        yield error(f"{path}.discoveryAddress", "discovery address must be set to the proxy discovery service")
    for name, address in (
        ("discoveryAddress", spec.discovery_address),
        ("statsdUdpAddress", spec.statsd_udp_address),
        ("envoyMetricsServiceAddress", spec.envoy_metrics_service_address),
        ("zipkinAddress", spec.zipkin_address),
        ("envoyMetricsService.address", spec.envoy_metrics_service.address if spec.envoy_metrics_service else ""),
        (
            "envoyAccessLogService.address",
            spec.envoy_access_log_service.address if spec.envoy_access_log_service else "",
        ),
    ):
        if address:
            yield from proxy_address(f"{path}.{name}", address)
    for name, number in (("proxyAdminPort", spec.proxy_admin_port), ("statusPort", spec.status_port)):
        if not is_port(str(number)):
            yield error(f"{path}.{name}", f"port number {number} must be in the range 1..65535")
    if spec.tracing is not None:
        yield from _tracing(f"{path}.tracing", spec.tracing)
    if spec.private_key_provider is not None:
        yield from _private_keys(f"{path}.privateKeyProvider", spec.private_key_provider)
    for index, pattern in enumerate(spec.proxy_stats_matcher.inclusion_regexps if spec.proxy_stats_matcher else ()):
        yield from regex(f"{path}.proxyStatsMatcher.inclusionRegexps[{index}]", pattern)
    if _AUTO_ALLOCATE in spec.proxy_metadata:
        yield warning(f"{path}.proxyMetadata[{_AUTO_ALLOCATE}]", f"{_AUTO_ALLOCATE} is deprecated")


def proxy_address(path: str, text: str) -> Iterator[Problem]:
    """`HOST:PORT`, as Go splits it: an IPv6 address stands in brackets."""
    host, colon, port = text.rpartition(":")
    in_brackets = host.startswith("[") and host.endswith("]")
    if not colon or (":" in host and not in_brackets):
        yield error(path, f'unable to split "{text}": write HOST:PORT')
    elif not is_port(port):
        yield error(path, f'port "{port}" must be a number from 1 to 65535')
    elif host.startswith("*"):
        yield error(path, f'"{host}" is not a valid hostname or an IP address')
    else:
        yield from host_name(path, host.strip("[]"), address=True)


def _drain(path: str, text: str) -> Iterator[Problem]:
    yield from duration(path, text)
    if nanoseconds(text) % _SECOND:
        yield error(path, "drain time only supports durations to seconds precision")


def _tracing(path: str, tracing: ProxyTracing) -> Iterator[Problem]:
    tracers = {
        "zipkin": tracing.zipkin,
        "lightstep": tracing.lightstep,
        "datadog": tracing.datadog,
        "openCensusAgent": tracing.open_census_agent,
    }
    given = [name for name, tracer in tracers.items() if tracer is not None]
    if len(given) + (tracing.stackdriver is not None) > 1:
        yield error(path, "only one tracer may be given")
    for name, tracer in tracers.items():
        if tracer is not None and name != "openCensusAgent":
            text = tracer.address if name == "lightstep" else tracer.address.replace(_HOST, "127.0.0.1", 1)
            yield from proxy_address(f"{path}.{name}.address", text)
    if tracing.lightstep is not None and not tracing.lightstep.access_token:
        yield error(f"{path}.lightstep.accessToken", "access token is required")
    if tracing.tls_settings is not None:
        yield from client_tls(f"{path}.tlsSettings", tracing.tls_settings)
    for name, tag in tracing.custom_tags.items():
        if sum(part is not None for part in (tag.literal, tag.environment, tag.header)) > 1:
            yield error(f"{path}.customTags[{name}]", "only one of literal, environment and header may be given")


def _private_keys(path: str, spec: PrivateKeyProvider) -> Iterator[Problem]:
    given = {name: part for name, part in (("cryptomb", spec.cryptomb), ("qat", spec.qat)) if part is not None}
    if len(given) != 1:
        yield error(path, "private key provider configuration is required: one of cryptomb and qat")
    for name, part in given.items():
        if part.poll_delay is None or not nanoseconds(part.poll_delay):
            yield error(f"{path}.{name}.pollDelay", "pollDelay is required and must be non zero")
