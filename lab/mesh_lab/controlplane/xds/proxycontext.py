"""What the listeners of a proxy are made by: one thing that is passed along."""

from __future__ import annotations

from typing import NamedTuple

from mesh_lab.controlplane.model.meshproxy import Topology
from mesh_lab.controlplane.world.kubernetes import PROXY_CONFIG_ANNOTATION, Pod
from mesh_lab.controlplane.world.meshconfig import MeshConfig
from mesh_lab.controlplane.world.proxyconfig import effective
from mesh_lab.controlplane.xds.memo import memoised
from mesh_lab.controlplane.xds.peers import Own
from mesh_lab.controlplane.xds.telemetries import NOTHING, Applied


class ProxyContext(NamedTuple):
    """The mesh's settings, the workload that the proxy is part of, and the Telemetry resources for it.

    Equal contexts give equal listeners. `looks_up`: requests may be for hosts that are looked up for each of them.
    `topology`: what stands before a gateway.
    """

    mesh: MeshConfig
    own: Own
    telemetry: Applied = NOTHING
    looks_up: bool = False
    topology: Topology = Topology()


def gateway_context(mesh: MeshConfig, own: Own, telemetry: Applied, pod: Pod) -> ProxyContext:
    """The context of a gateway, whose pod may say by its annotation what stands before it."""
    topology = _topology(mesh, pod.annotations.get(PROXY_CONFIG_ANNOTATION, ""))
    return ProxyContext(mesh, own, telemetry, topology=topology)


@memoised
def _topology(mesh: MeshConfig, annotation: str) -> Topology:
    try:
        settings = effective(mesh.default_config, annotation=annotation)
    except ValueError:
        # Injection refuses such an annotation; a gateway that was not injected is as the mesh says.
        settings = mesh.default_config
    return settings.gateway_topology or Topology()
