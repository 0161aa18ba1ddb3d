"""Where a pod is, as Istio finds it (https://istio.io/latest/docs/tasks/traffic-management/locality-load-balancing/)."""

from __future__ import annotations

from mesh_lab.client.objects import Object

LABEL = "istio-locality"
NODE_LABELS = ("topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone")


def locality(pod: Object, node: Object | None) -> str:
    """`region/zone/subzone`, by the pod's label (dots for slashes), or else by its node's."""
    own = pod["metadata"].get("labels", {}).get(LABEL)
    if own:
        return str(own) if "/" in own else own.replace(".", "/")
    labels = {} if node is None else node["metadata"].get("labels", {})
    return "/".join(labels.get(name, "") for name in NODE_LABELS).rstrip("/")
