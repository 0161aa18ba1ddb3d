"""Deletes objects whose owners are gone, and carries out foreground and orphaning deletions, for all resources."""

from __future__ import annotations

import asyncio
from typing import Any

from mesh_lab.kube.changes import Object
from mesh_lab.kube.controllers.base import Loop
from mesh_lab.kube.controllers.graph import (
    Delete,
    Disown,
    DropFinalizer,
    Graph,
    Node,
    Owner,
    Reference,
    Requeue,
    decide,
    node_of,
)
from mesh_lab.kube.errors import ApiError
from mesh_lab.kube.recording import WARNING
from mesh_lab.kube.reflector import BOOKMARK, DELETED, Event, follow
from mesh_lab.kube.registry.kinds import STORED
from mesh_lab.kube.registry.options import DeleteOptions
from mesh_lab.kube.registry.registry import Registry
from mesh_lab.kube.resources import CRDS, Resource

TABLE_CHECK_SECONDS = 2.0
"""How often the table of resources is read, besides at each change of a CustomResourceDefinition."""


class GarbageCollector(Loop[str]):
    """Reconciles objects by uid. Custom resources are watched while they are served."""

    name = "garbage-collector"

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry)
        self._graph = Graph()
        self._changed = asyncio.Event()

    async def observe(self) -> None:
        """Watch every stored resource; start and stop watches of custom ones."""
        followers: dict[str, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._changed.clear()
                served = {each.key: each for each in self.registry.resources.all() if each.stored}
                for key in followers.keys() - served.keys():
                    followers.pop(key).cancel()
                    for uid in self._graph.of(key):
                        self._enqueue(self._graph.remove(uid))
                for key in served.keys() - followers.keys():
                    followers[key] = tasks.create_task(self._follow(served[key]))
                try:
                    async with asyncio.timeout(TABLE_CHECK_SECONDS):
                        await self._changed.wait()
                except TimeoutError:
                    continue

    @property
    def synced(self) -> bool:
        """Whether all built-in resources have been listed."""
        return all(each in self._listed for each in STORED)

    async def _follow(self, resource: Resource) -> None:
        async for event in follow(self.registry, resource):
            if event.type == BOOKMARK:
                self._listed.add(resource)
            else:
                self._take(resource, event)
            if resource is CRDS:
                self._changed.set()

    def _take(self, resource: Resource, event: Event) -> None:
        if event.type == DELETED:
            self._enqueue(self._graph.remove(event.object["metadata"]["uid"]))
        else:
            self._enqueue(self._graph.put(node_of(resource, event.object)))

    def _enqueue(self, uids: set[str]) -> None:
        for uid in uids:
            self.queue.add(uid)

    async def reconcile(self, key: str) -> float | None:
        """Do what the object's owners and dependents demand."""
        known = self._graph.get(key)
        stored = self.registry.find(known.resource, known.name, known.namespace) if known else None
        if known is None or stored is None or stored["metadata"]["uid"] != key:
            return None
        node = node_of(known.resource, stored)
        match decide(node, self._graph.dependents(key), lambda owner: self._state(node, owner, stored)):
            case Delete() as action:
                await self._delete(node, stored, action)
            case Disown(owners):
                await self._edit_owners(node, lambda each: None if each["uid"] in owners else each)
            case DropFinalizer(finalizer, free):
                for dependent in free:
                    await self._edit_owners(dependent, lambda each: None if each["uid"] == key else each)
                await self._drop_finalizer(node, finalizer)
            case Requeue(uids):
                self._enqueue(set(uids))
            case None:
                pass
        return None

    def _state(self, node: Node, owner: Reference, stored: Object) -> Owner:
        """Return an owner's state, from the store and not the graph: events of two resources come in no fixed order."""
        resource = self.registry.resources.by_kind(owner.api_version, owner.kind)
        if resource is None:
            return Owner.UNKNOWN
        if resource.namespaced and not node.resource.namespaced:
            text = f"ownerRef {owner.kind}/{owner.name} is namespaced: no owner of a cluster-scoped object"
            self.events.record(stored, WARNING, "OwnerRefInvalidNamespace", text)
            return Owner.UNKNOWN
        found = self.registry.find(resource, owner.name, node.namespace if resource.namespaced else "")
        if found is None or found["metadata"]["uid"] != owner.uid:
            return Owner.GONE
        return Owner.WAITING if node_of(resource, found).awaits_dependents else Owner.THERE

    async def _delete(self, node: Node, stored: Object, action: Delete) -> None:
        version = stored["metadata"]["resourceVersion"]
        if action.unblock:
            await self._edit_owners(node, lambda each: each | {"blockOwnerDeletion": False})
            version = ""
        options = DeleteOptions(uid=node.uid, resource_version=version, propagation=action.propagation)
        try:
            await self.registry.delete(node.resource, node.name, node.namespace, options=options)
        except ApiError as error:
            if error.reason != "NotFound":
                raise

    async def _edit_owners(self, node: Node, edit: Any) -> None:
        """Change or (with None from `edit`) drop each owner reference."""

        def change(found: Object) -> Object | None:
            before = found["metadata"].get("ownerReferences") or []
            after = [changed for each in before if (changed := edit(each)) is not None]
            if found["metadata"]["uid"] != node.uid or after == before:
                return None
            found["metadata"]["ownerReferences"] = after
            return found

        await self.registry.modify(node.resource, node.name, node.namespace, change)

    async def _drop_finalizer(self, node: Node, finalizer: str) -> None:
        def change(found: Object) -> Object | None:
            before = found["metadata"].get("finalizers") or []
            if found["metadata"]["uid"] != node.uid or finalizer not in before:
                return None
            found["metadata"]["finalizers"] = [each for each in before if each != finalizer]
            return found

        await self.registry.modify(node.resource, node.name, node.namespace, change)
