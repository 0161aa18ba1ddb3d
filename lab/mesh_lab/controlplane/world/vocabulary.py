"""What the world is told of a dialect: the types of its kinds, and how its objects are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from mesh_lab.controlplane.model.base import Spec
from mesh_lab.controlplane.world.snapshot import Reading, Snapshot


class Vocabulary(Protocol):
    """A dialect: the types of its kinds, and what its objects stand for."""

    @property
    def kinds(self) -> Mapping[str, type[Spec]]:
        """The types, by the names of the kinds."""

    @property
    def read(self) -> Callable[[Snapshot], Reading]:
        """What the objects in a snapshot stand for."""
