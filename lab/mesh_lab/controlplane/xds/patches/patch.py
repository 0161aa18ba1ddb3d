"""One patch, ready to be applied, and the record of what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mesh_lab.controlplane.model.envoyfilter import (
    ApplyTo,
    ClusterMatch,
    EnvoyConfigObjectMatch,
    ListenerMatch,
    Operation,
    PatchContext,
    RouteConfigurationMatch,
)
from mesh_lab.controlplane.world.kubernetes import Origin

MERGES = ("MERGE", "MERGE_AND_REPLACE_LIST")


@dataclass(frozen=True, eq=False)
class Patch:
    """One patch of an EnvoyFilter, the `index`-th. `value` is a message that is copied before it is used, or None."""

    origin: Origin
    index: int
    apply_to: ApplyTo
    operation: Operation
    match: EnvoyConfigObjectMatch
    value: Any

    @property
    def path(self) -> str:
        """Where it stands in its object."""
        return f"spec.configPatches[{self.index}]"

    @property
    def merges(self) -> bool:
        """It merges its value into what it matches."""
        return self.operation in MERGES

    @property
    def listener(self) -> ListenerMatch | None:
        """The listeners that it is for; None for all."""
        return self.match.listener

    @property
    def route(self) -> RouteConfigurationMatch | None:
        """The routes that it is for; None for all."""
        return self.match.route_configuration

    @property
    def cluster(self) -> ClusterMatch | None:
        """The clusters that it is for; None for all."""
        return self.match.cluster

    def suits(self, context: PatchContext) -> bool:
        """Whether it is for this side of a proxy."""
        return self.match.context in (context, "ANY")


Patches = tuple[Patch, ...]


@dataclass
class Record:
    """What became of patches: those that changed something, and why others could not."""

    applied: dict[Patch, None] = field(default_factory=dict)
    failed: dict[Patch, str] = field(default_factory=dict)

    def took(self, patch: Patch) -> None:
        """A patch has changed something."""
        self.applied[patch] = None

    def fail(self, patch: Patch, reason: str) -> None:
        """A patch has matched something that it cannot change."""
        self.failed[patch] = reason
