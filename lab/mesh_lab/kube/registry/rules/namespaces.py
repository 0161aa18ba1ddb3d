"""Rules of namespaces."""

from __future__ import annotations

from collections.abc import Iterator

from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import Cause
from mesh_lab.kube.registry.metadata import validate_finalizers
from mesh_lab.kube.registry.podsecurity.levels import check_labels


def check_namespace(namespace: Object) -> Iterator[Cause]:
    """What holds a namespace back has a name that its owner can be told by, and its levels of security are known."""
    yield from check_labels(namespace["metadata"].get("labels") or {})
    yield from validate_finalizers((namespace.get("spec") or {}).get("finalizers") or (), "spec.finalizers")
