"""Keeps the pods of each StatefulSet: in order, each with a name of its own. `ordinals` decides what comes next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mesh_lab.kube.changes import Object
from mesh_lab.kube.controllers.base import Controller, Key, Keys, Views
from mesh_lab.kube.controllers.workloads import ordinals
from mesh_lab.kube.controllers.workloads.claiming import claim, claimants
from mesh_lab.kube.errors import ApiError
from mesh_lab.kube.objects.pods import Pod
from mesh_lab.kube.objects.workloads import StatefulSet
from mesh_lab.kube.recording import NORMAL, WARNING
from mesh_lab.kube.reflector import DELETED, Event
from mesh_lab.kube.registry.options import DeleteOptions
from mesh_lab.kube.registry.registry import Registry
from mesh_lab.kube.resources import PODS, STATEFULSETS, Resource
from mesh_lab.rfc3339 import now


class StatefulSetController(Controller):
    """Creates, replaces and deletes pods one after the other."""

    name = "statefulset-controller"

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry)
        self._sets = Views(StatefulSet)
        self._pods = Views(Pod)

    def sources(self) -> Mapping[Resource, Keys]:
        """Stateful sets and pods."""
        return {STATEFULSETS: self._sets.own_key, PODS: self._of_pod}

    def _of_pod(self, event: Event) -> Iterable[Key]:
        if event.type == DELETED:
            self._pods.drop(event.object["metadata"]["uid"])
        return claimants(self.registry, event.object, STATEFULSETS, lambda each: self._sets(each).spec.selector)

    async def reconcile(self, key: Key) -> float | None:
        """Take the next step, and write the status."""
        stored = self.registry.find(STATEFULSETS, key.name, key.namespace)
        if stored is None:
            return None
        owner = self._sets(stored)
        pods = await self._claimed(stored, owner)
        step = ordinals.Step()
        if not owner.metadata.deleting:
            step = ordinals.step(owner, pods, now())
            for number in step.create:
                await self._create(stored, ordinals.pod_of(stored, owner, number))
            for pod in step.delete:
                await self._delete(stored, pod)
            pods = await self._claimed(stored, owner)
        await self._write_status(key, stored, ordinals.status(owner, pods, now()))
        return step.again

    async def _claimed(self, stored: Object, owner: StatefulSet) -> list[Pod]:
        """The set's pods; only what has a name of the set's form is adopted."""
        candidates = [
            each
            for each in self.registry.list(PODS, owner.metadata.namespace)
            if ordinals.ordinal(owner, each["metadata"]["name"]) is not None
        ]
        claimed = await claim(self.registry, PODS, stored, owner.spec.selector, candidates)
        return [self._pods(each) for each in claimed]

    async def _create(self, stored: Object, pod: Object) -> None:
        what = f"create Pod {pod['metadata']['name']} in StatefulSet"
        try:
            await self.registry.create(PODS, pod)
        except ApiError as error:
            if error.namespace_terminating:
                return
            words = f"{what} {stored['metadata']['name']} failed error: {error.message}"
            self.events.record(stored, WARNING, "FailedCreate", words)
            raise
        self.events.record(stored, NORMAL, "SuccessfulCreate", f"{what} {stored['metadata']['name']} successful")

    async def _delete(self, stored: Object, pod: Pod) -> None:
        name, owner = pod.metadata.name, stored["metadata"]["name"]
        try:
            options = DeleteOptions(uid=pod.metadata.uid)
            await self.registry.delete(PODS, name, pod.metadata.namespace, options=options)
        except ApiError as error:
            if error.reason == "NotFound":
                return
            raise
        words = f"delete Pod {name} in StatefulSet {owner} successful"
        self.events.record(stored, NORMAL, "SuccessfulDelete", words)

    async def _write_status(self, key: Key, stored: Object, status: Object) -> None:
        uid = stored["metadata"]["uid"]

        def change(found: Object) -> Object | None:
            if found["metadata"]["uid"] != uid or found.get("status") == status:
                return None
            return found | {"status": status}

        await self.registry.modify(STATEFULSETS, key.name, key.namespace, change, subresource="status")
