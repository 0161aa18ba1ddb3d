"""The services that a proxy itself calls, to report what it logs and traces."""

from __future__ import annotations

from collections.abc import Iterator

from mesh_lab.controlplane.model.providers import ServiceProvider
from mesh_lab.controlplane.world.meshconfig import MeshConfig
from mesh_lab.controlplane.xds.accesslogs import choices
from mesh_lab.controlplane.xds.memo import memoised
from mesh_lab.controlplane.xds.telemetries import Applied, Mode, fetch
from mesh_lab.controlplane.xds.tracing import spans

_MODES: tuple[Mode, ...] = ("CLIENT", "SERVER")


@memoised
def called_by_proxy(applied: Applied, mesh: MeshConfig) -> tuple[str, ...]:
    """Their hostnames. Each has a cluster, whatever a Sidecar hides: Envoy refuses a tracer without one."""
    known = dict(applied.backends)
    if not known:
        return ()
    parts = (part for name in _in_use(applied, mesh) if (found := fetch(mesh, name)) for part in found.given.values())
    used = (known.get(part.service) for part in parts if isinstance(part, ServiceProvider))
    return tuple(dict.fromkeys(host for host in used if host is not None))


def _in_use(applied: Applied, mesh: MeshConfig) -> Iterator[str]:
    for mode in _MODES:
        yield from (name for name, choice in choices(applied, mesh, mode) if not choice.disabled)
        said = spans(applied, mesh, mode)
        if said is not None and said.provider is not None and not said.disabled:
            yield said.provider.name
