"""The place of the internet: a network namespace beside the node's, with the sites' addresses and what listens there.

It is joined to the node as a pod is, but has no part in the pods' range, and nothing of Kubernetes knows of it. No
process is needed for it to exist: it lives as long as its sockets do.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from mesh_lab.kube import netlink
from mesh_lab.kube.config import Site
from mesh_lab.kube.node import routing
from mesh_lab.kube.node.runtime import syscalls

DEVICE = "internet"
"""The node's end of the link."""

BACKLOG = 512
_GATEWAY = "169.254.1.1"
_OWN_MAC = bytes.fromhex("0a5813120002")
_NODE_MAC = bytes.fromhex("0a5813120001")
_SIOCGIFINDEX = 0x8933


@dataclass(frozen=True)
class Listener:
    """A listening socket of a site; `kind` is `http`, `https` or `tcp`."""

    site: Site
    kind: str
    sock: socket.socket


def make(sites: Sequence[Site], node_address: str) -> list[Listener]:
    """Make the place, in the network namespace of this process; return what listens in it.

    Raises:
        OSError: the kernel refuses the namespace, the link or an address.
    """
    # A thread of its own: what leaves a network namespace is a thread, and this one need not come back.
    made: list[Listener] = []
    failed: list[OSError] = []

    def build() -> None:
        try:
            made.extend(_build(sites, node_address))
        except OSError as error:
            failed.append(error)

    thread = threading.Thread(target=build, name="internet")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return made


def _build(sites: Sequence[Site], node_address: str) -> list[Listener]:
    addresses = [address for site in sites for address in site.addresses]
    node = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        with netlink.open_here(socket.NETLINK_ROUTE) as near:
            syscalls.unshare(syscalls.CLONE_NEWNET)
            with netlink.open_here(socket.NETLINK_ROUTE) as far:
                _connect(far, node, addresses)
            _route(near, node_address, addresses)
    finally:
        os.close(node)
    return [
        Listener(site, kind, _listen(address, port))
        for site in sites
        for kind, ports in (("http", site.http), ("https", site.https), ("tcp", site.tcp))
        for port in ports
        for address in site.addresses
    ]


def _connect(link: socket.socket, node: int, addresses: Sequence[str]) -> None:
    veth = routing.add_veth("eth0", _OWN_MAC, DEVICE, _NODE_MAC, node)
    netlink.exchange(link, [routing.set_up("lo"), veth])
    index = _index(link, "eth0")
    netlink.exchange(link, [routing.add_address(index, address) for address in addresses])
    netlink.exchange(
        link,
        [
            routing.set_up("eth0"),
            routing.add_neighbour(_GATEWAY, _NODE_MAC, index),
            routing.add_default_route(_GATEWAY, index),
        ],
    )


def _route(link: socket.socket, node_address: str, addresses: Sequence[str]) -> None:
    netlink.exchange(link, [routing.set_up(DEVICE)])
    index = _index(link, DEVICE)
    netlink.exchange(link, [routing.add_neighbour(address, _OWN_MAC, index) for address in addresses])
    netlink.exchange(link, [routing.add_route(address, index, source=node_address) for address in addresses])


def _listen(address: str, port: int) -> socket.socket:
    listening = socket.create_server((address, port), backlog=BACKLOG)
    listening.setblocking(False)
    return listening


def _index(link: socket.socket, name: str) -> int:
    answer = fcntl.ioctl(link, _SIOCGIFINDEX, struct.pack("16si20x", name.encode(), 0))
    return int(struct.unpack_from("16si", answer)[1])
