"""Telemetry: which of its resources concern a workload, in the order in which they override each other.

The mesh's comes first, then the namespace's, then those that select the pod; of several without a selector the oldest
holds. https://istio.io/latest/docs/reference/config/telemetry/
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from mesh_lab.controlplane.model.providers import ExtensionProvider, ServiceProvider
from mesh_lab.controlplane.model.telemetry import ModeSelector, ProviderRef, Telemetry, WorkloadMode
from mesh_lab.controlplane.world.kubernetes import ObjectKey, Origin
from mesh_lab.controlplane.world.meshconfig import MeshConfig
from mesh_lab.controlplane.world.snapshot import Config, Table
from mesh_lab.controlplane.xds import names
from mesh_lab.controlplane.xds.memo import memoised
from mesh_lab.controlplane.xds.mtls import selects
from mesh_lab.controlplane.xds.services import MeshService

TelemetryConfig = Config[Telemetry]
Mode = Literal["CLIENT", "SERVER"]
"""A workload's part in a request: a gateway is a client."""

Backends = tuple[tuple[str, str], ...]
"""The services that the mesh's providers name, as they name them, each with its hostname; only those that exist."""


@dataclass(frozen=True)
class Applied:
    """The resources that concern a workload, the widest first, and the services behind providers."""

    levels: tuple[TelemetryConfig, ...] = ()
    backends: Backends = ()

    @property
    def origins(self) -> tuple[Origin, ...]:
        """Where they come from."""
        return tuple(config.origin for config in self.levels)

    def cluster(self, part: ServiceProvider) -> tuple[str, str] | None:
        """The host of a provider, and the cluster that leads there; None where there is no such service."""
        host = dict(self.backends).get(part.service)
        return (host, names.outbound_cluster(part.port, "", host)) if host is not None else None


NOTHING = Applied()


@memoised
def applied(
    table: Table[ObjectKey, TelemetryConfig],
    namespace: str,
    labels: tuple[tuple[str, str], ...],
    root_namespace: str,
    backends: Backends,
) -> Applied:
    """The resources for a workload; those with targets are for waypoints, of which there are none."""
    ordered = sorted(table.values(), key=lambda config: config.precedence)
    mine = dict(labels)
    wide = [_wide(ordered, where) for where in dict.fromkeys((root_namespace, namespace))]
    own = [
        config
        for config in ordered
        if config.namespace == namespace and (wanted := _wanted(config)) and selects(wanted, mine)
    ]
    return Applied((*(config for config in wide if config is not None), *own), backends)


def _wide(ordered: Iterable[TelemetryConfig], namespace: str) -> TelemetryConfig | None:
    return next((c for c in ordered if c.namespace == namespace and is_wide(c.spec)), None)


def is_wide(spec: Telemetry) -> bool:
    """Whether it is for a whole namespace, or the mesh."""
    return not (spec.selector and spec.selector.match_labels) and spec.target_ref is None and not spec.target_refs


def _wanted(config: TelemetryConfig) -> dict[str, str]:
    spec = config.spec
    return dict(spec.selector.match_labels) if spec.selector and not (spec.target_ref or spec.target_refs) else {}


def concerns(match: ModeSelector | None, mode: Mode) -> bool:
    """Whether a part is for a workload in that role."""
    return mode in modes(match.mode if match is not None else "CLIENT_AND_SERVER")


def modes(mode: WorkloadMode) -> tuple[Mode, ...]:
    """The roles that a mode stands for."""
    return ("CLIENT", "SERVER") if mode == "CLIENT_AND_SERVER" else (mode,)


def named(providers: Iterable[ProviderRef]) -> list[str]:
    """The names of providers."""
    return [provider.name for provider in providers]


def fetch(mesh: MeshConfig, name: str) -> ExtensionProvider | None:
    """A provider by its name, in which case does not matter."""
    return next((each for each in mesh.extension_providers if each.name.lower() == name.lower()), None)


@memoised
def backends_of(services: Table[str, MeshService], mesh: MeshConfig) -> Backends:
    """The services of all providers of the mesh: `HOST`, which must be one service's only, or `NAMESPACE/HOST`."""
    wanted = (
        part.service
        for provider in mesh.extension_providers
        for part in provider.given.values()
        if isinstance(part, ServiceProvider) and part.service
    )
    found = {}
    for text in dict.fromkeys(wanted):
        namespace, _, host = text.rpartition("/")
        service = services.get(host)
        if service is not None and namespace in ("", service.namespace):
            found[text] = service.hostname
    return tuple(found.items())
