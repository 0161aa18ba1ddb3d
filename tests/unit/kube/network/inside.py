"""What tests do inside of namespaces: `python -m tests.unit.kube.network.inside FUNCTION ARGUMENTS`.

Pods are network namespaces joined to the node's as the lab joins them: routed, one veth each. A socket belongs to the
namespace in which it was made, so one process can be client and server in all of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import json
import os
import random
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from mesh_lab.kube.network.endpoints import Name
from mesh_lab.kube.network.nft import Nft
from mesh_lab.kube.network.node import prepare_node
from mesh_lab.kube.network.ruleset import Places, VirtualPort, changes, counted, whole
from mesh_lab.kube.network.services import ServiceNetwork
from tests.unit.kube.network.catalogues import catalogue, endpoint_slice, service

NODE, DNS, PODS, SERVICES = "10.244.0.1", "10.96.0.10", "10.244.0.0/16", "10.96.0.0/16"
BALANCER, BALANCERS = "127.80.3.7", "127.80.0.0/16"
PLACES = Places(NODE, SERVICES, DNS, BALANCERS)
CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)
VIRTUAL = "10.96.0.20"


class Pod:
    """A network namespace with an address."""

    def __init__(self, number: int) -> None:
        self.address = f"10.244.0.{number}"
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        _check(LIBC.unshare(CLONE_NEWNET))
        self.descriptor = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        _check(LIBC.setns(home, CLONE_NEWNET))
        os.close(home)
        there = f"/proc/{os.getpid()}/fd/{self.descriptor}"
        near, far = f"02:00:00:00:01:{number:02x}", f"02:00:00:00:02:{number:02x}"
        device = f"veth{number}"
        _ip(
            f"link add {device} address {near} type veth peer name eth0 address {far} netns {there}",
            f"link set {device} up",
            f"route add {self.address}/32 dev {device} src {NODE}",
            f"neighbour add {self.address} dev {device} lladdr {far}",
        )
        with self.entered():
            Path("/proc/sys/net/ipv4/conf/all/route_localnet").write_text("1", encoding="ascii")
            _ip(
                "link set lo up",
                "link set eth0 up",
                f"address add {self.address}/32 dev eth0",
                "route add default via 169.254.1.1 onlink dev eth0",
                f"route add {BALANCERS} via 169.254.1.1 onlink dev eth0 table local src {self.address}",
                f"neighbour add 169.254.1.1 dev eth0 lladdr {near}",
            )

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Sockets and programs of this block are in the pod."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        _check(LIBC.setns(self.descriptor, CLONE_NEWNET))
        try:
            yield
        finally:
            _check(LIBC.setns(home, CLONE_NEWNET))
            os.close(home)

    def serve(self, port: int = 8080) -> socket.socket:
        """A socket of this pod that listens."""
        with self.entered():
            return socket.create_server(("0.0.0.0", port), backlog=4096)

    def receive(self, port: int = 8080) -> socket.socket:
        """A socket of this pod that takes datagrams, without waiting for any."""
        with self.entered():
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            made.bind(("0.0.0.0", port))
            return made

    def connect(self, address: str, port: int) -> tuple[str, socket.socket | None]:
        """How a connection from this pod goes: `ok` and the socket, or the name of the error."""
        with self.entered():
            return _connect(address, port)


def spread(endpoints: int, connections: int, sticky: bool) -> dict[str, Any]:
    """Connections from a pod to a Service; how many arrive at each endpoint, and from where."""
    _prepare()
    client, servers = Pod(2), [Pod(10 + n) for n in range(endpoints)]
    listeners = {pod.address: pod.serve() for pod in servers}
    _apply(_port(sticky, *listeners))
    arrived: Counter[str] = Counter()
    sources: set[str] = set()
    for _ in range(connections):
        outcome, made = client.connect(VIRTUAL, 80)
        assert made is not None, outcome
        # Only the endpoint that the kernel chose has the connection in its queue, and it has it already.
        for address, listener in listeners.items():
            listener.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                accepted, source = listener.accept()
                arrived[address] += 1
                sources.add(source[0])
                _reset(accepted)
        made.close()
    return {"arrived": arrived, "sources": sorted(sources), "client": client.address}


def ways() -> dict[str, Any]:
    """How connections of all sorts go, from a pod and from the node."""
    _prepare()
    client, server = Pod(2), Pod(3)
    listener = server.serve()
    with Nft_() as nft:
        port = replace(_port(False, server.address, node_port=30080), balancer=BALANCER)
        nft.run(whole(PLACES, {port.chain: port}))
    targets = {
        "service": (VIRTUAL, 80),
        "node port": (NODE, 30080),
        "load balancer": (BALANCER, 80),
        "other port of the load balancer": (BALANCER, 81),
        "other port of the service": (VIRTUAL, 81),
        "service that is not there": ("10.96.3.3", 80),
        "pod that is not there": ("10.244.9.9", 80),
        "outward": ("192.0.2.1", 80),
    }
    found: dict[str, Any] = {}
    for name, (address, port) in targets.items():
        found[name] = [client.connect(address, port)[0], _connect(address, port)[0]]
    while True:
        listener.settimeout(0.1)
        try:
            listener.accept()[0].close()
        except TimeoutError:
            break
    outcome, made = server.connect(VIRTUAL, 80)
    accepted, source = listener.accept()
    accepted.send(b"hello")
    assert made is not None, outcome
    found["itself"] = [outcome, source[0], made.recv(5).decode()]
    return found


def datagrams(count: int) -> dict[str, int]:
    """Datagrams of as many sockets to a UDP Service; how many arrive at each endpoint."""
    _prepare()
    client, servers = Pod(2), [Pod(10), Pod(11)]
    sockets = {}
    for pod in servers:
        with pod.entered():
            sockets[pod.address] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sockets[pod.address].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
            sockets[pod.address].bind(("0.0.0.0", 8080))
    backends = tuple((pod.address, 8080) for pod in servers)
    with Nft_() as nft:
        port = VirtualPort("svc/a/web/udp/80", VIRTUAL, "udp", 80, 0, False, backends)
        nft.run(whole(PLACES, {port.chain: port}))
    for _ in range(count):
        with client.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"x", (VIRTUAL, 80))
    arrived = {}
    for address, receiver in sockets.items():
        receiver.setblocking(False)
        arrived[address] = 0
        with contextlib.suppress(BlockingIOError):
            while receiver.recv(16):
                arrived[address] += 1
    return arrived


def flows() -> dict[str, Any]:
    """Where datagrams of one socket arrive while the endpoints of their Service change."""
    return asyncio.run(_flows())


async def _flows() -> dict[str, Any]:
    _prepare()
    client, servers = Pod(2), [Pod(10), Pod(11)]
    receivers = {pod.address: pod.receive() for pod in servers}
    listener = servers[0].serve()
    ports = [
        {"name": "udp", "port": 80, "protocol": "UDP", "nodePort": 30080},
        {"name": "tcp", "port": 81, "protocol": "TCP"},
    ]
    slice_ports = [{"name": p["name"], "port": 8080, "protocol": p["protocol"]} for p in ports]
    made = catalogue(service("web", VIRTUAL, type="NodePort", ports=ports))
    for event in made._complete.values():
        event.set()
    nft = Nft()
    network = ServiceNetwork(made, nft, PLACES)
    running = asyncio.create_task(network.run())
    with client.entered():
        sender, other = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    sender.connect((VIRTUAL, 80))
    other.connect((NODE, 30080))

    async def arrives(sock: socket.socket, *endpoints: Any) -> list[str]:
        made.put_slice(endpoint_slice("web", endpoints, ports=slice_ports))
        async with asyncio.timeout(10):
            await network.settled.wait()
        return _arrives(sock, receivers)

    first, second = (pod.address for pod in servers)
    leaving = {"addresses": [first], "conditions": {"ready": False, "serving": True, "terminating": True}}
    found: dict[str, Any] = {
        "one endpoint": await arrives(sender, first),
        "by the node port": await arrives(other, first),
    }
    outcome, connection = client.connect(VIRTUAL, 81)
    assert connection is not None, outcome
    accepted, _ = listener.accept()
    found["another beside it"] = await arrives(sender, first, second)
    found["the first drains"] = await arrives(sender, leaving, second)
    found["the first is gone"] = await arrives(sender, second)
    found["by the node port"] = await arrives(other, second)
    found["none is left"] = await arrives(sender)
    connection.send(b"still there")
    found["connection"] = accepted.recv(16).decode()
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    nft.close()
    return found


def _arrives(sender: socket.socket, receivers: dict[str, socket.socket]) -> list[str]:
    """Return where a datagram arrives, or its error: the packet or its rejection is there when the call returns."""
    sender.settimeout(1)
    try:
        sender.send(b"x")
        sender.send(b"x")  # a rejection of the first is reported now
    except OSError as error:
        return [errno.errorcode[error.errno or 0]]
    arrived = []
    for address, receiver in receivers.items():
        with contextlib.suppress(BlockingIOError):
            while receiver.recv(16):
                arrived.append(address)
    return sorted(set(arrived))


def steps(seed: int, count: int) -> list[str]:
    """Random changes one after another; those after which the rules are not what they would be made at once."""
    dice = random.Random(seed)
    wrong = []
    with Nft_() as nft, Nft_() as fresh:
        present: dict[str, VirtualPort] = {}
        used: dict[str, int] = {}
        nft.run(whole(PLACES, present))
        for step in range(count):
            wanted = {port.chain: port for port in _random_ports(dice)}
            nft.run(changes(present, wanted, used))
            used |= counted(present, wanted, used)
            present = wanted
            found = nft.run("list table ip mesh_lab_services")
            fresh.run(whole(PLACES, wanted))
            if sorted(found.splitlines()) != sorted(fresh.run("list table ip mesh_lab_services").splitlines()):
                wrong.append(f"step {step}: {found}")
    return wrong


def follows(services: int) -> dict[str, Any]:
    """A running ServiceNetwork with many Services: at the start, after a change, after the table was taken away."""
    return asyncio.run(_follows(services))


async def _follows(services: int) -> dict[str, Any]:
    made = catalogue()
    for number in range(services):
        made.put_service(service(f"s{number}", f"10.96.{1 + number // 250}.{1 + number % 250}"))
        made.put_slice(endpoint_slice(f"s{number}", [f"10.244.{number // 250}.{number % 250 + 2}"]))
    for event in made._complete.values():
        event.set()
    nft = Nft()
    network = ServiceNetwork(made, nft, PLACES)
    running = asyncio.create_task(network.run())
    found: dict[str, Any] = {"trouble at first": network.trouble}
    async with asyncio.timeout(30):
        await network.settled.wait()
        found["at the start"] = nft.run("list map ip mesh_lab_services services").count("goto svc/")
        made.put_slice(endpoint_slice("s0", ["10.244.200.1", "10.244.200.2"]))
        made.drop_service(service("s1"))
        assert Name("default", "s1") not in made.services
        await network.settled.wait()
        found["after a change"] = nft.run("list map ip mesh_lab_services services").count("goto svc/")
        found["rule"] = "10.244.200.2 . 8080" in nft.run("list chain ip mesh_lab_services svc/default/s0/tcp/80")
        found["trouble"] = network.trouble
        nft.run("delete table ip mesh_lab_services")
        made.put_slice(endpoint_slice("s0", ["10.244.200.3"]))
        await network.settled.wait()
        found["after the table was gone"] = nft.run("list map ip mesh_lab_services services").count("goto svc/")
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    nft.close()
    return found


class Nft_(contextlib.AbstractContextManager["Nft"]):  # noqa: N801
    """A handle for the length of a block."""

    def __enter__(self) -> Nft:
        self._nft = Nft()
        return self._nft

    def __exit__(self, *_: object) -> None:
        self._nft.close()


def _prepare() -> None:
    """Twice, since doing it again must change nothing."""
    for _ in range(2):
        prepare_node(NODE, DNS, PODS, SERVICES, BALANCERS)


def _port(sticky: bool, *addresses: str, node_port: int = 0) -> VirtualPort:
    backends = tuple((address, 8080) for address in addresses)
    return VirtualPort("svc/a/web/tcp/80", VIRTUAL, "tcp", 80, node_port, sticky, backends)


def _apply(port: VirtualPort) -> None:
    with Nft_() as nft:
        nft.run(whole(PLACES, {port.chain: port}))


def _random_ports(dice: random.Random) -> Iterator[VirtualPort]:
    for number in range(6):
        if dice.random() < 0.6:
            count = dice.randint(1, 4)
            backends = tuple(
                (f"10.244.0.{n}", dice.choice([80, 8080])) for n in sorted(dice.sample(range(2, 9), count))
            )
            node_port = dice.choice([0, 30000 + number, 31000 + number])
            yield VirtualPort(
                f"svc/a/s{number}/tcp/80", f"10.96.1.{number}", "tcp", 80, node_port, dice.random() < 0.2, backends
            )


def _connect(address: str, port: int) -> tuple[str, socket.socket | None]:
    made = socket.socket()
    made.settimeout(5)
    try:
        made.connect((address, port))
    except TimeoutError:
        return "timeout", None
    except OSError as error:
        return errno.errorcode[error.errno or 0], None
    return "ok", made


def _reset(sock: socket.socket) -> None:
    """Close without leaving the connection behind in TIME_WAIT."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()


def _ip(*commands: str) -> None:
    subprocess.run(["ip", "-batch", "-"], input="\n".join(commands), text=True, check=True)


def _check(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](**json.loads(sys.argv[2]))))  # noqa: T201
