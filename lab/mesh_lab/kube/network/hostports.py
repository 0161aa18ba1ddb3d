"""Ports of LoadBalancer and NodePort Services on the host's loopback network: the lab's load balancer.

`hostwishes` says which places of the host a Service wants, `balancers` which address is whose; here they are bound.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice

from mesh_lab.kube.changes import Object
from mesh_lab.kube.config import BALANCERS, FROM_HOST, INGRESS_ADDRESS, INGRESS_SERVICE, HostPort
from mesh_lab.kube.errors import ApiError
from mesh_lab.kube.network.balancers import Addresses
from mesh_lab.kube.network.endpoints import Catalogue, Name
from mesh_lab.kube.network.hostsockets import RESERVED, TAKEN_HERE, HostSocketError, HostSockets
from mesh_lab.kube.network.hostwishes import (
    PORT_RESERVED,
    PORT_TAKEN,
    Outcome,
    Place,
    Remark,
    Way,
    Wish,
    is_balanced,
    load_balancer,
    remarks,
    wishes,
)
from mesh_lab.kube.network.relaying import Relaying
from mesh_lab.kube.network.ruleset import backends_of
from mesh_lab.kube.objects.services import Service
from mesh_lab.kube.recording import WARNING, Recorder
from mesh_lab.kube.registry.registry import Registry
from mesh_lab.kube.resources import SERVICES

log = logging.getLogger(__name__)

TRY_AGAIN_SECONDS = 10.0
"""When a port that was in use is tried again."""

ADDRESSES_TRIED = 256
"""So many addresses are tried for a Service whose ports other processes of the host have."""

NO_ADDRESS = "AllocationFailed"
"""The reason of the Event of a Service that gets no address."""

Opened = dict[Place, socket.socket]


class HostPorts:
    """Gives load balancers their addresses, binds the host's ports that Services want, and writes the outcome down."""

    def __init__(
        self,
        registry: Registry,
        catalogue: Catalogue,
        host: HostSockets,
        configured: Sequence[HostPort] = (),
    ) -> None:
        self._registry = registry
        self._catalogue = catalogue
        self._host = host
        self._configured = configured
        self._events = Recorder(registry, "service-controller")
        self._relaying = Relaying()
        self._addresses = Addresses(BALANCERS, {INGRESS_ADDRESS: Name(*INGRESS_SERVICE)})
        self._unproven: set[Name] = set()
        self._refused: dict[Name, str] = {}
        self._held: dict[Name, dict[Place, Outcome]] = {}
        self._owners: dict[Place, Name] = {}
        self._dirty: set[Name] = set()
        self._again: set[Name] = set()
        self._wake = asyncio.Event()
        catalogue.listen(self._mark)

    def _mark(self, name: Name) -> None:
        self._dirty.add(name)
        self._wake.set()

    def _try_again(self, name: Name) -> None:
        """Requeue the Service after a while, once."""
        if name not in self._again:
            self._again.add(name)
            asyncio.get_running_loop().call_later(TRY_AGAIN_SECONDS, self._retry, name)

    def _retry(self, name: Name) -> None:
        self._again.discard(name)
        self._mark(name)

    async def run(self) -> None:
        """Keep the ports as Services want them, until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._events.run())
                tasks.create_task(self._work())
        finally:
            await self._relaying.close()

    async def _work(self) -> None:
        await self._catalogue.complete()
        self._keep_addresses()
        while True:
            self._wake.clear()
            while self._dirty:
                await self._look(self._dirty.pop())
            await self._wake.wait()

    def _keep_addresses(self) -> None:
        """Give Services what they had before the lab was down; of two with one address, the older."""
        for name, service in sorted(self._catalogue.services.items(), key=_age):
            if is_balanced(service) and self._addresses.keep(service.balancer, name):
                self._unproven.add(name)

    async def _look(self, name: Name) -> None:
        service = self._catalogue.services.get(name)
        opened, said = await self._settle(name, service)
        address = self._addresses.of(name)
        wanted = {wish.place: wish for wish in wishes(name, service, self._configured, address)} if service else {}
        held = self._held.setdefault(name, {})
        known = {place: each.error for place, each in held.items() if each.error}
        for place, each in tuple(held.items()):
            if each.error or place not in wanted:
                await self._release(name, place)
        news = set()
        for place, wish in wanted.items():
            if place in held:
                held[place] = replace(held[place], wish=wish)
            else:
                held[place] = await self._bind(name, wish, opened.get(place))
                if not held[place].error or held[place].error != known.get(place):
                    news.add(place)
            if not held[place].error:  # the socket there, if any, is another Service's
                await self._relaying.set_backends(str(place), self._backends(name, wish))
        # Of a place that another Service has, the end is known here.
        if name in self._refused or any(each.error and place not in self._owners for place, each in held.items()):
            self._try_again(name)
        outcomes = dict(held)
        if not held:
            del self._held[name]
        if service is not None:
            await self._report(name, service, outcomes, [*said, *remarks(outcomes, news)])

    async def _settle(self, name: Name, service: Service | None) -> tuple[Opened, list[Remark]]:
        """Give the Service its address, or take it back; sockets that were opened there, and what is to be said."""
        present, unproven = self._addresses.of(name), name in self._unproven
        self._unproven.discard(name)
        if service is None or not is_balanced(service):
            self._addresses.free(name)
            self._refused.pop(name, None)
            return {}, []
        asked = service.spec.load_balancer_ip
        if asked:
            refused, opened = self._addresses.problem(asked, name), Opened()
            if refused:
                self._addresses.free(name)
            elif asked != present:
                self._addresses.give(asked, name)
        elif present and not unproven:
            refused, opened = "", {}
        else:
            refused, opened = await self._choose(name, service)
        return opened, list(self._refusal(name, refused))

    def _refusal(self, name: Name, refused: str) -> Iterator[Remark]:
        """What is said of a Service that gets no address, once."""
        if not refused:
            self._refused.pop(name, None)
        elif self._refused.get(name) != refused:
            self._refused[name] = refused
            yield Remark(WARNING, NO_ADDRESS, f"no address: {refused}")

    async def _choose(self, name: Name, service: Service) -> tuple[str, Opened]:
        """Give the Service the first address where no other process has one of its ports; why it gets none, if so."""
        first = ""
        for address in islice(self._addresses.candidates(name), ADDRESSES_TRIED):
            first = first or address
            opened = await self._open(address, service)
            if opened is not None:
                self._addresses.give(address, name)
                return "", opened
            self._addresses.avoid(address)
        if not first:
            return f"Services have all addresses of {BALANCERS}", {}
        self._addresses.give(first, name)
        return "", {}

    async def _open(self, address: str, service: Service) -> Opened | None:
        """Open the Service's ports at an address; None when another process has one that is free elsewhere."""
        with contextlib.ExitStack() as bound:
            opened: Opened = {}
            for port in service.spec.ports:
                if port.protocol != "TCP":
                    continue
                try:
                    sock = await self._host.listen(address, port.port, quickly=True)
                except HostSocketError as error:
                    if error.kind == TAKEN_HERE:
                        return None
                else:
                    opened[Place(address, port.port)] = bound.enter_context(sock)
            bound.pop_all()
        return opened

    def _backends(self, name: Name, wish: Wish) -> Sequence[tuple[str, int]]:
        return backends_of(wish.port, self._catalogue.slices(name))

    def _other(self, name: Name, wish: Wish) -> str:
        """Why a place is another Service's; empty when it is not."""
        owner = self._owners.get(wish.place)
        if owner is not None:
            return f"it leads to Service {owner.namespace}/{owner.name}"
        if wish.place.address != FROM_HOST or wish.way is Way.CHOSEN:
            return ""
        for each in self._configured:
            keeper = Name(each.namespace, each.service)
            service = self._catalogue.services.get(keeper)
            listed = service is not None and any(port.port == each.port for port in service.spec.ports)
            if each.host_port == wish.place.number and keeper != name and listed:
                return f"it is kept for Service {keeper.namespace}/{keeper.name}"
        return ""

    async def _bind(self, name: Name, wish: Wish, sock: socket.socket | None) -> Outcome:
        """Have a place lead to the Service, by the socket that is open there already, if one is."""
        if other := self._other(name, wish):
            return Outcome(wish, other, PORT_TAKEN)
        try:
            sock = sock or await self._host.listen(*wish.place)
        except HostSocketError as error:
            return Outcome(wish, str(error), PORT_RESERVED if error.kind == RESERVED else PORT_TAKEN)
        self._owners[wish.place] = name
        await self._relaying.serve(str(wish.place), sock, self._backends(name, wish))
        return Outcome(wish)

    async def _release(self, name: Name, place: Place) -> None:
        if not self._held[name].pop(place).error:
            del self._owners[place]
            await self._relaying.stop(str(place))
            for other, held in self._held.items():
                if place in held:
                    self._mark(other)

    async def _report(self, name: Name, service: Service, held: dict[Place, Outcome], said: list[Remark]) -> None:
        stored = self._registry.find(SERVICES, name.name, name.namespace)
        if stored is None or stored["metadata"]["uid"] != service.metadata.uid:
            return
        for each in said:
            self._events.record(stored, *each)
            if each.type == WARNING:
                log.warning("Service %s/%s: %s", *name, each.text)
        balancer = load_balancer(service, self._addresses.of(name), held)

        def change(found: Object) -> Object | None:
            status = found.get("status") or {}
            if found["metadata"]["uid"] != service.metadata.uid or status.get("loadBalancer", {}) == balancer:
                return None
            return found | {"status": status | {"loadBalancer": balancer}}

        try:
            await self._registry.modify(SERVICES, name.name, name.namespace, change, subresource="status")
        except ApiError as error:
            log.warning("status of Service %s/%s not written: %s", *name, error.message)
            self._try_again(name)


def _age(entry: tuple[Name, Service]) -> tuple[datetime, Name]:
    name, service = entry
    return service.metadata.creation_timestamp or datetime.max.replace(tzinfo=UTC), name
