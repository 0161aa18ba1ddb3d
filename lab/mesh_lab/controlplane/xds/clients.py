"""What of a client decides which endpoints it prefers: where it runs, and some of its labels."""

from __future__ import annotations

from mesh_lab.controlplane.world.kubernetes import Pod
from mesh_lab.controlplane.world.locality import Locality, with_topology
from mesh_lab.controlplane.world.meshconfig import MeshConfig
from mesh_lab.controlplane.xds.localities import Client, labels_wanted
from mesh_lab.controlplane.xds.memo import memoised
from mesh_lab.controlplane.xds.scope import Scope


def client_of(scope: Scope, mesh: MeshConfig, pod: Pod, locality: Locality) -> Client:
    """Where a pod is, and those of its labels by which any endpoints are preferred."""
    wanted = _labels_wanted(scope, mesh)
    if not wanted:
        return Client(locality)
    labels = with_topology(pod.labels, locality, pod.node)
    return Client(locality, tuple(sorted((name, labels[name]) for name in wanted & labels.keys())))


@memoised
def _labels_wanted(scope: Scope, mesh: MeshConfig) -> frozenset[str]:
    known = (*scope.services, *scope.imported)
    return labels_wanted(mesh, scope.rules.values(), (service.traffic_distribution for service in known))
