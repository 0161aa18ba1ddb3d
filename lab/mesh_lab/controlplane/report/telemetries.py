"""What Istio's analysers say about Telemetry, and what its providers lack.

https://istio.io/latest/docs/reference/config/analysis/
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mesh_lab.controlplane.model.providers import ExtensionProvider, ServiceProvider
from mesh_lab.controlplane.model.telemetry import AccessLogging, Metrics, ProviderRef, Telemetry, Tracing
from mesh_lab.controlplane.world.findings import Finding
from mesh_lab.controlplane.world.snapshot import Snapshot
from mesh_lab.controlplane.xds.scope import registry_of
from mesh_lab.controlplane.xds.telemetries import TelemetryConfig, backends_of, fetch, is_wide

_USES = {
    "tracing": ("zipkin", "opentelemetry", "skywalking", "datadog"),
    "metrics": ("prometheus",),
    "accessLogging": ("envoyFileAccessLog", "envoyHttpAls", "envoyTcpAls", "envoyOtelAls"),
}
"""The kinds of provider that each part of a resource can use."""


class _Named(NamedTuple):
    """Where a resource names a provider, and what for."""

    path: str
    use: str
    provider: ProviderRef


def telemetries_are_clear(snapshot: Snapshot) -> Iterator[Finding]:
    """IST0160, IST0157 and IST0101: of several for a namespace one holds, and providers have to exist."""
    table = snapshot.of(Telemetry).values()
    if not table:
        return
    wide: dict[str, list[TelemetryConfig]] = {}
    for config in table:
        if is_wide(config.spec):
            wide.setdefault(config.namespace, []).append(config)
        yield from _without_providers(config, snapshot)
        yield from _providers_exist(config, snapshot)
    for namespace, configs in wide.items():
        if len(configs) > 1:
            names = " ".join(sorted(config.name for config in configs))
            text = (
                f'The Telemetries [{names}] in namespace "{namespace}" have no workload selector, which can lead to '
                "undefined behavior."
            )
            for config in configs:
                yield Finding("error", "IST0160", text, "spec.selector", config.origin)


def _without_providers(config: TelemetryConfig, snapshot: Snapshot) -> Iterator[Finding]:
    """A part that names none has those of the mesh, of which there may be none."""
    if snapshot.mesh.default_providers.access_logging:
        return
    for index, part in enumerate(config.spec.access_logging):
        if not part.disabled and not part.providers:
            text = (
                f'The Telemetry {config.name} in namespace "{config.namespace}" with empty providers will be ignored.'
            )
            yield Finding("warning", "IST0157", text, f"spec.accessLogging[{index}].providers", config.origin)


def _providers_exist(config: TelemetryConfig, snapshot: Snapshot) -> Iterator[Finding]:
    mesh = snapshot.mesh
    backends = dict(backends_of(registry_of(snapshot).services, mesh))
    for path, use, named in _named(config.spec):
        provider = fetch(mesh, named.name)
        if provider is None:
            text = f'Referenced extension provider not found: "{named.name}"'
            yield Finding("error", "IST0101", text, path, config.origin)
        elif not provider.given.keys() & _USES[use]:
            text = f"Schema validation warning: {path}: the provider {named.name} has no effect for {use}"
            yield Finding("warning", "IST0133", text, path, config.origin)
        elif (service := _service(provider)) and service not in backends:
            text = f'Referenced service of the extension provider {named.name} not found: "{service}"'
            yield Finding("error", "IST0101", text, path, config.origin)


def _service(provider: ExtensionProvider) -> str:
    return next((part.service for part in provider.given.values() if isinstance(part, ServiceProvider)), "")


def _named(spec: Telemetry) -> Iterator[_Named]:
    said: tuple[tuple[str, Sequence[Tracing | Metrics | AccessLogging]], ...] = (
        ("tracing", spec.tracing),
        ("metrics", spec.metrics),
        ("accessLogging", spec.access_logging),
    )
    for use, parts in said:
        for index, part in enumerate(parts):
            for number, provider in enumerate(part.providers):
                yield _Named(f"spec.{use}[{index}].providers[{number}].name", use, provider)
