"""What tests of IPv6 do inside of namespaces; see `inside`. The pods' network is the one that the node makes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mesh_lab.kube.config import SecondFamily
from mesh_lab.kube.network import conntrack
from mesh_lab.kube.network.node import prepare_node
from mesh_lab.kube.network.ruleset import FAMILY_4, FAMILY_6, Places, VirtualPort, changes, whole
from mesh_lab.kube.node.sandbox import AddressPool, Sandbox, Sandboxes
from tests.unit.kube.isolation import NoIsolation
from tests.unit.kube.network.inside import (
    BALANCERS,
    CLONE_NEWNET,
    DNS,
    LIBC,
    NODE,
    PODS,
    SERVICES,
    Nft_,
    _arrives,
    _check,
    _port,
)

SECOND = SecondFamily()
PLACES = Places(SECOND.node_address, SECOND.service_cidr, family=FAMILY_6)
VIRTUAL = "fd00:10:96::20"


class Namespaces:
    """Stands in for the node's runtime: sandboxes are namespaces of this process."""

    def __init__(self) -> None:
        self.found: list[int] = []

    async def create_sandbox(self, hostname: str, sysctls: dict[str, str], *, host_network: bool = False) -> int:
        with _kept():
            _check(LIBC.unshare(CLONE_NEWNET))
            _set(sysctls)
            self.found.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY))
        return len(self.found) - 1

    async def remove_sandbox(self, number: int) -> None:
        os.close(self.found[number])

    async def open_socket(self, number: int, family: int, kind: int, protocol: int) -> socket.socket:
        with self.entered(number):
            return socket.socket(family, kind, protocol)

    @contextlib.contextmanager
    def entered(self, number: int) -> Iterator[None]:
        with _kept():
            _check(LIBC.setns(self.found[number], CLONE_NEWNET))
            yield


class Lab:
    """A node of two families, and its pods."""

    def __init__(self) -> None:
        for _ in range(2):
            prepare_node(NODE, DNS, PODS, SERVICES, BALANCERS, SECOND)
        self.runtime = Namespaces()
        pools = [AddressPool(PODS, frozenset({NODE})), AddressPool(SECOND.pod_cidr)]
        self.sandboxes = Sandboxes(
            self.runtime,  # type: ignore[arg-type]
            pools,
            (NODE, SECOND.node_address),
            NoIsolation(),
        )
        self.sandboxes.prepare_node()
        self.nft = Nft_()

    async def pod(self) -> Sandbox:
        return await self.sandboxes.create("uid", "pod", {}, host_network=False)

    def listen(self, pod: Sandbox, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
        with self.runtime.entered(pod.number):
            made = socket.socket(socket.AF_INET6, kind)
            made.bind(("::", 8080))
            if kind is socket.SOCK_STREAM:
                made.listen()
            made.setblocking(False)
            return made

    def connect(self, pod: Sandbox, address: str, port: int) -> str:
        with self.runtime.entered(pod.number):
            return _connect(address, port)


def ways() -> dict[str, Any]:
    """How connections of all sorts go, from a pod and from the node."""
    return asyncio.run(_ways())


async def _ways() -> dict[str, Any]:
    lab = Lab()
    client, server = await lab.pod(), await lab.pod()
    listener = lab.listen(server)
    backends = ((server.addresses[1], 8080),)
    port = VirtualPort("svc/a/web/tcp/80", VIRTUAL, "tcp", 80, 30080, False, backends)
    other = _port(False, server.address)
    with lab.nft as nft:
        nft.run(whole(PLACES, {port.chain: port}))
        nft.run(whole(Places(NODE, SERVICES, DNS, BALANCERS), {other.chain: other}))
        targets = {
            "pod": (server.addresses[1], 8080),
            "service": (VIRTUAL, 80),
            "service of IPv4": ("10.96.0.20", 80),
            "node port": (SECOND.node_address, 30080),
            "other port of the service": (VIRTUAL, 81),
            "service that is not there": ("fd00:10:96::3", 80),
            "pod that is not there": ("fd00:10:244::9:9", 80),
        }
        found: dict[str, Any] = {
            name: [lab.connect(client, *target), _connect(*target)] for name, target in targets.items()
        }
        with contextlib.suppress(BlockingIOError):
            while True:
                found.setdefault("sources", set()).add(listener.accept()[1][0])
        found["sources"] = sorted(found["sources"])
        found["itself"] = [lab.connect(server, VIRTUAL, 80), listener.accept()[1][0]]
        several = VirtualPort(port.chain, VIRTUAL, "tcp", 80, 30080, True, (*backends, (client.addresses[1], 8080)))
        nft.run(changes({port.chain: port}, {port.chain: several}, {server.addresses[1]: 1}, FAMILY_6))
        nft.run(changes({port.chain: several}, {}, {server.addresses[1]: 1, client.addresses[1]: 1}, FAMILY_6))
        found["removed"] = lab.connect(client, VIRTUAL, 80)
        found["IPv4 stays"] = lab.connect(client, "10.96.0.20", 80)
    found["addresses"] = [client.addresses, server.addresses]
    await lab.sandboxes.remove(server)
    found["pod that is gone"] = lab.connect(client, server.addresses[1], 8080)
    found["next"] = (await lab.pod()).addresses
    before = await lab.sandboxes.create("uid", "pod", {}, host_network=False, most=1)
    found["made before"] = [before.addresses, lab.connect(before, server.addresses[1], 8080)]
    return found


def flow() -> dict[str, Any]:
    """Where datagrams of one socket arrive, before and after the endpoint that it has is gone."""
    return asyncio.run(_flow())


async def _flow() -> dict[str, Any]:
    lab = Lab()
    client, *servers = [await lab.pod() for _ in range(3)]
    receivers = {pod.addresses[1]: lab.listen(pod, socket.SOCK_DGRAM) for pod in servers}
    first, second = receivers
    states = [
        {"svc/a/web/udp/80": VirtualPort("svc/a/web/udp/80", VIRTUAL, "udp", 80, 0, False, ((each, 8080),))}
        for each in (first, second)
    ]
    with lab.nft as nft:
        nft.run(whole(PLACES, states[0]))
        with lab.runtime.entered(client.number):
            sender = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        sender.connect((VIRTUAL, 80))
        found = {"before": _arrives(sender, receivers)}
        nft.run(changes(states[0], states[1], {first: 1}, FAMILY_6))
        conntrack.forget_stale({(VIRTUAL, 80): frozenset({(second, 8080)})}, FAMILY_4.name)
        found["the other family's flows"] = _arrives(sender, receivers)
        conntrack.forget_stale({(VIRTUAL, 80): frozenset({(second, 8080)})}, FAMILY_6.name)
        return found | {"after": _arrives(sender, receivers), "expected": [first, second]}


def _connect(address: str, port: int) -> str:
    try:
        socket.create_connection((address, port), timeout=5).close()
    except OSError as error:
        return error.strerror or type(error).__name__
    return "ok"


def _set(sysctls: dict[str, str]) -> None:
    for name, value in sysctls.items():
        Path("/proc/sys", name.replace(".", "/")).write_text(value, encoding="ascii")


@contextlib.contextmanager
def _kept() -> Iterator[None]:
    """The block may change the namespace; afterwards it is what it was."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        yield
    finally:
        _check(LIBC.setns(home, CLONE_NEWNET))
        os.close(home)


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](**json.loads(sys.argv[2]))))  # noqa: T201
