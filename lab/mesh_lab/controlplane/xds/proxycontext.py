"""What the listeners of a proxy are made by: one thing that is passed along."""

from __future__ import annotations

from typing import NamedTuple

from mesh_lab.controlplane.world.meshconfig import MeshConfig
from mesh_lab.controlplane.xds.peers import Own


class ProxyContext(NamedTuple):
    """The mesh's settings, and the workload that the proxy is part of. Equal contexts give equal listeners."""

    mesh: MeshConfig
    own: Own
