"""Services and their endpoint slices as the network sees them, kept up to date from watches.

One catalogue serves the packet rules, DNS and the host's ports. Listeners are called with the Services that changed.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import msgspec

from mesh_lab.kube.objects.services import IPV4, IPV6, EndpointSlice, Service
from mesh_lab.kube.reflector import BOOKMARK, DELETED, follow
from mesh_lab.kube.registry.registry import Registry
from mesh_lab.kube.resources import ENDPOINTSLICES, NAMESPACES, SERVICES


class Name(NamedTuple):
    """A Service's namespace and name."""

    namespace: str
    name: str


Listener = Callable[[Name], None]


class Catalogue:
    """All Services, their slices, and the names of all namespaces."""

    def __init__(self) -> None:
        self.services: dict[Name, Service] = {}
        self.namespaces: set[str] = set()
        self._slices: defaultdict[Name, dict[str, EndpointSlice]] = defaultdict(dict)
        self._homes: dict[str, Name] = {}
        self._listeners: list[Listener] = []
        self._complete: dict[str, asyncio.Event] = {"services": asyncio.Event(), "slices": asyncio.Event()}

    def slices(self, name: Name, family: str = IPV4) -> Iterable[EndpointSlice]:
        """Return the slices of a Service that have addresses of an IP family, in a stable order."""
        found = self._slices.get(name)
        return [found[each] for each in sorted(found) if found[each].address_type == family] if found else ()

    def listen(self, listener: Listener) -> None:
        """Call `listener` for each Service that changed, with the catalogue already up to date.

        A namespace that comes or goes is reported as a Service without a name.
        """
        self._listeners.append(listener)

    async def complete(self) -> None:
        """Wait until everything that was stored at the start is known."""
        for each in self._complete.values():
            await each.wait()

    async def run(self, registry: Registry) -> None:
        """Follow the registry until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_services(registry))
            tasks.create_task(self._follow_slices(registry))
            tasks.create_task(self._follow_namespaces(registry))

    def put_service(self, obj: dict[str, Any]) -> None:
        """Add or update a Service."""
        name = _name(obj)
        self.services[name] = msgspec.convert(obj, Service)
        self._tell(name)

    def drop_service(self, obj: dict[str, Any]) -> None:
        """Remove a Service."""
        name = _name(obj)
        self.services.pop(name, None)
        self._tell(name)

    def put_namespace(self, name: str) -> None:
        """Add a namespace."""
        if name not in self.namespaces:
            self.namespaces.add(name)
            self._tell(Name(name, ""))

    def drop_namespace(self, name: str) -> None:
        """Remove a namespace."""
        self.namespaces.discard(name)
        self._tell(Name(name, ""))

    def put_slice(self, obj: dict[str, Any]) -> None:
        """Add or update a slice, which may have moved from one Service to another."""
        found = msgspec.convert(obj, EndpointSlice)
        self._forget(found.metadata.uid, found.metadata.namespace, found.service)
        if found.service and found.address_type in (IPV4, IPV6):
            name = Name(found.metadata.namespace, found.service)
            self._homes[found.metadata.uid] = name
            self._slices[name][found.metadata.uid] = found
            self._tell(name)

    def drop_slice(self, obj: dict[str, Any]) -> None:
        """Remove a slice."""
        self._forget(obj["metadata"]["uid"], obj["metadata"]["namespace"], "")

    def _forget(self, uid: str, namespace: str, but: str) -> None:
        home = self._homes.get(uid)
        if home is None or home == Name(namespace, but):
            return
        del self._homes[uid]
        self._slices[home].pop(uid, None)
        if not self._slices[home]:
            del self._slices[home]
        self._tell(home)

    async def _follow_services(self, registry: Registry) -> None:
        async for event in follow(registry, SERVICES):
            if event.type == BOOKMARK:
                self._complete["services"].set()
            elif event.type == DELETED:
                self.drop_service(event.object)
            else:
                self.put_service(event.object)

    async def _follow_slices(self, registry: Registry) -> None:
        async for event in follow(registry, ENDPOINTSLICES):
            if event.type == BOOKMARK:
                self._complete["slices"].set()
            elif event.type == DELETED:
                self.drop_slice(event.object)
            else:
                self.put_slice(event.object)

    async def _follow_namespaces(self, registry: Registry) -> None:
        async for event in follow(registry, NAMESPACES):
            if event.type == DELETED:
                self.drop_namespace(event.object["metadata"]["name"])
            elif event.type != BOOKMARK:
                self.put_namespace(event.object["metadata"]["name"])

    def _tell(self, name: Name) -> None:
        for listener in self._listeners:
            listener(name)


def _name(obj: dict[str, Any]) -> Name:
    return Name(obj["metadata"]["namespace"], obj["metadata"]["name"])
