"""Keeps the pods of each ReplicaSet at `spec.replicas`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from copy import deepcopy

from mesh_lab import conditions
from mesh_lab.kube.changes import Object
from mesh_lab.kube.controllers.base import Controller, Key, Keys, Views
from mesh_lab.kube.controllers.workloads.claiming import claim, claimants, controller_of
from mesh_lab.kube.controllers.workloads.replicas import count, counts_as_replica, victims
from mesh_lab.kube.errors import ApiError
from mesh_lab.kube.objects.meta import owner_reference
from mesh_lab.kube.objects.pods import Pod
from mesh_lab.kube.objects.workloads import ReplicaSet, ReplicaSetStatus
from mesh_lab.kube.recording import NORMAL, WARNING
from mesh_lab.kube.reflector import DELETED, Event
from mesh_lab.kube.registry.options import DeleteOptions
from mesh_lab.kube.registry.registry import Registry
from mesh_lab.kube.resources import PODS, REPLICASETS, Resource
from mesh_lab.rfc3339 import now

BURST = 500
_FAILURE = "ReplicaFailure"
"""The most pods that one reconciliation creates or deletes."""


class ReplicaSetController(Controller):
    """Creates and deletes pods until each ReplicaSet has `spec.replicas` of them."""

    name = "replicaset-controller"

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry)
        self._sets = Views(ReplicaSet)
        self._pods = Views(Pod)

    def sources(self) -> Mapping[Resource, Keys]:
        """Replica sets and pods."""
        return {REPLICASETS: self._sets.own_key, PODS: self._of_pod}

    def _of_pod(self, event: Event) -> Iterable[Key]:
        """Return the key of the pod's owner; of an orphan, the keys of all that would adopt it."""
        if event.type == DELETED:
            self._pods.drop(event.object["metadata"]["uid"])
        return claimants(self.registry, event.object, REPLICASETS, lambda each: self._sets(each).spec.selector)

    async def reconcile(self, key: Key) -> float | None:
        """Create missing or delete surplus pods, then write the status."""
        stored = self.registry.find(REPLICASETS, key.name, key.namespace)
        if stored is None:
            return None
        owner = self._sets(stored)
        pods = await self._claimed(stored, owner)
        failure: ApiError | None = None
        if not owner.metadata.deleting:
            try:
                await self._manage(stored, owner, pods)
            except ApiError as error:
                failure = error
            pods = self._owned(stored)
        status, again = count(owner, pods, now())
        await self._write_status(key, stored, status, owner.spec.replicas - len(pods), failure)
        if failure is not None:
            raise failure
        return again

    async def _claimed(self, stored: Object, owner: ReplicaSet) -> list[Pod]:
        candidates = [
            each
            for each in self.registry.list(PODS, owner.metadata.namespace)
            if counts_as_replica(self._pods(each)) and _concerns(each, stored["metadata"]["uid"])
        ]
        claimed = await claim(self.registry, PODS, stored, owner.spec.selector, candidates)
        return [self._pods(each) for each in claimed]

    def _owned(self, stored: Object) -> list[Pod]:
        """Return the present replicas, with those just created and without those just deleted."""
        uid = stored["metadata"]["uid"]
        listed = self.registry.list(PODS, stored["metadata"]["namespace"])
        mine = [self._pods(each) for each in listed if (controller_of(each) or {}).get("uid") == uid]
        return [pod for pod in mine if counts_as_replica(pod)]

    async def _manage(self, stored: Object, owner: ReplicaSet, pods: list[Pod]) -> None:
        missing = owner.spec.replicas - len(pods)
        if missing > 0:
            await self._create(stored, owner, min(missing, BURST))
        elif missing < 0:
            await self._delete(stored, victims(pods, min(-missing, BURST)))

    async def _create(self, stored: Object, owner: ReplicaSet, number: int) -> None:
        """Create pods in batches of 1, 2, 4, ... (slow start): when none can be created, few requests fail."""
        batch, left = 1, number
        while left:
            size = min(batch, left)
            results = await asyncio.gather(
                *(self._create_one(stored, owner) for _ in range(size)), return_exceptions=True
            )
            failures = [result for result in results if isinstance(result, BaseException)]
            if failures:
                raise failures[0]
            left -= size
            batch *= 2

    async def _create_one(self, stored: Object, owner: ReplicaSet) -> None:
        try:
            pod = await self.registry.create(PODS, _pod(stored, owner))
        except ApiError as error:
            if error.namespace_terminating:
                return
            self.events.record(stored, WARNING, "FailedCreate", f"Error creating: {error.message}")
            raise
        self.events.record(stored, NORMAL, "SuccessfulCreate", f"Created pod: {pod['metadata']['name']}")

    async def _delete(self, stored: Object, pods: Iterable[Pod]) -> None:
        results = await asyncio.gather(*(self._delete_one(stored, pod) for pod in pods), return_exceptions=True)
        failures = [result for result in results if isinstance(result, BaseException)]
        if failures:
            raise failures[0]

    async def _delete_one(self, stored: Object, pod: Pod) -> None:
        name, namespace = pod.metadata.name, pod.metadata.namespace
        try:
            await self.registry.delete(PODS, name, namespace, options=DeleteOptions(uid=pod.metadata.uid))
        except ApiError as error:
            if error.reason == "NotFound":
                return
            self.events.record(stored, WARNING, "FailedDelete", f"Error deleting: {error.message}")
            raise
        self.events.record(stored, NORMAL, "SuccessfulDelete", f"Deleted pod: {name}")

    async def _write_status(
        self, key: Key, stored: Object, status: ReplicaSetStatus, missing: int, failure: ApiError | None
    ) -> None:
        uid = stored["metadata"]["uid"]

        def change(found: Object) -> Object | None:
            before = found.get("status") or {}
            after = _encode(status, _conditions(before.get("conditions") or [], missing, failure))
            if found["metadata"]["uid"] != uid or after == before:
                return None
            return found | {"status": after}

        await self.registry.modify(REPLICASETS, key.name, key.namespace, change, subresource="status")


def _concerns(pod: Object, uid: str) -> bool:
    controller = controller_of(pod)
    return controller is None or controller["uid"] == uid


def _pod(stored: Object, owner: ReplicaSet) -> Object:
    """Return a new pod of the set's template."""
    template = owner.spec.template
    metadata = template.get("metadata") or {}
    taken = {
        field: deepcopy(metadata[field]) for field in ("labels", "annotations", "finalizers") if metadata.get(field)
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": f"{owner.metadata.name}-",
            "namespace": owner.metadata.namespace,
            "ownerReferences": [owner_reference(stored)],
            **taken,
        },
        "spec": deepcopy(template.get("spec") or {}),
    }


def _encode(status: ReplicaSetStatus, conditions: list[Object]) -> Object:
    encoded: Object = {"replicas": status.replicas}
    numbers = {
        "fullyLabeledReplicas": status.fully_labeled_replicas,
        "readyReplicas": status.ready_replicas,
        "availableReplicas": status.available_replicas,
        "observedGeneration": status.observed_generation,
    }
    encoded |= {name: value for name, value in numbers.items() if value}
    return encoded | ({"conditions": conditions} if conditions else {})


def _conditions(before: list[Object], missing: int, failure: ApiError | None) -> list[Object]:
    """Return the conditions, with `ReplicaFailure` while pods cannot be created or deleted."""
    if failure is None:
        return conditions.others(before, _FAILURE)
    reason = "FailedCreate" if missing > 0 else "FailedDelete"
    return conditions.updated(before, conditions.condition(before, _FAILURE, "True", reason, failure.message))
