"""Rules of Events."""

from __future__ import annotations

from collections.abc import Iterator

from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import Cause
from mesh_lab.kube.registry.rules.causes import invalid

_CLUSTER_EVENTS = ("default", "kube-system")


def check(event: Object) -> Iterator[Cause]:
    """An Event stands in the namespace of what it is about; those about cluster-wide objects in `default`."""
    namespace = event["metadata"].get("namespace", "")
    about = (event.get("involvedObject") or {}).get("namespace", "")
    if about != namespace and not (not about and namespace in _CLUSTER_EVENTS):
        yield invalid("involvedObject.namespace", about, "does not match event.namespace")
