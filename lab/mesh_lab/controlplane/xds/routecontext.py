"""What the rules of a VirtualService are translated by: one thing that is passed along."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from mesh_lab.controlplane.model import VirtualService
from mesh_lab.controlplane.model.virtualservice import Destination, HTTPMatchRequest
from mesh_lab.controlplane.world.kubernetes import Origin
from mesh_lab.controlplane.world.snapshot import Config
from mesh_lab.controlplane.xds import hosts, names
from mesh_lab.controlplane.xds.matching import Viewpoint, concerns
from mesh_lab.controlplane.xds.policies import HostRules
from mesh_lab.controlplane.xds.services import MeshService
from mesh_lab.controlplane.xds.tcp import port_of


@dataclass(frozen=True)
class Target:
    """A host that routes lead to, with its service and rules where there are any."""

    host: str
    service: MeshService | None
    rules: HostRules | None

    @property
    def called(self) -> str:
        """The host whose clusters and rules are meant."""
        return self.service.called if self.service is not None else self.host


@dataclass(frozen=True)
class RouteContext:
    """What the rules of a VirtualService are translated by: where requests come from, and where its rules lead.

    Equal contexts give equal routes, so that results can be memoised on it.
    """

    config: Config[VirtualService]
    view: Viewpoint
    targets: tuple[Target, ...]
    domain: str

    @cached_property
    def _known(self) -> Mapping[str, Target]:
        return {target.host: target for target in self.targets}

    @property
    def origins(self) -> Iterator[Origin]:
        """The objects beside the VirtualService that its routes are made of: aliases, and DestinationRules."""
        for target in self.targets:
            if target.service is not None and target.called != target.host:
                yield target.service.origin
            if target.rules is not None:
                yield from target.rules.origins

    def target(self, destination: Destination) -> Target:
        """The host that a destination means."""
        host = hosts.resolve(destination.host, self.config.namespace, self.domain)
        return self._known.get(host) or Target(host, None, None)

    def cluster(self, destination: Destination) -> str:
        """The name of the cluster that a destination means."""
        target = self.target(destination)
        return names.outbound_cluster(self.port(destination, target), destination.subset, target.called)

    def port(self, destination: Destination, target: Target) -> int:
        """The number of the port that a destination means."""
        return port_of(destination, target.service, self.view.port)

    def concerns(self, match: HTTPMatchRequest) -> bool:
        """Whether a match can hold for requests that come from there."""
        return concerns(match, self.view, self.config.namespace)
