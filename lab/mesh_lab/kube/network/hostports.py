"""Ports of LoadBalancer and NodePort Services on the host's loopback network: the lab's load balancer.

All of them answer at 127.0.0.1. A load balancer's own answer at `BALANCER` as well, which its status names: that
address leads to the same Service from the host and from pods, where 127.0.0.1 is the pod itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mesh_lab.kube.changes import Object
from mesh_lab.kube.config import BALANCER, FROM_HOST, HostPort
from mesh_lab.kube.errors import ApiError
from mesh_lab.kube.network.endpoints import Catalogue, Name
from mesh_lab.kube.network.hostsockets import HostSocketError, HostSockets
from mesh_lab.kube.network.relaying import Relaying
from mesh_lab.kube.network.ruleset import backends_of
from mesh_lab.kube.objects.services import Service, ServicePort
from mesh_lab.kube.recording import NORMAL, WARNING, Recorder
from mesh_lab.kube.registry.registry import Registry
from mesh_lab.kube.resources import SERVICES

log = logging.getLogger(__name__)


PRIVILEGED = 1024
"""Ports below are not used unless lab.toml names them: the host's own servers have them."""

TRY_AGAIN_SECONDS = 10.0
"""When a port that was in use is tried again."""

PORT_TAKEN = "PortTaken"
NOT_ON_HOST = "NotOnHost"
REACHED_FROM_HOST = ("NodePort", "LoadBalancer")


@dataclass(frozen=True)
class Wish:
    """A wanted port of the host, and the Service's port that it leads to.

    `main`: it is not only a node port. `balanced`: it is the load balancer's own, under the Service's number.
    """

    host_port: int
    port: ServicePort
    main: bool
    balanced: bool = False

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where the host answers."""
        return (FROM_HOST, BALANCER) if self.balanced else (FROM_HOST,)


def wishes(name: Name, service: Service, configured: Sequence[HostPort]) -> list[Wish]:
    """Return a Service's ports of the host: a LoadBalancer's own, unless others are configured; its node ports.

    A Service's own port has precedence over a configured one of the same number.
    """
    if not service.spec.virtual:
        return []
    balanced = service.spec.type == "LoadBalancer"
    own: list[Wish] = []
    others: list[Wish] = []
    for port in service.spec.ports:
        if port.protocol != "TCP":
            continue
        chosen = [
            each.host_port for each in configured if (each.namespace, each.service, each.port) == (*name, port.port)
        ]
        if not chosen and balanced and port.port >= PRIVILEGED:
            own.append(Wish(port.port, port, main=True, balanced=True))
        others += [Wish(number, port, main=True, balanced=balanced and number == port.port) for number in chosen]
        if service.spec.type in REACHED_FROM_HOST and port.node_port:
            others.append(Wish(port.node_port, port, main=False))
    found: dict[int, Wish] = {}
    for wish in (*own, *others):
        found.setdefault(wish.host_port, wish)
    return list(found.values())


@dataclass
class _Held:
    """A port of the host that leads to a Service; `error` says why it does not."""

    wish: Wish
    error: str = ""


class HostPorts:
    """Binds the host's ports that Services want, and writes the outcome into their status."""

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
        self._held: dict[Name, dict[int, _Held]] = {}
        self._owners: dict[int, Name] = {}
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
        while True:
            self._wake.clear()
            while self._dirty:
                await self._look(self._dirty.pop())
            await self._wake.wait()

    async def _look(self, name: Name) -> None:
        service = self._catalogue.services.get(name)
        wanted = {wish.host_port: wish for wish in wishes(name, service, self._configured)} if service else {}
        held = self._held.setdefault(name, {})
        known = {number: each.error for number, each in held.items() if each.error}
        for number, each in tuple(held.items()):
            if each.error or _differs(each.wish, wanted.get(number)):
                await self._release(name, number)
        news = []
        for number, wish in wanted.items():
            if number not in held:
                held[number] = _Held(wish, await self._bind(name, wish))
                if not held[number].error or held[number].error != known.get(number):
                    news.append(held[number])
            held[number].wish = wish
            if held[number].error:
                continue  # the socket there, if any, is another Service's
            for address in wish.addresses:
                await self._relaying.set_backends(_relayed(address, number), self._backends(name, wish))
        if any(each.error for each in held.values()):
            self._try_again(name)
        if not held:
            del self._held[name]
        if service is not None:
            await self._report(name, service, held.values(), news)

    def _backends(self, name: Name, wish: Wish) -> Sequence[tuple[str, int]]:
        return backends_of(wish.port, self._catalogue.slices(name))

    async def _bind(self, name: Name, wish: Wish) -> str:
        """Bind a port at all of its addresses; return why it cannot be bound, if so."""
        owner = self._owners.get(wish.host_port)
        if owner is not None:
            return f"it leads to Service {owner.namespace}/{owner.name}"
        with contextlib.ExitStack() as bound:
            sockets: dict[str, socket.socket] = {}
            for address in wish.addresses:
                try:
                    sockets[address] = bound.enter_context(await self._host.listen(address, wish.host_port))
                except HostSocketError as error:
                    return str(error)
            bound.pop_all()
        self._owners[wish.host_port] = name
        for address, sock in sockets.items():
            await self._relaying.serve(_relayed(address, wish.host_port), sock, self._backends(name, wish))
        return ""

    async def _release(self, name: Name, number: int) -> None:
        held = self._held[name].pop(number)
        if not held.error:
            del self._owners[number]
            for address in held.wish.addresses:
                await self._relaying.stop(_relayed(address, number))

    async def _report(self, name: Name, service: Service, held: Iterable[_Held], news: Iterable[_Held]) -> None:
        stored = self._registry.find(SERVICES, name.name, name.namespace)
        if stored is None or stored["metadata"]["uid"] != service.metadata.uid:
            return
        for each in news:
            number, port = each.wish.host_port, each.wish.port.port
            if each.error:
                text = f"port {port} does not answer on {FROM_HOST}:{number} of the host: {each.error}"
                self._events.record(stored, WARNING, PORT_TAKEN, text)
                log.warning("Service %s/%s: %s", *name, text)
            elif each.wish.main:
                text = f"port {port} answers on {FROM_HOST}:{number} of the host"
                self._events.record(stored, NORMAL, "EnsuredLoadBalancer", text)
        balancer = load_balancer(service, [(each.wish, each.error) for each in held])

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


def load_balancer(service: Service, outcomes: Sequence[tuple[Wish, str]]) -> Object:
    """Return `status.loadBalancer`: no ingress while none of the Service's ports answers under its own number.

    An ingress has an address only, so clients combine it with the port numbers of the Service.
    https://kubernetes.io/docs/reference/kubernetes-api/service-resources/service-v1/#ServiceStatus
    """
    if service.spec.type != "LoadBalancer":
        return {}
    errors = {wish.host_port: error for wish, error in outcomes if wish.balanced}
    if not any(not error for error in errors.values()):
        return {}
    ports = [_port_status(port, errors) for port in sorted(service.spec.ports, key=lambda port: port.port)]
    return {"ingress": [{"ip": BALANCER, "ipMode": "VIP", "ports": ports}]}


def _differs(held: Wish, wanted: Wish | None) -> bool:
    """Whether other sockets are wanted than those that are held."""
    return wanted is None or held.addresses != wanted.addresses


def _relayed(address: str, number: int) -> str:
    """The name by which the relay knows a socket."""
    return f"{address}:{number}"


def _port_status(port: ServicePort, errors: Mapping[int, str]) -> Object:
    status = {"port": port.port, "protocol": port.protocol}
    if port.protocol != "TCP" or port.port not in errors:
        return status | {"error": NOT_ON_HOST}
    return status | ({"error": PORT_TAKEN} if errors[port.port] else {})
