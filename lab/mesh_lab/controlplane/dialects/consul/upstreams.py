"""ServiceDefaults' `upstreamConfig` as the internal model has it: rules for the calls of one service to others."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from mesh_lab.controlplane.dialects.consul import rules
from mesh_lab.controlplane.dialects.consul.kinds import ServiceDefaults, ServiceResolver
from mesh_lab.controlplane.dialects.consul.kinds.defaults import PassiveHealthCheck, Upstream, UpstreamLimits
from mesh_lab.controlplane.dialects.consul.objects import Entry, Sources
from mesh_lab.controlplane.model import DestinationRule
from mesh_lab.controlplane.model.base import WorkloadSelector
from mesh_lab.controlplane.model.choosing import ServiceRule
from mesh_lab.controlplane.model.destinationrule import (
    ConnectionPoolSettings,
    HTTPSettings,
    OutlierDetection,
    TCPSettings,
    TrafficPolicy,
)
from mesh_lab.controlplane.world.kubernetes import ObjectKey
from mesh_lab.controlplane.world.snapshot import Config


def destination_rules(sources: Sources) -> Iterator[Config[DestinationRule]]:
    """A rule for each service that a service with `upstreamConfig` may call, beside what its resolver says."""
    for entry in sources.good(ServiceDefaults):
        caller = (entry.origin.namespace, entry.origin.name)
        service = sources.services.get(caller)
        if entry.spec.upstream_config is None or service is None or not service.selector:
            continue
        selector = WorkloadSelector(match_labels=dict(service.selector))
        for key, upstream in _upstreams(entry, sources):
            yield _rule(entry, key, upstream, selector, sources)


def _upstreams(entry: Entry[ServiceDefaults], sources: Sources) -> Iterator[tuple[ObjectKey, Upstream]]:
    """What holds for each service: its override, which replaces the defaults as a whole, or these."""
    config = entry.spec.upstream_config
    if config is None:
        return
    own = {(each.namespace or entry.origin.namespace, each.name): each for each in config.overrides}
    yield from own.items()
    if config.defaults is not None:
        yield from ((key, config.defaults) for key in sources.services if key not in own)


def _rule(
    entry: Entry[ServiceDefaults], key: ObjectKey, upstream: Upstream, selector: WorkloadSelector, sources: Sources
) -> Config[DestinationRule]:
    resolver = sources.one(ServiceResolver, key)
    base = rules.rule(resolver, key, sources) if resolver is not None else ServiceRule(host=sources.host(key))
    policy = base.traffic_policy or TrafficPolicy()
    pool, outliers = _pool(policy.connection_pool, upstream), _outliers(upstream.passive_health_check)
    spec = msgspec.structs.replace(
        base,
        traffic_policy=msgspec.structs.replace(policy, connection_pool=pool, outlier_detection=outliers),
        workload_selector=selector,
    )
    namespace, name = entry.origin.namespace, entry.origin.name
    others = (resolver.origin,) if resolver is not None else ()
    made = f"{name}-calls-{key[1]}.{key[0]}-consul"
    return Config(entry.origin, namespace, made, {}, entry.created, spec, merged_from=others)


def _pool(base: ConnectionPoolSettings | None, upstream: Upstream) -> ConnectionPoolSettings | None:
    """The limits, and the time that a connection may take: the upstream's, or else the resolver's."""
    limits = upstream.limits or UpstreamLimits()
    given = base.tcp.connect_timeout if base is not None and base.tcp is not None else None
    limit = f"{upstream.connect_timeout_ms}ms" if upstream.connect_timeout_ms else given
    tcp = TCPSettings(max_connections=limits.max_connections or 0, connect_timeout=limit)
    http = HTTPSettings(
        http1_max_pending_requests=limits.max_pending_requests or 0,
        http2_max_requests=limits.max_concurrent_requests or 0,
    )
    return ConnectionPoolSettings(tcp, http)


def _outliers(check: PassiveHealthCheck | None) -> OutlierDetection | None:
    if check is None:
        return None
    return OutlierDetection(
        consecutive_5xx_errors=check.max_failures,
        interval=check.interval,
        base_ejection_time=check.base_ejection_time,
        max_ejection_percent=check.max_ejection_percent or 0,
    )
