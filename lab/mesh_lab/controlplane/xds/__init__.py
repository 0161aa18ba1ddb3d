"""Translation: a snapshot and a proxy in, Envoy resources out; pure functions, one module a resource type."""

from __future__ import annotations

from mesh_lab.controlplane.xds.built import Built
from mesh_lab.controlplane.xds.generator import Generator, Resources

__all__ = ["Built", "Generator", "Resources"]
