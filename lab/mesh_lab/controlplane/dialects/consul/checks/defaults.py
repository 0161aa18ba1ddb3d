"""Rules of ServiceDefaults and ProxyDefaults: those of consul-k8s' webhook, and what the lab does not carry out."""

from __future__ import annotations

from collections.abc import Iterator

from mesh_lab.controlplane.dialects.consul.checks.common import elsewhere, mesh_gateway, without_effect
from mesh_lab.controlplane.dialects.consul.kinds import ProxyDefaults, ServiceDefaults
from mesh_lab.controlplane.dialects.consul.kinds.common import EnvoyExtension
from mesh_lab.controlplane.dialects.consul.kinds.defaults import Upstream
from mesh_lab.controlplane.validation.common import Problem, camel, duration, error, warning

PROTOCOLS = ("", "tcp", "http", "http2", "grpc")
_BALANCES = ("", "exact_balance")
_UNSERVED = (
    *("mode", "transparent_proxy", "expose", "external_sni", "destination", "max_inbound_connections"),
    *("local_connect_timeout_ms", "local_request_timeout_ms", "rate_limits"),
)
_UNSERVED_BY_ALL = (
    *("mode", "transparent_proxy", "expose", "access_logs", "failover_policy", "prioritize_by_locality"),
)


def service_defaults(spec: ServiceDefaults) -> Iterator[Problem]:
    """All problems of a ServiceDefaults."""
    yield from _protocol("spec.protocol", spec.protocol)
    if spec.mesh_gateway is not None:
        yield from mesh_gateway("spec.meshGateway", spec.mesh_gateway.mode)
    yield from _balance("spec.balanceInboundConnections", spec.balance_inbound_connections)
    yield from _extensions(spec.envoy_extensions)
    upstreams = spec.upstream_config
    if upstreams is not None and upstreams.defaults is not None:
        if upstreams.defaults.name:
            yield error("spec.upstreamConfig.defaults.name", 'upstream.name for a default upstream must be ""')
        yield from _upstream("spec.upstreamConfig.defaults", upstreams.defaults)
    for index, each in enumerate(upstreams.overrides if upstreams is not None else ()):
        path = f"spec.upstreamConfig.overrides[{index}]"
        if not each.name:
            yield error(f"{path}.name", 'upstream.name for an override upstream cannot be ""')
        yield from _upstream(path, each)
    yield from without_effect("spec", spec, _UNSERVED)


def proxy_defaults(spec: ProxyDefaults) -> Iterator[Problem]:
    """All problems of a ProxyDefaults."""
    for name, value in spec.config.items():
        if name == "protocol":
            yield from _protocol("spec.config.protocol", value)
        else:
            yield warning(f"spec.config.{name}", "has no effect in this lab")
    if spec.mesh_gateway is not None:
        yield from mesh_gateway("spec.meshGateway", spec.mesh_gateway.mode)
    yield from _extensions(spec.envoy_extensions)
    yield from without_effect("spec", spec, _UNSERVED_BY_ALL)


def _protocol(path: str, protocol: object) -> Iterator[Problem]:
    if not isinstance(protocol, str) or protocol.lower() not in PROTOCOLS:
        yield error(path, f"must be one of {', '.join(PROTOCOLS[1:])}, not {protocol!r}")


def _balance(path: str, value: str) -> Iterator[Problem]:
    if value not in _BALANCES:
        yield error(path, f'must be "exact_balance" or "", not "{value}"')
    elif value:
        yield warning(path, "has no effect in this lab: its proxies have one worker")


def _extensions(extensions: list[EnvoyExtension]) -> Iterator[Problem]:
    """An extension may be what keeps requests out, so that none may be left away."""
    for index, each in enumerate(extensions):
        yield error(f"spec.envoyExtensions[{index}]", f"this lab has no extension {each.name!r}, nor any other")


def _upstream(path: str, spec: Upstream) -> Iterator[Problem]:
    yield from elsewhere(path, spec)
    for name, value in (
        ("envoyListenerJSON", spec.envoy_listener_json),
        ("envoyClusterJSON", spec.envoy_cluster_json),
    ):
        if value:
            yield error(f"{path}.{name}", "this lab does not take parts of Envoy's configuration from Consul's kinds")
    if spec.mesh_gateway is not None:
        yield from mesh_gateway(f"{path}.meshGateway", spec.mesh_gateway.mode)
    yield from _balance(f"{path}.balanceOutboundConnections", spec.balance_outbound_connections)
    yield from without_effect(path, spec, ("protocol",))
    for name in ("max_connections", "max_pending_requests", "max_concurrent_requests"):
        if spec.limits is not None and getattr(spec.limits, name) == 0:
            yield error(f"{path}.limits.{camel(name)}", "this lab takes a limit of 1 or more")
    check = spec.passive_health_check
    if check is not None:
        yield from duration(f"{path}.passiveHealthCheck.interval", check.interval)
        yield from duration(f"{path}.passiveHealthCheck.baseEjectionTime", check.base_ejection_time)
        if check.enforcing_consecutive_5xx not in (None, 100):
            text = "has no effect in this lab: each failure in a row is acted on"
            yield warning(f"{path}.passiveHealthCheck.enforcingConsecutive5xx", text)
