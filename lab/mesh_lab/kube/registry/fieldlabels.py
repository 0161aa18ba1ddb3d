"""The fields that a field selector may name, per kind; `metadata.name` and `metadata.namespace` are known everywhere.

The table is that of Kubernetes 1.33 (`AddFieldLabelConversionFunc` of each kind), and CRDs add their
`selectableFields`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mesh_lab.kube.errors import bad_request
from mesh_lab.kube.registry.selectors import FieldSelector
from mesh_lab.kube.resources import Resource

COMMON = ("metadata.name", "metadata.namespace")

LABELS: dict[str, tuple[str, ...]] = {
    "pods": (
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    ),
    "events": (
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.resourceVersion",
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "source",
        "type",
    ),
    "secrets": ("type",),
    "namespaces": ("status.phase",),
    "nodes": ("spec.unschedulable",),
    "services": ("spec.clusterIP", "spec.type"),
    "replicasets.apps": ("status.replicas",),
}

# What stands in the object under another name than the label's.
_PATHS = {"source": "source.component"}
# What an absent field reads as; text is empty otherwise.
_ABSENT = {
    "spec.unschedulable": "false",
    "spec.hostNetwork": "false",
    "status.replicas": "0",
}


def reader(resource: Resource, selector: FieldSelector, more: tuple[str, ...] = ()) -> Callable[[Any, str], str]:
    """How the fields that `selector` names are read off objects of `resource`; `more` are further known fields.

    Raises:
        ApiError: 400, the selector names a field that cannot be selected by.
    """
    known = {*COMMON, *LABELS.get(resource.key, ()), *more}
    for path, _, _ in selector.terms:
        if path not in known:
            raise bad_request(f"field label not supported: {path}")
    return _read


def _read(obj: Mapping[str, Any], path: str) -> str:
    value: Any = obj
    for part in _PATHS.get(path, path).split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    if value is None:
        return _ABSENT.get(path, "")
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)
