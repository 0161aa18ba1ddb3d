"""Custom resources come and go with their definitions.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from __future__ import annotations

from mesh_lab.kube.changes import Change, Object
from mesh_lab.kube.errors import ApiError
from mesh_lab.kube.registry.custom.definitions import CLEANUP, Definition, definition_of, is_established
from mesh_lab.kube.registry.options import DEFAULT, DeleteOptions
from mesh_lab.kube.registry.table import ResourceTable
from mesh_lab.kube.registry.writing.deletion import Deleter
from mesh_lab.kube.registry.writing.writer import Writer
from mesh_lab.kube.resources import CRDS, Resource
from mesh_lab.kube.store import Store

# No webhook is asked when a definition takes its objects along, as with a real API server.
_WITH_ITS_DEFINITION = DeleteOptions(admitted=True)


def follow_definitions(store: Store, resources: ResourceTable) -> None:
    """Keep the table in step with the stored definitions, those of now and of later."""

    def join(crd: Object) -> None:
        if is_established(crd):
            definition = definition_of(crd)
            present = next((d for d in resources.definitions() if d.key == definition.key), None)
            if present is None or crd["metadata"].get("generation") != present.generation or _differs(present, crd):
                resources.put(definition)

    def on_change(change: Change) -> None:
        if change.resource != CRDS.key:
            return
        if change.removed:
            resources.drop(change.name)
        else:
            join(change.object)

    for crd in store.objects(CRDS.key):
        join(crd)
    store.listen(on_change)


def _differs(present: Definition, crd: Object) -> bool:
    return present.terminating != ("deletionTimestamp" in crd["metadata"])


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

    async def resume(self) -> None:
        """Go on with what a stop interrupted."""
        for crd in self._store.objects(CRDS.key):
            await self.begin(crd["metadata"]["name"])

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
