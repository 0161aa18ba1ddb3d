"""CustomResourceDefinitions: what they add to the table of resources, and how they come and go.

A definition is established in the write that creates it, so that a client may use it as soon as it has its answer.
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from __future__ import annotations

from typing import Any

from mesh_lab.kube.changes import Change, Object
from mesh_lab.kube.conditions import condition
from mesh_lab.kube.errors import ApiError
from mesh_lab.kube.registry.deletion import Deleter
from mesh_lab.kube.registry.options import DEFAULT, DeleteOptions
from mesh_lab.kube.registry.table import Definition, PrinterColumn, ResourceTable, ScalePaths, ServedVersion
from mesh_lab.kube.registry.writing import Writer
from mesh_lab.kube.resources import CRDS, Resource
from mesh_lab.kube.schemas.structural import compile_custom
from mesh_lab.kube.store import Store

CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
# No webhook is asked when a definition takes its objects along, as with a real API server.
_WITH_ITS_DEFINITION = DeleteOptions(admitted=True)


class CustomResources:
    """Keeps the table in step with the stored definitions, and settles the status of those that are written."""

    def __init__(self, store: Store, resources: ResourceTable) -> None:
        self._store = store
        self._resources = resources
        for crd in store.objects(CRDS.key):
            self._join(crd)
        store.listen(self._on_change)

    def allocate(self, obj: Object, old: Object | None) -> None:
        """Accept the names of a definition, unless others have them, and hold it back when it is deleted."""
        metadata, spec = obj["metadata"], obj["spec"]
        if not metadata.get("deletionTimestamp") and CLEANUP not in metadata.get("finalizers", ()):
            metadata["finalizers"] = [*metadata.get("finalizers", ()), CLEANUP]
        before = (old or {}).get("status") or {}
        storage = next(v["name"] for v in spec["versions"] if v.get("storage"))
        taken = self._taken_name(spec)
        status = {
            "acceptedNames": before.get("acceptedNames", {"plural": "", "kind": ""}) if taken else spec["names"],
            "conditions": _conditions(before.get("conditions") or [], taken),
            "storedVersions": list(dict.fromkeys([*before.get("storedVersions", ()), storage])),
        }
        obj["status"] = {**before, **status}
        # What cannot be made of it must fail before it is stored.
        definition_of(obj)

    def _on_change(self, change: Change) -> None:
        if change.resource != CRDS.key:
            return
        if change.removed:
            self._resources.drop(change.name)
        else:
            self._join(change.object)

    def _join(self, crd: Object) -> None:
        if is_established(crd):
            definition = definition_of(crd)
            present = next((d for d in self._resources.definitions() if d.key == definition.key), None)
            if present is None or crd["metadata"].get("generation") != present.generation or _differs(present, crd):
                self._resources.put(definition)

    def _taken_name(self, spec: Object) -> str:
        """Which of the names another resource of the group has; empty when none."""
        names = spec["names"]
        key = f"{names['plural']}.{spec['group']}"
        others = [r for r in self._resources.all() if r.group == spec["group"] and r.key != key]
        words = {"plural": names["plural"], "singular": names.get("singular", "")}
        for label, name in [*words.items(), *(("shortNames", short) for short in names.get("shortNames", ()))]:
            if any(name and name in (r.plural, r.singular, *r.short) for r in others):
                return f'{label}: "{name}" is already in use'
        if any(names["kind"] in (r.kind, f"{r.kind}List") for r in others):
            return f'kind: "{names["kind"]}" is already in use'
        return ""


class Cleanup:
    """Ends custom resources whose definition is deleted: first their objects, then the definition.

    Objects that wait for finalizers hold their definition back; each write to one of them looks whether it was the
    last.
    """

    def __init__(self, store: Store, resources: ResourceTable, writer: Writer, deleter: Deleter) -> None:
        self._store = store
        self._resources = resources
        self._writer = writer
        self._deleter = deleter

    async def begin(self, key: str) -> None:
        """Delete all objects of a definition that is being deleted, and the definition if nothing holds it back."""
        crd = self._store.get(CRDS.key, "", key)
        if crd is None or "deletionTimestamp" not in crd["metadata"]:
            return
        resource = self._resources.get(key)
        for obj in self._store.objects(key):
            name, namespace = obj["metadata"]["name"], obj["metadata"].get("namespace", "")
            if resource is None:
                await self._store.remove(key, namespace, name)
                continue
            try:
                await self._deleter.delete(resource, name, namespace, _WITH_ITS_DEFINITION)
            except ApiError as error:
                if error.reason != "NotFound":
                    raise
        await self._finish(key)

    async def after_delete(self, resource: Resource, name: str) -> None:
        """Delete the objects of a deleted definition; after another delete, go on with what waited for it."""
        if resource.key == CRDS.key:
            await self.begin(name)
        else:
            await self.go_on(resource)

    async def go_on(self, resource: Resource) -> None:
        """After a write to an object: end its definition when that only waited for it."""
        definition = self._resources.definition(resource)
        if definition is not None and definition.terminating:
            await self._finish(resource.key)

    async def _finish(self, key: str) -> None:
        if self._store.count(key):
            return

        def release(crd: Object) -> Object:
            metadata = crd["metadata"]
            metadata["finalizers"] = [f for f in metadata.get("finalizers", ()) if f != CLEANUP]
            return crd

        try:
            await self._writer.revise(CRDS, key, "", release, options=DEFAULT)
        except ApiError as error:
            if error.reason != "NotFound":
                raise


def is_established(crd: Object) -> bool:
    """Whether the definition's resources are served."""
    conditions = (crd.get("status") or {}).get("conditions") or ()
    return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)


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


def _differs(present: Definition, crd: Object) -> bool:
    return present.terminating != ("deletionTimestamp" in crd["metadata"])


def _conditions(before: list[Object], taken: str) -> list[Object]:
    accepted = ("False", "NameConflict", taken) if taken else ("True", "NoConflicts", "no conflicts found")
    was = any(c["type"] == "Established" and c["status"] == "True" for c in before)
    established = (
        ("False", "NotAccepted", "not all names are accepted")
        if taken and not was
        else ("True", "InitialNamesAccepted", "the initial names have been accepted")
    )
    wanted = {"NamesAccepted": accepted, "Established": established}
    kept = [c for c in before if c["type"] not in wanted]
    return kept + [condition(before, kind, *wanted[kind]) for kind in wanted]
