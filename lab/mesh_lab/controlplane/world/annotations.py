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
MERGE_METRICS = "prometheus.istio.io/merge-metrics"
SCRAPE_TARGETS = "prometheus.istio.io/scrape-targets"
INCLUDE_INBOUND_PORTS = "traffic.sidecar.istio.io/includeInboundPorts"
EXCLUDE_INBOUND_PORTS = "traffic.sidecar.istio.io/excludeInboundPorts"
EXCLUDE_OUTBOUND_PORTS = "traffic.sidecar.istio.io/excludeOutboundPorts"
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
        INCLUDE_OUTBOUND_RANGES,
        EXCLUDE_OUTBOUND_RANGES,
    }
)
"""On a pod, or the template of one, these have an effect; of `proxy.istio.io/config` the fields that `values` reads."""

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
