"""From a cluster's name in the settings to the cluster."""

from __future__ import annotations

from collections.abc import Callable

from mesh_lab.clusters.base import Cluster
from mesh_lab.settings import Lab


def open_cluster(lab: Lab) -> Cluster:
    """The cluster that the lab's settings name. Only that one's code is imported."""
    return _KINDS[lab.settings.cluster](lab)


def _embedded(lab: Lab) -> Cluster:
    from mesh_lab.clusters.embedded.cluster import EmbeddedCluster

    return EmbeddedCluster(lab)


def _kind(lab: Lab) -> Cluster:
    from mesh_lab.clusters.kind.cluster import KindCluster

    return KindCluster(lab)


def _existing(lab: Lab) -> Cluster:
    from mesh_lab.clusters.existing import ExistingCluster

    return ExistingCluster(lab)


_KINDS: dict[str, Callable[[Lab], Cluster]] = {"embedded": _embedded, "kind": _kind, "existing": _existing}
