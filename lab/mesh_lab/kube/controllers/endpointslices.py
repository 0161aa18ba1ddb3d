"""Keeps the endpoint slices of each Service that has a selector."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mesh_lab.conditions import holds
from mesh_lab.kube.changes import Object
from mesh_lab.kube.controllers.base import Controller, Key, Keys, Views
from mesh_lab.kube.controllers.slices import MANAGED_BY_LABEL, MANAGER, Plan, endpoints_by_ports, plan
from mesh_lab.kube.objects.meta import contains
from mesh_lab.kube.objects.pods import Pod
from mesh_lab.kube.objects.services import IPV4, IPV6, SERVICE_NAME_LABEL, Service
from mesh_lab.kube.reflector import DELETED, Event
from mesh_lab.kube.registry.registry import Registry
from mesh_lab.kube.resources import ENDPOINTSLICES, PODS, SERVICES, Resource

Facts = tuple[Any, ...]


class EndpointSliceController(Controller):
    """Writes which pods, at which addresses and ports, are behind each Service."""

    name = "endpoint-slice-controller"

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry)
        self._services = Views(Service)
        self._pods = Views(Pod)
        self._facts: dict[str, tuple[dict[str, str], Facts]] = {}

    def sources(self) -> Mapping[Resource, Keys]:
        """Services, their slices (another client may change one), and pods."""
        return {SERVICES: self._services.own_key, ENDPOINTSLICES: self._of_slice, PODS: self._of_pod}

    def _of_slice(self, event: Event) -> Iterable[Key]:
        metadata = event.object["metadata"]
        labels = metadata.get("labels") or {}
        service = labels.get(SERVICE_NAME_LABEL)
        if not service or labels.get(MANAGED_BY_LABEL) != MANAGER:
            return []
        return [Key(metadata["namespace"], service)]

    def _of_pod(self, event: Event) -> Iterable[Key]:
        """Return the Services that select the pod, or did before; none when no part of an endpoint changed."""
        metadata = event.object["metadata"]
        uid, namespace = metadata["uid"], metadata["namespace"]
        labels = metadata.get("labels") or {}
        before = self._facts.get(uid)
        if event.type == DELETED:
            self._facts.pop(uid, None)
            self._pods.drop(uid)
        else:
            found = _facts(event.object)
            self._facts[uid] = (labels, found)
            if before == (labels, found):
                return []
        selecting = [labels] if before is None or before[0] == labels else [labels, before[0]]
        return [
            Key(namespace, stored["metadata"]["name"])
            for stored in self.registry.list(SERVICES, namespace)
            if (selector := stored["spec"].get("selector")) and any(contains(each, selector) for each in selecting)
        ]

    async def reconcile(self, key: Key) -> float | None:
        """Write the slices that differ from what they should be."""
        stored = self.registry.find(SERVICES, key.name, key.namespace)
        existing = [
            each
            for each in self.registry.list(ENDPOINTSLICES, key.namespace)
            if (labels := each["metadata"].get("labels") or {}).get(SERVICE_NAME_LABEL) == key.name
            and labels.get(MANAGED_BY_LABEL) == MANAGER
        ]
        if stored is None:
            for each in existing:
                await self.delete(ENDPOINTSLICES, each)
            return None
        if stored["metadata"].get("deletionTimestamp"):
            return None
        service = self._services(stored)
        if not service.spec.selector or service.spec.type == "ExternalName":
            return None
        pods = [
            self._pods(each)
            for each in self.registry.list(PODS, key.namespace)
            if contains(each["metadata"].get("labels") or {}, service.spec.selector)
        ]
        for family in (IPV4, IPV6):
            await self._carry_out(plan(stored, service, endpoints_by_ports(service, pods, family), existing, family))
        return None

    async def _carry_out(self, planned: Plan) -> None:
        for each in planned.create:
            await self.create(ENDPOINTSLICES, each)
        for each in planned.update:
            await self.registry.update(ENDPOINTSLICES, each)
        for each in planned.delete:
            await self.delete(ENDPOINTSLICES, each)


def _facts(pod: Object) -> Facts:
    """Return what an endpoint has of a pod, without decoding it: most status writes change none of it."""
    status, spec, metadata = pod.get("status") or {}, pod.get("spec") or {}, pod["metadata"]
    return (
        tuple(each.get("ip") for each in status.get("podIPs") or ()),
        status.get("phase") in ("Failed", "Succeeded"),
        holds(status.get("conditions"), "Ready"),
        metadata.get("deletionTimestamp") is not None,
        spec.get("nodeName"),
    )
