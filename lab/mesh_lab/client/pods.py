"""What a pod's document says about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mesh_lab.client.objects import Object

PROXY_CONTAINER = "istio-proxy"


def running_containers(pod: Mapping[str, Any]) -> list[Object]:
    """The containers that run as long as a pod does: with Istio's native sidecars the proxy is an init container."""
    spec = pod["spec"]
    sidecars = [c for c in spec.get("initContainers", []) if c.get("restartPolicy") == "Always"]
    return [*spec.get("containers", []), *sidecars]


def has_proxy(pod: Mapping[str, Any]) -> bool:
    """Whether a proxy runs in the pod: a gateway's, or a sidecar of either kind."""
    return any(container["name"] == PROXY_CONTAINER for container in running_containers(pod))


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether the pod is ready and not on its way out."""
    conditions = pod.get("status", {}).get("conditions", [])
    ready = any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]
