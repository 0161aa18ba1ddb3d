"""What a CustomResourceDefinition adds to the served resources.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mesh_lab.conditions import find
from mesh_lab.kube.changes import Object
from mesh_lab.kube.resources import Resource
from mesh_lab.kube.schemas import Schema
from mesh_lab.kube.schemas.structural import compile_custom

CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
"""The finalizer that holds a definition until its objects are gone."""


@dataclass(frozen=True)
class PrinterColumn:
    """A column of `kubectl get` (`additionalPrinterColumns`); those with a priority above 0 are for `-o wide`."""

    name: str
    type: str
    path: str
    format: str = ""
    description: str = ""
    priority: int = 0


@dataclass(frozen=True)
class ScalePaths:
    """Where a custom resource keeps what its `scale` subresource shows, as JSON paths (`.spec.replicas`)."""

    spec_replicas: str
    status_replicas: str
    selector: str = ""


@dataclass(frozen=True)
class ServedVersion:
    """One served version of a custom resource."""

    resource: Resource
    schema: Schema
    columns: tuple[PrinterColumn, ...] = ()
    selectable: tuple[str, ...] = ()
    scale: ScalePaths | None = None
    deprecation: str = ""


@dataclass(frozen=True)
class Definition:
    """What a CustomResourceDefinition adds to the table: its served versions, the preferred one first."""

    key: str
    storage_version: str
    served: tuple[ServedVersion, ...]
    list_kind: str
    generation: int = 0
    terminating: bool = False

    @property
    def group(self) -> str:
        """The API group."""
        return self.key.partition(".")[2]

    def stored_api_version(self) -> str:
        """The `apiVersion` that objects carry at rest."""
        return f"{self.group}/{self.storage_version}"


def is_established(crd: Object) -> bool:
    """Whether the definition's resources are served."""
    return find((crd.get("status") or {}).get("conditions"), "Established").get("status") == "True"


def definition_of(crd: Object) -> Definition:
    """What a CustomResourceDefinition adds to the table."""
    spec = crd["spec"]
    served = [v for v in spec["versions"] if v.get("served")]
    return Definition(
        key=crd["metadata"]["name"],
        storage_version=next(v["name"] for v in spec["versions"] if v.get("storage")),
        served=tuple(_served_version(spec, v) for v in sorted(served, key=lambda v: version_priority(v["name"]))),
        list_kind=spec["names"].get("listKind") or f"{spec['names']['kind']}List",
        generation=crd["metadata"].get("generation", 0),
        terminating="deletionTimestamp" in crd["metadata"],
    )


def version_priority(version: str) -> tuple[int, int, int, str]:
    """Sorts versions as Kubernetes prefers them: v2 before v1 before v1beta2 before v1beta1 before v1alpha1."""
    stages = ("", "beta", "alpha")
    text = version.removeprefix("v")
    for rank, stage in enumerate(stages):
        major, found, minor = text.partition(stage) if stage else (text, "", "0")
        if major.isdigit() and minor.isdigit() and (found or not stage):
            return rank, -int(major), -int(minor), version
    return len(stages), 0, 0, version


def _served_version(spec: Object, version: Object) -> ServedVersion:
    names = spec["names"]
    subresources = version.get("subresources") or {}
    scale = subresources.get("scale")
    return ServedVersion(
        resource=Resource(
            spec["group"],
            version["name"],
            names["plural"],
            names["kind"],
            spec.get("scope") == "Namespaced",
            tuple(names.get("shortNames") or ()),
            tuple(names.get("categories") or ()),
            frozenset(subresources),
            singular=names.get("singular", ""),
        ),
        schema=compile_custom((version.get("schema") or {}).get("openAPIV3Schema")),
        columns=tuple(_column(c) for c in version.get("additionalPrinterColumns") or ()),
        selectable=tuple(f["jsonPath"].removeprefix(".") for f in version.get("selectableFields") or ()),
        scale=scale
        and ScalePaths(scale["specReplicasPath"], scale["statusReplicasPath"], scale.get("labelSelectorPath", "")),
        deprecation=_deprecation(spec, version),
    )


def _deprecation(spec: Object, version: Object) -> str:
    if not version.get("deprecated"):
        return ""
    usual = f"{spec['group']}/{version['name']} {spec['names']['kind']} is deprecated"
    return str(version.get("deprecationWarning") or usual)


def _column(raw: dict[str, Any]) -> PrinterColumn:
    return PrinterColumn(
        raw["name"],
        raw["type"],
        raw["jsonPath"],
        raw.get("format", ""),
        raw.get("description", ""),
        raw.get("priority", 0),
    )
