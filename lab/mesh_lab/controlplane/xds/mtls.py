"""PeerAuthentication: which TLS a workload requires of its clients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mesh_lab.controlplane.model import PeerAuthentication
from mesh_lab.controlplane.model.security import Mode, MutualTLS
from mesh_lab.controlplane.world.kubernetes import Origin
from mesh_lab.controlplane.world.snapshot import Config
from mesh_lab.controlplane.xds.memo import memoised

PeerConfig = Config[PeerAuthentication]


@dataclass(frozen=True, eq=False)
class PeerPolicies:
    """The policies that concern the pods of one namespace. Of several at one level the oldest holds.

    The ones that could not be read, which may be for any workload, come before those of workloads.
    """

    mesh: PeerConfig | None
    namespace: PeerConfig | None
    workloads: tuple[PeerConfig, ...]

    def selecting(self, labels: Mapping[str, str]) -> tuple[PeerConfig, ...]:
        """Those that concern a pod, the nearest first."""
        own = next((config for config in self.workloads if selects(_wanted(config), labels)), None)
        return tuple(config for config in (own, self.namespace, self.mesh) if config is not None)

    def mode(self, labels: Mapping[str, str], port: int) -> Mode:
        """The mode for a port of a pod's container: the port's, the pod's, the namespace's, the mesh's, PERMISSIVE."""
        configs = self.selecting(labels)
        ports = [config.spec.port_level_mtls.get(str(port)) for config in configs if _wanted(config)]
        return next(filter(None, map(_set, [*ports, *(config.spec.mtls for config in configs)])), "PERMISSIVE")

    def ports(self, labels: Mapping[str, str]) -> tuple[int, ...]:
        """The ports of a pod's container that have a mode of their own."""
        own = [config for config in self.selecting(labels) if _wanted(config)]
        return tuple(int(port) for config in own for port in config.spec.port_level_mtls)

    def origins(self, labels: Mapping[str, str]) -> tuple[Origin, ...]:
        """The policies that decide for a pod."""
        return tuple(config.origin for config in self.selecting(labels))


def _wanted(config: PeerConfig) -> Mapping[str, str]:
    return config.spec.selector.match_labels if config.spec.selector else {}


def _set(mtls: MutualTLS | None) -> Mode | None:
    return None if mtls is None or mtls.mode == "UNSET" else mtls.mode


def selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Whether labels contain all that a selector demands."""
    return all(labels.get(key) == value for key, value in selector.items())


@memoised
def peer_policies(configs: Iterable[PeerConfig], namespace: str, root_namespace: str) -> PeerPolicies:
    """The policies for a namespace's pods. A selector in the root namespace concerns only that namespace's pods."""
    ordered = sorted(configs, key=lambda config: config.precedence)

    def wide(where: str) -> PeerConfig | None:
        return next((config for config in rest if config.namespace == where and not _wanted(config)), None)

    unread = [config for config in ordered if config.any_workload and config.namespace == namespace]
    rest = [config for config in ordered if not config.any_workload]
    return PeerPolicies(
        wide(root_namespace),
        wide(namespace) if namespace != root_namespace else None,
        (*unread, *(config for config in rest if config.namespace == namespace and _wanted(config))),
    )
