"""Evicts pods from nodes whose NoExecute taints they do not tolerate, or no longer tolerate.

https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/#taint-based-evictions
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence

from mesh_lab.conditions import condition, updated
from mesh_lab.kube.changes import Object
from mesh_lab.kube.controllers.base import Controller, Key, Keys, own_key
from mesh_lab.kube.objects.nodes import NO_EXECUTE, Taint, read_node
from mesh_lab.kube.objects.pods import Pod, read_pod
from mesh_lab.kube.recording import NORMAL
from mesh_lab.kube.reflector import DELETED, Event
from mesh_lab.kube.registry import DeleteOptions
from mesh_lab.kube.registry.registry import Registry
from mesh_lab.kube.resources import NODES, PODS, Resource

_CONDITION = "DisruptionTarget", "True", "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint"


class TaintEvictionController(Controller):
    """Deletes pods that must leave their node."""

    name = "taint-eviction-controller"

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry)
        self._since: dict[str, float] = {}
        """When a pod's (by uid) toleration time began, on the monotonic clock."""

    def sources(self) -> Mapping[Resource, Keys]:
        """Pods, and the pods of a node."""
        return {PODS: self._pod, NODES: self._pods_of_node}

    def _pod(self, event: Event) -> Iterable[Key]:
        if event.type == DELETED:
            self._since.pop(event.object["metadata"]["uid"], None)
        return own_key(event)

    def _pods_of_node(self, event: Event) -> Iterable[Key]:
        name = event.object["metadata"]["name"]
        for pod in self.registry.list(PODS, fields=f"spec.nodeName={name}"):
            yield Key(pod["metadata"]["namespace"], pod["metadata"]["name"])

    async def reconcile(self, key: Key) -> float | None:
        """Delete the pod when its time is over; else return the seconds that it may stay."""
        obj = self.registry.find(PODS, key.name, key.namespace)
        if obj is None or "deletionTimestamp" in obj["metadata"] or not obj["spec"].get("nodeName"):
            return None
        pod, uid = read_pod(obj), obj["metadata"]["uid"]
        node = self.registry.find(NODES, pod.spec.node_name)
        taints = () if node is None else read_node(node).spec.taints
        limit = seconds_left(pod, [taint for taint in taints if taint.effect == NO_EXECUTE])
        if limit is None:
            self._since.pop(uid, None)
            return None
        left = limit - (time.monotonic() - self._since.setdefault(uid, time.monotonic()))
        if left > 0:
            return left
        await self._evict(obj)
        return None

    async def _evict(self, obj: Object) -> None:
        metadata = obj["metadata"]
        name, namespace, uid = metadata["name"], metadata["namespace"], metadata["uid"]
        self.events.record(obj, NORMAL, "TaintManagerEviction", f"Marking for deletion Pod {namespace}/{name}")

        def disrupted(present: Object) -> Object | None:
            if present["metadata"]["uid"] != uid:
                return None
            status = present.get("status") or {}
            before = status.get("conditions")
            return {**present, "status": {**status, "conditions": updated(before, condition(before, *_CONDITION))}}

        await self.registry.modify(PODS, name, namespace, disrupted, subresource="status")
        await self.registry.delete(PODS, name, namespace, options=DeleteOptions(uid=uid))


def seconds_left(pod: Pod, taints: Sequence[Taint]) -> float | None:
    """Return how long the pod may stay on a node with these NoExecute taints; None: for ever."""
    limits: list[int] = []
    for taint in taints:
        covering = [toleration for toleration in pod.spec.tolerations if toleration.covers(taint)]
        if not covering:
            return 0.0
        limits += [one.toleration_seconds for one in covering if one.toleration_seconds is not None]
    return float(max(min(limits), 0)) if limits else None
