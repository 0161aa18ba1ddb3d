"""From a cluster's name in the settings to the cluster."""

from __future__ import annotations

from lab.clusters.base import Cluster
from lab.clusters.embedded.cluster import EmbeddedCluster
from lab.settings import Lab

_KINDS: dict[str, type[EmbeddedCluster]] = {"embedded": EmbeddedCluster}


def open_cluster(lab: Lab) -> Cluster:
    """The cluster that the lab's settings name."""
    return _KINDS[lab.settings.cluster](lab)
