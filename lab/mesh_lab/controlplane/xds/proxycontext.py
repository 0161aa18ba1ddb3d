"""What the listeners of a proxy are made by: one thing that is passed along."""

from __future__ import annotations

from typing import NamedTuple

from mesh_lab.controlplane.world.meshconfig import MeshConfig
from mesh_lab.controlplane.xds.peers import Own
from mesh_lab.controlplane.xds.telemetries import NOTHING, Applied


class ProxyContext(NamedTuple):
    """The mesh's settings, the workload that the proxy is part of, and the Telemetry resources for it.

    Equal contexts give equal listeners. `looks_up`: requests may be for hosts that are looked up for each of them.
    """

    mesh: MeshConfig
    own: Own
    telemetry: Applied = NOTHING
    looks_up: bool = False
