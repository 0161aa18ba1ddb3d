"""The endpoints of each Service: what its EndpointSlices, their pods and these pods' nodes say together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mesh_lab.controlplane.world.kubernetes import EndpointSlice, Node, ObjectKey, Pod, same
from mesh_lab.controlplane.world.locality import NOWHERE, of_pod
from mesh_lab.controlplane.world.snapshot import Endpoint, ServiceEndpoints


class EndpointTable:
    """Kept up to date at the cost of what changes; an endpoint that stays the same stays the same object.

    `pods` and `nodes` are the views that it reads, which others keep.
    """

    def __init__(self, pods: Mapping[ObjectKey, Pod], nodes: Mapping[ObjectKey, Node]) -> None:
        self.services: dict[ObjectKey, ServiceEndpoints] = {}
        self._pods = pods
        self._nodes = nodes
        self._slices: dict[ObjectKey, dict[str, EndpointSlice]] = {}
        self._services_of_pod: dict[ObjectKey, set[ObjectKey]] = {}
        self._stale: set[ObjectKey] = set()

    def mark(self, kind: str, key: ObjectKey, old: Any, new: Any) -> None:
        """Take a changed view of a Pod, a Node or an EndpointSlice, and note whose endpoints it concerns."""
        if kind == "Pod":
            self._stale |= self._services_of_pod.get(key, set())
        elif kind == "Node":
            self._stale |= self._slices.keys()
        elif kind == "EndpointSlice":
            for view in (old, new):
                if view is not None:
                    self._stale.add((view.namespace, view.service))
            if old is not None:
                self._slices[(old.namespace, old.service)].pop(old.name, None)
                self._forget_pods_of(old)
            if new is not None:
                self._slices.setdefault((new.namespace, new.service), {})[new.name] = new

    def refresh(self) -> bool:
        """Bring `services` up to date; whether that changed anything."""
        changed = False
        for service in self._stale:
            new = self._of(service)
            old = self.services.get(service)
            if old is not None and new is not None and old.accounts == new.accounts:
                new = _keep_identity(old, new)
            if new is old:
                continue
            if new is None:
                del self.services[service]
            else:
                self.services[service] = new
            changed = True
        self._stale.clear()
        return changed

    def _forget_pods_of(self, part: EndpointSlice) -> None:
        """Its service is stale, and remembers the pods of all slices that it still has."""
        for endpoint in part.endpoints:
            services = self._services_of_pod.get((part.namespace, endpoint.pod), set())
            services.discard((part.namespace, part.service))
            if not services:
                self._services_of_pod.pop((part.namespace, endpoint.pod), None)

    def _of(self, service: ObjectKey) -> ServiceEndpoints | None:
        """The endpoints of all slices of a service; one whose pod is not known yet waits for it."""
        slices = self._slices.get(service)
        if not slices:
            self._slices.pop(service, None)
            return None
        ready: dict[str, Endpoint] = {}
        accounts: set[str] = set()
        for part in slices.values():
            for address, is_ready, pod_name in part.endpoints:
                pod = None
                if pod_name:
                    key = (part.namespace, pod_name)
                    self._services_of_pod.setdefault(key, set()).add(service)
                    pod = self._pods.get(key)
                    if pod is None:
                        continue
                    accounts.add(f"{pod.namespace}/{pod.service_account}")
                if is_ready:
                    node = self._nodes.get(("", pod.node)) if pod is not None else None
                    around = node.locality if node is not None else NOWHERE
                    where = of_pod(pod.labels, around) if pod is not None else NOWHERE
                    ready[address] = Endpoint(address, part.ports, pod, where)
        _join_families(ready)
        return ServiceEndpoints(tuple(ready[address] for address in sorted(ready)), tuple(sorted(accounts)))


def _join_families(ready: dict[str, Endpoint]) -> None:
    """One endpoint for a pod that a service has at both of its addresses: a client tries one, then the other.

    As Istio's registry does (`updateEndpointCacheForSlice`); the client's part is RFC 8305, Happy Eyeballs.
    """
    for address, endpoint in list(ready.items()):
        pod = endpoint.pod
        if pod is None or address != pod.ip or not pod.more_ips:
            continue
        others = tuple(each for each in pod.more_ips if each in ready and ready[each].ports == endpoint.ports)
        if others:
            ready[address] = replace(endpoint, more=others)
            for each in others:
                del ready[each]


def _keep_identity(old: ServiceEndpoints, new: ServiceEndpoints) -> ServiceEndpoints:
    """The old endpoints where the new ones are equal: all of them, or each by itself."""
    before = {endpoint.address: endpoint for endpoint in old.endpoints}
    kept = tuple(
        known if (known := before.get(endpoint.address)) is not None and same(known, endpoint) else endpoint
        for endpoint in new.endpoints
    )
    if len(kept) == len(old.endpoints) and all(a is b for a, b in zip(kept, old.endpoints, strict=True)):
        return old
    return ServiceEndpoints(kept, new.accounts)
