"""Metrics: what Telemetry changes in Istio's standard ones, for one side of a workload.

https://istio.io/latest/docs/tasks/observability/metrics/telemetry-api/
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from mesh_lab.controlplane.model.telemetry import Metrics, MetricsOverrides, TagOverride
from mesh_lab.controlplane.validation.cel import unable
from mesh_lab.controlplane.validation.metrictags import peer_label, value_of
from mesh_lab.controlplane.world.meshconfig import MeshConfig
from mesh_lab.controlplane.xds.memo import memoised
from mesh_lab.controlplane.xds.telemetries import Applied, Mode, fetch, modes, named

REQUESTS = "requests_total"
DURATION = "request_duration_milliseconds"
METRICS = {
    "REQUEST_COUNT": REQUESTS,
    "REQUEST_DURATION": DURATION,
    "REQUEST_SIZE": "request_bytes",
    "RESPONSE_SIZE": "response_bytes",
    "TCP_OPENED_CONNECTIONS": "tcp_connections_opened_total",
    "TCP_CLOSED_CONNECTIONS": "tcp_connections_closed_total",
    "TCP_SENT_BYTES": "tcp_sent_bytes_total",
    "TCP_RECEIVED_BYTES": "tcp_received_bytes_total",
    "GRPC_REQUEST_MESSAGES": "request_messages_total",
    "GRPC_RESPONSE_MESSAGES": "response_messages_total",
}
"""Istio's metrics by their names in Telemetry; the last two are not counted here."""


class Tags(NamedTuple):
    """How a metric's labels differ.

    `computed` are new ones by expressions; `copied` are new ones with the value of a standard label; `removed` are
    standard ones that go.
    """

    computed: tuple[tuple[str, str], ...] = ()
    copied: tuple[tuple[str, str], ...] = ()
    removed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rules:
    """What is counted: all but `dropped`, with these tags by the metric's name."""

    dropped: frozenset[str] = frozenset()
    tags: tuple[tuple[str, Tags], ...] = ()

    def of(self, metric: str) -> Tags:
        """The tags of a metric."""
        return dict(self.tags).get(metric, _AS_IT_IS)


_AS_IT_IS = Tags()


@memoised
def rules_of(applied: Applied, mesh: MeshConfig, mode: Mode) -> Rules | None:
    """As Istio merges the resources (`mergeMetrics` in pilot/pkg/model/telemetry.go); None: nothing is counted.

    Of several providers for Prometheus there is one set of metrics.
    """
    parts = [part for config in applied.levels for part in config.spec.metrics]
    in_scope = [name for part in parts for name in [named(part.providers)] if name]
    providers = in_scope[-1] if in_scope else list(mesh.default_providers.metrics)
    provider = next((name for name in providers if _is_prometheus(mesh, name)), None)
    if provider is None:
        return None
    said: dict[str, dict[str, TagOverride]] = {}
    disabled: dict[str, bool] = {}
    all_disabled = False
    for override in _overrides(parts, mesh, provider):
        match = override.match
        if mode not in modes(match.mode if match is not None else "CLIENT_AND_SERVER"):
            continue
        if override.disabled and _is_all(override):
            all_disabled = True
            continue
        all_disabled = False
        for metric in _metrics(override):
            if override.disabled is not None:
                disabled[metric] = override.disabled
            said.setdefault(metric, {}).update(override.tag_overrides)
    if all_disabled:
        return None
    tags = tuple((metric, _tags(some)) for metric, some in sorted(said.items()) if some)
    return Rules(frozenset(metric for metric, off in disabled.items() if off), tags)


def _is_prometheus(mesh: MeshConfig, name: str) -> bool:
    found = fetch(mesh, name)
    return found is not None and found.prometheus is not None


def _overrides(parts: list[Metrics], mesh: MeshConfig, provider: str) -> Iterator[MetricsOverrides]:
    """Those for a provider; a part without providers is for those of the part before it."""
    providers = list(mesh.default_providers.metrics)
    for part in parts:
        providers = named(part.providers) or providers
        if provider in providers:
            yield from part.overrides


def _is_all(override: MetricsOverrides) -> bool:
    match = override.match
    return match is None or (match.custom_metric is None and match.metric in (None, "ALL_METRICS"))


def _metrics(override: MetricsOverrides) -> tuple[str, ...]:
    """A metric of one's own may be a standard one by its name; there are no others."""
    match = override.match
    if match is None or _is_all(override):
        return tuple(METRICS.values())
    return (match.custom_metric or METRICS[match.metric or ""],)


def _tags(overrides: dict[str, TagOverride]) -> Tags:
    computed, copied, removed = [], [], []
    for name, override in sorted(overrides.items()):
        if override.operation == "REMOVE":
            removed.append(name)
            continue
        label = peer_label(override.value)
        if label is not None:
            copied.append((name, label))
        elif not unable(value_of(override.value)):
            computed.append((name, value_of(override.value)))
    return Tags(tuple(computed), tuple(copied), tuple(removed))
