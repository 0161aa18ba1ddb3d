"""What tests of faults do inside of namespaces, see `tests.unit.kube.network.inside`, whose pods these are."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
import time
from datetime import UTC, datetime
from typing import Any

from mesh_lab.kube.network.faults.making import make, remove
from mesh_lab.kube.network.faults.text import delaying, dropping, listing, packets, removal
from mesh_lab.kube.network.faults.wanted import Wanted
from mesh_lab.kube.network.nft import Nft, NftError
from mesh_lab.kube.network.node import prepare_node
from mesh_lab.networkfaults import BOTH, EGRESS, INGRESS, Delay, Fault, Loss, Partition, Port
from tests.unit.kube.network.inside import BALANCERS, DNS, NODE, PODS, SERVICES, Pod

UNTIL = datetime(2026, 1, 31, 12, tzinfo=UTC)
TABLE = "inet mesh_lab_fault"
LIMIT_SECONDS = 20.0


def taken() -> list[str]:
    """Every shape of fault; what the kernel has against any."""
    nft, refused = Nft(), []
    addresses = ["10.244.0.5", "fd00::5"]
    for peers in ((), ("10.0.0.1",), ("10.0.0.0/8", "10.1.0.0/16", "10.0.0.1", "fd00::1", "fd00::/64")):
        for ports in ((), (Port(53, "UDP"), Port(53), Port(80))):
            shapes: list[Fault] = [
                *(Partition(until=UNTIL, peers=peers, ports=ports, direction=each) for each in (BOTH, EGRESS, INGRESS)),
                *(Loss(until=UNTIL, peers=peers, ports=ports, ratio=each) for each in (0.0001, 0.5, 1.0)),
                Delay(until=UNTIL, peers=peers, ports=ports, seconds=1),
            ]
            for fault in shapes:
                script = (
                    delaying("netdev t", fault, addresses, "lo", "lo", ["10.244.0.1", "fd00::1"])
                    if isinstance(fault, Delay)
                    else dropping(TABLE, fault, addresses)
                )
                try:
                    nft.run(script)
                except NftError as error:
                    refused.append(f"{error}: {script}")
    return refused


def partitioned() -> dict[str, dict[str, bool]]:
    """Which datagrams arrive without a fault, under several, and after them."""
    _prepare()
    nft, pod, peer, other = Nft(), Pod(2), Pod(3), Pod(4)
    node = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    node.bind((NODE, 8080))
    receivers = {each.address: each.receive() for each in (pod, peer, other)}

    def arriving() -> dict[str, bool]:
        return {
            "peer": _arrived(nft, pod, receivers[peer.address], peer.address) == 1,
            "other": _arrived(nft, pod, receivers[other.address], other.address) == 1,
            "back": _arrived(nft, peer, receivers[pod.address], pod.address) == 1,
            "node": _arrived(nft, pod, node, NODE) == 1,
        }

    found = {"before": arriving()}
    for name, fault in (
        ("from a peer", Partition(until=UNTIL, peers=(peer.address,))),
        ("from all", Partition(until=UNTIL)),
        ("at one port", Partition(until=UNTIL, ports=(Port(8081, "UDP"),))),
    ):
        nft.run(dropping(TABLE, fault, [pod.address]))
        found[name] = arriving()
    nft.run(removal(TABLE))
    found["after"] = arriving()
    return found


def lost(ratio: float, datagrams: int) -> int:
    """How many datagrams do not arrive; the table has counted each."""
    _prepare()
    nft, pod, peer = Nft(), Pod(2), Pod(3)
    receiver, batch = peer.receive(), 50
    nft.run(dropping(TABLE, Loss(until=UNTIL, ratio=ratio, direction=EGRESS), [pod.address]))
    return sum(batch - _arrived(nft, pod, receiver, peer.address, batch) for _ in range(datagrams // batch))


def delayed(seconds: float, jitter: float) -> dict[str, Any]:
    """How long an exchange takes over a connection, and a long one; what of it is left in the kernel afterwards."""
    return asyncio.run(_delayed(seconds, jitter))


async def _delayed(seconds: float, jitter: float) -> dict[str, Any]:
    _prepare()
    nft, client, server, other = Nft(), Pod(2), Pod(3), Pod(4)
    asyncio.create_task(_echo(server.serve()))  # noqa: RUF006 - it ends with the loop
    fault = Delay(until=UNTIL, seconds=seconds, jitter=jitter, peers=(server.address,))
    before = await _exchange(client, server, 1)
    made = await make(nft, "fault1", Wanted(fault, (client.address,)), [NODE])
    during, large, elsewhere = [await _exchange(client, server, size) for size in (1, 1 << 18)] + [
        await _exchange(other, server, 1)
    ]
    connection = await _connected(client, server)
    held = asyncio.create_task(_asked(connection, 1))
    await asyncio.sleep(0)
    counted = await remove(nft, made)
    await asyncio.wait_for(held, 5)  # what was held back arrives when the line is removed
    return {
        "before": before,
        "during": during,
        "large": large,
        "elsewhere": elsewhere,
        "after": await _exchange(client, server, 1),
        "counted": counted,
        "left": nft.run("list tables") + "".join(name for _, name in socket.if_nameindex() if "fault" in name),
    }


async def _echo(listener: socket.socket) -> None:
    listener.setblocking(False)
    loop = asyncio.get_running_loop()

    async def answer(connection: socket.socket) -> None:
        connection.setblocking(False)
        while data := await loop.sock_recv(connection, 1 << 16):
            await loop.sock_sendall(connection, data)
        connection.close()

    answering = []
    while True:
        connection, _ = await loop.sock_accept(listener)
        answering.append(loop.create_task(answer(connection)))


async def _connected(client: Pod, server: Pod) -> socket.socket:
    with client.entered():
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    await asyncio.get_running_loop().sock_connect(made, (server.address, 8080))
    return made


async def _asked(connection: socket.socket, size: int) -> float:
    """How long it takes until all that was sent has come back: twice as much as the kernel buffers may be under way."""
    loop, begin, sent = asyncio.get_running_loop(), time.monotonic(), bytes(range(256)) * (size // 256 or 1)
    sent = sent[:size]
    sending = loop.create_task(loop.sock_sendall(connection, sent))
    received = bytearray()
    while len(received) < size:
        received += await loop.sock_recv(connection, 1 << 16)
    await sending
    connection.close()
    assert received == sent
    return time.monotonic() - begin


async def _exchange(client: Pod, server: Pod, size: int) -> float:
    return await _asked(await _connected(client, server), size)


def _prepare() -> None:
    prepare_node(NODE, DNS, PODS, SERVICES, BALANCERS)


def _arrived(nft: Nft, source: Pod, receiver: socket.socket, address: str, count: int = 1) -> int:
    """How many of so many datagrams arrive: each arrives, or is counted by the table that drops it."""
    before, arrived, limit = packets(nft.run(listing(TABLE))), 0, time.monotonic() + LIMIT_SECONDS
    with source.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(count):
            sender.sendto(b"x", (address, 8080))
    while arrived + packets(nft.run(listing(TABLE))) - before < count:
        assert time.monotonic() < limit, "a datagram neither arrives nor is dropped by the fault"
        with contextlib.suppress(BlockingIOError):
            receiver.recv(16)
            arrived += 1
    return arrived


if __name__ == "__main__":
    json.dump(globals()[sys.argv[1]](**json.loads(sys.argv[2])), sys.stdout)
