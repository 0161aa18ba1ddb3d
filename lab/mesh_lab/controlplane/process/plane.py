"""Which control plane this is, of those that a cluster may have side by side.

Apart from `revisions`: istiod reads its settings before any of its larger modules is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT = "default"
"""The revision without a name of its own."""


@dataclass(frozen=True)
class ControlPlane:
    """A control plane: its revision, and the namespace that it runs in, which has its root and its settings."""

    revision: str = DEFAULT
    namespace: str = "istio-system"

    def named(self, name: str) -> str:
        """What an object of this control plane is called, of which each revision has one."""
        return name if self.revision == DEFAULT else f"{name}-{self.revision}"


THE_DEFAULT = ControlPlane()
"""The control plane that the lab brings."""
