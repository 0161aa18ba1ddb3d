"""Finds the container of a streaming request: exec, attach, port-forward and log.

The messages are those of a real API server, which checks this before the upgrade. The annotation
`kubectl.kubernetes.io/default-container` is read by kubectl and not by servers.
"""

from __future__ import annotations

from typing import Any

from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import bad_request

_KINDS = ("containers", "initContainers", "ephemeralContainers")


def container(pod: Object, wanted: str) -> str:
    """Return the container as `named` does, of a pod that has a node.

    Raises:
        ApiError: 400, as for `named`, or the pod has no node yet.
    """
    found = named(pod, wanted)
    check_assigned(pod)
    return found


def named(pod: Object, wanted: str) -> str:
    """Return the name of the wanted container, or of the only one when none is named.

    Raises:
        ApiError: 400, the pod has no such container, or several to choose from.
    """
    name, spec = pod["metadata"]["name"], pod["spec"]
    if wanted and all(wanted not in _names(spec, kind) for kind in _KINDS):
        raise bad_request(f"container {wanted} is not valid for pod {name}")
    found = _names(spec, "containers")
    if not wanted and len(found) != 1:
        choice = f"[{' '.join(found)}]"
        if init := _names(spec, "initContainers"):
            choice += f" or one of the init containers: [{' '.join(init)}]"
        raise bad_request(f"a container name must be specified for pod {name}, choose one of: {choice}")
    return wanted or found[0]


def check_assigned(pod: Object) -> None:
    """Raise `ApiError` 400 for a pod that no node has yet."""
    if not pod["spec"].get("nodeName"):
        raise bad_request(f"pod {pod['metadata']['name']} does not have a host assigned")


def _names(spec: dict[str, Any], kind: str) -> list[str]:
    return [one["name"] for one in spec.get(kind) or ()]
