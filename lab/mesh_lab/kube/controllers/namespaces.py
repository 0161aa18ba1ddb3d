"""Deletes the content of terminating namespaces, then removes their finalizer."""

from __future__ import annotations

from collections.abc import Mapping

from mesh_lab.conditions import condition
from mesh_lab.kube.changes import Object
from mesh_lab.kube.controllers.base import Controller, Key, Keys, own_key
from mesh_lab.kube.errors import ApiError
from mesh_lab.kube.registry.kinds.namespaces import FINALIZER
from mesh_lab.kube.registry.options import DeleteOptions, Propagation
from mesh_lab.kube.resources import NAMESPACES, Resource

LOOK_AGAIN_SECONDS = 0.2
"""How often what is left is read again: pods end when their processes do."""
AFTER_REFUSAL_SECONDS = 2.0
"""The same after a deletion failed: a webhook that denied it will not allow it at once."""


class NamespaceController(Controller):
    """Deletes everything in a terminating namespace, custom resources included, and drops its finalizer at last."""

    name = "namespace-controller"

    def sources(self) -> Mapping[Resource, Keys]:
        """Only namespaces; their content is listed again after a while."""
        return {NAMESPACES: own_key}

    async def reconcile(self, key: Key) -> float | None:
        """Delete the namespace's content; write what is left into its status, or remove the finalizer."""
        stored = self.registry.find(NAMESPACES, key.name)
        if stored is None or not stored["metadata"].get("deletionTimestamp"):
            return None
        if FINALIZER not in (stored.get("spec") or {}).get("finalizers", []):
            return None
        left, refused = await self._empty(key.name)
        if not left:
            await self.registry.modify(NAMESPACES, key.name, "", _finalized, subresource="finalize")
            return None
        await self._write_status(key.name, left, refused)
        return AFTER_REFUSAL_SECONDS if refused else LOOK_AGAIN_SECONDS

    async def _empty(self, namespace: str) -> tuple[dict[str, list[Object]], list[str]]:
        """Delete all content. Returns what is left, by resource, and the deletions that failed with their reasons.

        A deletion that a webhook denies stops its own resource only.
        """
        left: dict[str, list[Object]] = {}
        refused: list[str] = []
        for resource in self._resources():
            try:
                for each in self.registry.list(resource, namespace):
                    if not each["metadata"].get("deletionTimestamp"):
                        await self._delete(resource, each)
            except ApiError as error:
                refused.append(error.message)
            remaining = self.registry.list(resource, namespace)
            if remaining:
                left[resource.key] = remaining
        return left, refused

    def _resources(self) -> list[Resource]:
        """All namespaced resources that are stored, each once. Events come last: deleting the others makes some."""
        found = {each.key: each for each in self.registry.resources.all() if each.namespaced and each.stored}
        return sorted(found.values(), key=lambda each: each.key == "events")

    async def _delete(self, resource: Resource, each: Object) -> None:
        metadata = each["metadata"]
        options = DeleteOptions(uid=metadata["uid"], propagation=Propagation.BACKGROUND)
        try:
            await self.registry.delete(resource, metadata["name"], metadata["namespace"], options=options)
        except ApiError as error:
            if error.reason not in ("NotFound", "Conflict"):
                raise

    async def _write_status(self, name: str, left: Mapping[str, list[Object]], refused: list[str]) -> None:
        """Write what is left, and what holds it, as `kubectl describe namespace` shows."""
        kinds = ", ".join(f"{key} has {len(objects)} resource instances" for key, objects in sorted(left.items()))
        held = [finalizer for objects in left.values() for each in objects for finalizer in _finalizers(each)]
        finalizers = ", ".join(f"{each} in {held.count(each)} resource instances" for each in sorted(set(held)))
        failed = f"Failed to delete all resource types, {len(refused)} remaining: {', '.join(refused)}"
        conditions = [
            (
                "NamespaceDeletionContentFailure",
                "True" if refused else "False",
                "ContentDeletionFailed" if refused else "ContentDeleted",
                failed if refused else "All content successfully deleted, may be waiting on finalization",
            ),
            ("NamespaceContentRemaining", "True", "SomeResourcesRemain", f"Some resources are remaining: {kinds}"),
            (
                "NamespaceFinalizersRemaining",
                "True" if held else "False",
                "SomeFinalizersRemain" if held else "ContentHasNoFinalizers",
                f"Some content in the namespace has finalizers remaining: {finalizers}"
                if held
                else "All content-preserving finalizers finished",
            ),
        ]

        def change(found: Object) -> Object | None:
            status = found.get("status") or {}
            before = status.get("conditions")
            after = [condition(before, *each) for each in conditions]
            return None if after == before else found | {"status": status | {"conditions": after}}

        await self.registry.modify(NAMESPACES, name, "", change, subresource="status")


def _finalized(found: Object) -> Object:
    kept = [each for each in found["spec"].get("finalizers", []) if each != FINALIZER]
    return found | {"spec": found["spec"] | {"finalizers": kept}}


def _finalizers(each: Object) -> list[str]:
    return each["metadata"].get("finalizers") or []
