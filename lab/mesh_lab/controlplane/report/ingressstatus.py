"""The status of Ingresses of the mesh's class: the addresses of the gateway that serves them.

As Istio has it: those of the Service `meshConfig.ingressService`; without any, the external addresses of the nodes that
the gateway's pods are on. https://kubernetes.io/docs/concepts/services-networking/ingress/
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from mesh_lab.controlplane.delivery.state import ClusterState
from mesh_lab.controlplane.kube.client import ApiError, KubeClient, Object, Unreachable
from mesh_lab.controlplane.kube.kinds import FOLLOWED
from mesh_lab.controlplane.kube.signals import Signal
from mesh_lab.controlplane.report.statuses import parts_of
from mesh_lab.controlplane.world.kubernetes import ObjectKey
from mesh_lab.controlplane.world.snapshot import Snapshot
from mesh_lab.controlplane.xds import ingress

log = logging.getLogger(__name__)

_PAUSE = 0.02
"""Debounce, in seconds."""

Address = Mapping[str, str]
"""`ip` or `hostname`, as in `status.loadBalancer.ingress`."""


class _Known(NamedTuple):
    """An Ingress, and the addresses in its status."""

    uid: str
    addresses: tuple[Address, ...]


def service_addresses(service: Object) -> tuple[Address, ...]:
    """The addresses by which a Service is reached from outside."""
    spec = service.get("spec") or {}
    if spec.get("type") == "ExternalName":
        return ({"hostname": spec["externalName"]},)
    balanced = parts_of(((service.get("status") or {}).get("loadBalancer") or {}).get("ingress"))
    return _sorted([*(_address(each) for each in balanced), *({"ip": ip} for ip in spec.get("externalIPs") or ())])


def external_addresses(node: Object) -> tuple[Address, ...]:
    """The addresses by which a node is reached from outside."""
    listed = parts_of((node.get("status") or {}).get("addresses"))
    return tuple({"ip": each["address"]} for each in listed if each.get("type") == "ExternalIP")


class IngressStatuses:
    """Writes `status.loadBalancer` of the Ingresses that are the mesh's, and takes it back from those that were."""

    def __init__(self, api: KubeClient, state: ClusterState, root_namespace: str) -> None:
        self._api = api
        self._state = state
        self._root_namespace = root_namespace
        self._ingresses: dict[ObjectKey, _Known] = {}
        self._services: dict[str, tuple[Address, ...]] = {}
        self._nodes: dict[str, tuple[Address, ...]] = {}
        self._written: dict[ObjectKey, str] = {}  # the uids of those whose status is ours
        self._changed = Signal()
        state.hook("Ingress", self._observe_ingress)
        state.hook("Service", self._observe_service)
        state.hook("Node", self._observe_node)

    async def run(self) -> None:
        """Write until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_snapshots())
            done = -1
            while True:
                if self._changed.count == done:
                    await self._changed.wait()
                await asyncio.sleep(_PAUSE)
                done = self._changed.count
                await self._write_all(self._state.latest)

    async def _follow_snapshots(self) -> None:
        """Classes, the mesh's settings and pods change the outcome, too."""
        while True:
            await self._state.snapshotted.wait()
            self._changed.fire()

    def _observe_ingress(self, event: str, obj: Object) -> None:
        meta = obj["metadata"]
        key = (meta.get("namespace", ""), meta["name"])
        if event == "DELETED":
            self._ingresses.pop(key, None)
            self._written.pop(key, None)
        else:
            present = parts_of(((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress"))
            self._ingresses[key] = _Known(meta.get("uid", ""), tuple(_address(each) for each in present))
        self._changed.fire()

    def _observe_service(self, event: str, obj: Object) -> None:
        meta = obj["metadata"]
        if meta.get("namespace") == self._root_namespace:
            self._services[meta["name"]] = () if event == "DELETED" else service_addresses(obj)
            self._changed.fire()

    def _observe_node(self, event: str, obj: Object) -> None:
        addresses = () if event == "DELETED" else external_addresses(obj)
        if self._nodes.get(obj["metadata"]["name"], ()) != addresses:
            self._nodes[obj["metadata"]["name"]] = addresses
            self._changed.fire()

    async def _write_all(self, snapshot: Snapshot) -> None:
        ours = {(each.namespace, each.name) for each in ingress.served(snapshot)}
        addresses = self._addresses(snapshot) if ours else ()
        for key, known in tuple(self._ingresses.items()):
            if key in ours:
                await self._write(key, known, addresses)
            elif self._written.get(key) == known.uid:
                await self._write(key, known, ())
                del self._written[key]

    def _addresses(self, snapshot: Snapshot) -> tuple[Address, ...]:
        """The addresses of the gateway."""
        if addresses := self._services.get(snapshot.mesh.ingress_service, ()):
            return addresses
        selector = ingress.selector(snapshot.mesh)
        nodes = {
            pod.node
            for pod in snapshot.pods.values()
            if pod.namespace == self._root_namespace and pod.ready and pod.labels.get("istio") == selector
        }
        return _sorted(address for node in nodes for address in self._nodes.get(node, ()))

    async def _write(self, key: ObjectKey, known: _Known, addresses: tuple[Address, ...]) -> None:
        if addresses:
            self._written[key] = known.uid
        if known.addresses == addresses:
            return
        namespace, name = key
        status: dict[str, Any] = {"loadBalancer": {"ingress": list(addresses) or None}}
        try:
            await self._api.merge(FOLLOWED["Ingress"], name, {"status": status}, namespace, "status")
        except (ApiError, Unreachable) as error:
            log.warning("writing the status of Ingress %s/%s: %s", namespace, name, error)


def _address(part: Mapping[str, Any]) -> Address:
    return {"ip": str(part["ip"])} if part.get("ip") else {"hostname": str(part.get("hostname", ""))}


def _sorted(addresses: Iterable[Address]) -> tuple[Address, ...]:
    unique = {tuple(each.items()): each for each in addresses}
    return tuple(unique[key] for key in sorted(unique))
