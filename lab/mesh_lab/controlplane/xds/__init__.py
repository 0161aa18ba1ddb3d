"""Translation: a snapshot and a proxy in, Envoy resources out; pure functions, one module a resource type."""

from __future__ import annotations

from mesh_lab.controlplane.xds.built import TYPE_CLUSTER, TYPE_ENDPOINT, TYPE_LISTENER, TYPE_ROUTE, Built
from mesh_lab.controlplane.xds.generator import Generator, Resources

__all__ = ["TYPE_CLUSTER", "TYPE_ENDPOINT", "TYPE_LISTENER", "TYPE_ROUTE", "Built", "Generator", "Resources"]
