"""A pod's sandbox with its network: a routed veth, an address out of the lab's range, a way out.

Pods are routed, not bridged. Inside, `eth0` has the pod's address and one route, to a gateway that need not exist:
its link-layer address is written down on both sides, so no ARP is ever sent and a new pod is reachable at once. In
the node's namespace a route leads to each pod, and nftables sees every packet between two of them. One address of
the loopback network, that of load balancers, leads to the node as well, which sends what comes there to the Service.
In a lab of two families all but the last is there for IPv6 as well, by the same rules.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import socket
import struct
from collections import deque
from collections.abc import Sequence
from ipaddress import ip_network
from pathlib import Path

from mesh_lab.kube import netlink
from mesh_lab.kube.config import BALANCERS
from mesh_lab.kube.isolation import Isolation
from mesh_lab.kube.node import routing
from mesh_lab.kube.node.client import Runtime, RuntimeFailure

log = logging.getLogger(__name__)

_GATEWAY, _GATEWAY_OF_IPV6 = "169.254.1.1", "fe80::1"
MOST_FAMILIES = 2
_SYSCTLS_OF_IPV6 = {
    "net.ipv6.conf.default.disable_ipv6": "0",
    # The one address of the device is the pod's own.
    "net.ipv6.conf.default.addr_gen_mode": "1",
    "net.ipv6.conf.default.accept_ra": "0",
}
_POD_MAC = bytes.fromhex("0a580af40002")
_NODE_MAC = bytes.fromhex("0a580af40001")
_SIOCGIFINDEX = 0x8933


class AddressesExhaustedError(Exception):
    """Every address of the range is in use."""


class AddressPool:
    """Hands out the addresses of a range, but for `reserved`, each to one holder.

    A freed address goes to the end of the queue, so that a stale connection or cached endpoint does not reach another
    pod.
    """

    def __init__(self, cidr: str, reserved: frozenset[str] = frozenset()) -> None:
        network = ip_network(cidr)
        self._address = type(network.network_address)
        self._cidr = cidr
        self._next = int(network.network_address) + 2  # the first is the node's
        self._end = int(network.broadcast_address)
        self._reserved = reserved
        self._freed: deque[str] = deque()
        self._held: set[str] = set()

    def acquire(self) -> str:
        """Return a free address and mark it as used.

        Raises:
            AddressesExhaustedError: all addresses are in use.
        """
        while self._next < self._end:
            address = str(self._address(self._next))
            self._next += 1
            if address not in self._reserved:
                self._held.add(address)
                return address
        if not self._freed:
            raise AddressesExhaustedError(f"all {len(self._held)} pod addresses of {self._cidr} are in use")
        address = self._freed.popleft()
        self._held.add(address)
        return address

    def release(self, address: str) -> None:
        """Free an address; one that is free already is ignored."""
        if address in self._held:
            self._held.remove(address)
            self._freed.append(address)


class Sandbox:
    """A pod's namespaces. `addresses`, one for each family, are the node's own for a pod in the host's network."""

    def __init__(self, number: int, uid: str, addresses: tuple[str, ...], *, host_network: bool) -> None:
        self.number = number
        self.uid = uid
        self.addresses = addresses
        self.host_network = host_network

    @property
    def address(self) -> str:
        """The first: where the pod is probed, and what its status has as `podIP`."""
        return self.addresses[0]


class Sandboxes:
    """Makes and removes sandboxes, in the network namespace of this process: the node."""

    def __init__(
        self, runtime: Runtime, pools: Sequence[AddressPool], node_addresses: tuple[str, ...], isolation: Isolation
    ) -> None:
        self._runtime = runtime
        self._pools = pools
        self._node_addresses = node_addresses
        self._isolation = isolation
        self._isolation.clear()
        self._link = netlink.open_here(socket.NETLINK_ROUTE)
        self._namespace = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        """Close the descriptors of the node's namespace."""
        self._link.close()
        os.close(self._namespace)

    def prepare_node(self) -> None:
        """Set the node's addresses and enable forwarding. Idempotent.

        Raises:
            OSError: the kernel refuses, as in a network namespace that is not ours.
        """
        loopback = _index(self._link, "lo")
        addresses = [routing.add_address(loopback, address) for address in self._node_addresses]
        netlink.exchange(self._link, [routing.set_up("lo"), *addresses])
        _write("/proc/sys/net/ipv4/ip_forward", "1")
        if len(self._node_addresses) == 1:
            with contextlib.suppress(FileNotFoundError):  # a kernel without IPv6
                _write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1")

    async def create(
        self,
        uid: str,
        hostname: str,
        sysctls: dict[str, str],
        *,
        host_network: bool,
        address: str = "",
        most: int = MOST_FAMILIES,
    ) -> Sandbox:
        """Make the sandbox of the pod `uid` and connect it to the network, once the network's policies hold for it.

        Its addresses are of the pods' ranges, of at most so many families, or it has the one that is given.

        Raises:
            RuntimeFailure, NetlinkError, AddressesExhaustedError, IsolationError: it could not be made; nothing is left
                behind.
        """
        pools = () if address else self._pools[:most]
        if len(pools) > 1 and not host_network:
            sysctls = {**_SYSCTLS_OF_IPV6, **sysctls}
        number = await self._runtime.create_sandbox(hostname, sysctls, host_network=host_network)
        if host_network:
            return Sandbox(number, uid, self._node_addresses, host_network=True)
        addresses = [address] if address else []
        try:
            addresses.extend(pool.acquire() for pool in pools)
            await self._isolation.admit(uid, tuple(addresses))
            await self._connect(number, addresses)
        except BaseException:
            self._isolation.release(uid)
            self._release(addresses)
            await self._runtime.remove_sandbox(number)
            raise
        return Sandbox(number, uid, tuple(addresses), host_network=False)

    async def remove(self, sandbox: Sandbox) -> None:
        """Remove the pod from the network.

        Its devices go with its namespace, when the last process and socket in it do.
        """
        with contextlib.suppress(RuntimeFailure):  # then its namespaces went with the runtime
            await self._runtime.remove_sandbox(sandbox.number)
        if sandbox.host_network:
            return
        for address in sandbox.addresses:
            try:
                netlink.exchange(self._link, [routing.remove_route(address)])
            except netlink.NetlinkError as error:
                if not routing.is_missing(error):
                    log.warning("%s", error)
        self._isolation.release(sandbox.uid)
        self._release(sandbox.addresses)

    def _release(self, addresses: Sequence[str]) -> None:
        for pool, address in zip(self._pools, addresses, strict=False):
            pool.release(address)

    async def _connect(self, number: int, addresses: Sequence[str]) -> None:
        name = f"pod{number}"
        with await self._runtime.open_socket(
            number, socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE
        ) as inside:
            veth = routing.add_veth("eth0", _POD_MAC, name, _NODE_MAC, self._namespace)
            netlink.exchange(inside, [routing.set_up("lo"), veth])
            index = _index(inside, "eth0")
            assigned = [routing.add_address(index, address) for address in addresses]
            routes = [
                request
                for _, gateway in zip(addresses, (_GATEWAY, _GATEWAY_OF_IPV6), strict=False)
                for request in (
                    routing.add_neighbour(gateway, _NODE_MAC, index),
                    routing.add_default_route(gateway, index),
                )
            ]
            balancers = routing.add_loopback_route(BALANCERS, _GATEWAY, index, source=addresses[0])
            netlink.exchange(inside, [*assigned, routing.set_up("eth0"), *routes, balancers])
        netlink.exchange(self._link, [routing.set_up(name)])
        index = _index(self._link, name)
        for address, source in zip(addresses, self._node_addresses, strict=False):
            netlink.exchange(
                self._link,
                [routing.add_neighbour(address, _POD_MAC, index), routing.add_route(address, index, source=source)],
            )


def _index(link: socket.socket, name: str) -> int:
    """Return a device's index in the socket's network namespace."""
    answer = fcntl.ioctl(link, _SIOCGIFINDEX, struct.pack("16si20x", name.encode(), 0))
    return int(struct.unpack_from("16si", answer)[1])


def _write(path: str, text: str) -> None:
    Path(path).write_text(text, encoding="ascii")
