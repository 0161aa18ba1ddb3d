"""ServiceDefaults and ProxyDefaults: what a service speaks, and how its proxies behave.

https://developer.hashicorp.com/consul/docs/connect/config-entries/service-defaults
https://developer.hashicorp.com/consul/docs/connect/config-entries/proxy-defaults
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from mesh_lab.controlplane.dialects.consul.kinds.common import (
    EnvoyExtension,
    Expose,
    FailoverPolicy,
    MeshGateway,
    PrioritizeByLocality,
    TransparentProxy,
)
from mesh_lab.controlplane.model.base import Duration, JsonObject, Spec, UInt32

Mode = Literal["", "transparent", "direct"]
MutualTLSMode = Literal["", "strict", "permissive"]
Limit = Annotated[int, Meta(ge=0, le=2147483647)]


class UpstreamLimits(Spec, frozen=True):
    """Circuit breaking of calls to an upstream; what is not set is as Envoy has it."""

    max_connections: Limit | None = None
    max_pending_requests: Limit | None = None
    max_concurrent_requests: Limit | None = None


class PassiveHealthCheck(Spec, frozen=True):
    """When an instance that fails is left out, and for how long."""

    interval: Duration | None = None
    max_failures: UInt32 | None = None
    enforcing_consecutive_5xx: Annotated[int, Meta(ge=0, le=100)] | None = field(
        default=None, name="enforcingConsecutive5xx"
    )
    max_ejection_percent: Annotated[int, Meta(ge=0, le=100)] | None = None
    base_ejection_time: Duration | None = None


class Upstream(Spec, frozen=True):
    """How a service calls one that it depends on, or all of them."""

    name: str = ""
    namespace: str = ""
    partition: str = ""
    peer: str = ""
    envoy_listener_json: str = field(default="", name="envoyListenerJSON")
    envoy_cluster_json: str = field(default="", name="envoyClusterJSON")
    protocol: str = ""
    connect_timeout_ms: Limit = 0
    limits: UpstreamLimits | None = None
    passive_health_check: PassiveHealthCheck | None = None
    mesh_gateway: MeshGateway | None = None
    balance_outbound_connections: str = ""


class Upstreams(Spec, frozen=True):
    """What holds for all upstreams, and for single ones instead."""

    defaults: Upstream | None = None
    overrides: list[Upstream] = []


class ServiceDefaultsDestination(Spec, frozen=True):
    """Addresses outside of the mesh that a terminating gateway leads to."""

    addresses: list[str] = []
    port: UInt32 = 0


class ServiceDefaults(Spec, frozen=True):
    """What a service speaks, whom it takes, and how it calls others."""

    protocol: str = ""
    mode: Mode = ""
    mutual_tls_mode: MutualTLSMode = field(default="", name="mutualTLSMode")
    transparent_proxy: TransparentProxy | None = None
    mesh_gateway: MeshGateway | None = None
    expose: Expose | None = None
    external_sni: str = field(default="", name="externalSNI")
    upstream_config: Upstreams | None = None
    destination: ServiceDefaultsDestination | None = None
    max_inbound_connections: Limit = 0
    local_connect_timeout_ms: Limit = 0
    local_request_timeout_ms: Limit = 0
    balance_inbound_connections: str = ""
    rate_limits: JsonObject | None = None
    envoy_extensions: list[EnvoyExtension] = []


class ProxyDefaults(Spec, frozen=True):
    """What holds for all services that do not say otherwise; there is one, called `global`."""

    config: JsonObject = {}
    mode: Mode = ""
    mutual_tls_mode: MutualTLSMode = field(default="", name="mutualTLSMode")
    transparent_proxy: TransparentProxy | None = None
    mesh_gateway: MeshGateway | None = None
    expose: Expose | None = None
    access_logs: JsonObject | None = None
    envoy_extensions: list[EnvoyExtension] = []
    failover_policy: FailoverPolicy | None = None
    prioritize_by_locality: PrioritizeByLocality | None = None
