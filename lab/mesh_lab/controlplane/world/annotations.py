"""The annotations and labels of a pod that injection reads, and how their values are parsed.

https://istio.io/latest/docs/reference/config/annotations/ lists all of Istio's. What is not here has no effect.
"""

from __future__ import annotations

from collections.abc import Mapping

from mesh_lab.controlplane.world.kubernetes import (
    PROXY_CONFIG_ANNOTATION,
    STATISTICS_ANNOTATIONS,
    TEMPLATES_ANNOTATION,
    TLS_MODE_LABEL,
)

INJECT = "sidecar.istio.io/inject"
PROXY_IMAGE = "sidecar.istio.io/proxyImage"
LOG_LEVEL = "sidecar.istio.io/logLevel"
REWRITE_PROBES = "sidecar.istio.io/rewriteAppHTTPProbers"
NATIVE_SIDECAR = "sidecar.istio.io/nativeSidecar"
COMPONENT_LOG_LEVEL = "sidecar.istio.io/componentLogLevel"
PROXY_CPU = "sidecar.istio.io/proxyCPU"
PROXY_CPU_LIMIT = "sidecar.istio.io/proxyCPULimit"
PROXY_MEMORY = "sidecar.istio.io/proxyMemory"
PROXY_MEMORY_LIMIT = "sidecar.istio.io/proxyMemoryLimit"
BOOTSTRAP_OVERRIDE = "sidecar.istio.io/bootstrapOverride"
USER_VOLUME = "sidecar.istio.io/userVolume"
USER_VOLUME_MOUNT = "sidecar.istio.io/userVolumeMount"
STATS_FLUSH_INTERVAL = "sidecar.istio.io/statsFlushInterval"
STATS_HISTOGRAM_BUCKETS = "sidecar.istio.io/statsHistogramBuckets"
STATUS_PORT = "status.sidecar.istio.io/port"
READINESS_INITIAL_DELAY = "readiness.status.sidecar.istio.io/initialDelaySeconds"
READINESS_PERIOD = "readiness.status.sidecar.istio.io/periodSeconds"
READINESS_FAILURES = "readiness.status.sidecar.istio.io/failureThreshold"
MERGE_METRICS = "prometheus.istio.io/merge-metrics"
SCRAPE_TARGETS = "prometheus.istio.io/scrape-targets"
SECURE_PORT = "prometheus.istio.io/secure-port"
INCLUDE_INBOUND_PORTS = "traffic.sidecar.istio.io/includeInboundPorts"
EXCLUDE_INBOUND_PORTS = "traffic.sidecar.istio.io/excludeInboundPorts"
EXCLUDE_OUTBOUND_PORTS = "traffic.sidecar.istio.io/excludeOutboundPorts"
INCLUDE_OUTBOUND_PORTS = "traffic.sidecar.istio.io/includeOutboundPorts"
EXCLUDE_INTERFACES = "traffic.sidecar.istio.io/excludeInterfaces"
KUBEVIRT_INTERFACES = "traffic.sidecar.istio.io/kubevirtInterfaces"
REROUTED_INTERFACES = "istio.io/reroute-virtual-interfaces"
INCLUDE_OUTBOUND_RANGES = "traffic.sidecar.istio.io/includeOutboundIPRanges"
EXCLUDE_OUTBOUND_RANGES = "traffic.sidecar.istio.io/excludeOutboundIPRanges"
CANONICAL_NAME = "service.istio.io/canonical-name"
CANONICAL_REVISION = "service.istio.io/canonical-revision"

HEEDED_ANNOTATIONS = frozenset(
    {
        INJECT,
        TEMPLATES_ANNOTATION,
        PROXY_CONFIG_ANNOTATION,
        PROXY_IMAGE,
        LOG_LEVEL,
        REWRITE_PROBES,
        NATIVE_SIDECAR,
        MERGE_METRICS,
        SCRAPE_TARGETS,
        *STATISTICS_ANNOTATIONS,
        INCLUDE_INBOUND_PORTS,
        EXCLUDE_INBOUND_PORTS,
        EXCLUDE_OUTBOUND_PORTS,
        INCLUDE_OUTBOUND_PORTS,
        EXCLUDE_INTERFACES,
        KUBEVIRT_INTERFACES,
        REROUTED_INTERFACES,
        COMPONENT_LOG_LEVEL,
        PROXY_CPU,
        PROXY_CPU_LIMIT,
        PROXY_MEMORY,
        PROXY_MEMORY_LIMIT,
        BOOTSTRAP_OVERRIDE,
        USER_VOLUME,
        USER_VOLUME_MOUNT,
        STATS_FLUSH_INTERVAL,
        STATS_HISTOGRAM_BUCKETS,
        STATUS_PORT,
        READINESS_INITIAL_DELAY,
        READINESS_PERIOD,
        READINESS_FAILURES,
        INCLUDE_OUTBOUND_RANGES,
        EXCLUDE_OUTBOUND_RANGES,
    }
)
"""On a pod, or the template of one, these have an effect; of `proxy.istio.io/config` what is in `PER_PROXY`."""

AS_IT_IS: Mapping[str, frozenset[str]] = {
    "sidecar.istio.io/interceptionMode": frozenset({"REDIRECT"}),
    "sidecar.istio.io/discoveryAddress": frozenset({"istiod.istio-system.svc:15012"}),
}
"""Values of other annotations that equal what the lab does anyway."""

ONLY: Mapping[str, frozenset[str]] = {STATUS_PORT: frozenset({"0", "15020"})}
"""Values with an effect, of annotations of which others have none."""

HEEDED_LABELS = frozenset(
    {
        INJECT,
        TLS_MODE_LABEL,
        CANONICAL_NAME,
        CANONICAL_REVISION,
    }
)

# As Go's strconv.ParseBool has them.
_BOOLEANS: Mapping[str, bool] = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}


def parse_boolean(text: str) -> bool | None:
    """The boolean that Go reads in the text; None when it is neither."""
    return _BOOLEANS.get(text)


def boolean(annotations: Mapping[str, str], name: str, default: bool) -> bool:
    """An annotation's value, or the default without it.

    Raises:
        ValueError: the value, whose annotation it names, is neither true nor false.
    """
    if name not in annotations:
        return default
    value = parse_boolean(annotations[name])
    if value is None:
        raise ValueError(f"annotation {name}: {annotations[name]!r} is neither true nor false")
    return value
