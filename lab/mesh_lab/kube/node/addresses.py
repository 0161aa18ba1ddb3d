"""Pod addresses: one for each pod, out of the lab's range."""

from __future__ import annotations

from collections import deque
from ipaddress import IPv4Address, IPv4Network


class AddressesExhaustedError(Exception):
    """Every address of the range is in use."""


class AddressPool:
    """Hands out the addresses of a range, but for `reserved`, each to one holder.

    A freed address goes to the end of the queue: what still remembers it (a connection, a cached endpoint) had better
    reach nobody than somebody else.
    """

    def __init__(self, cidr: str, reserved: frozenset[str] = frozenset()) -> None:
        network = IPv4Network(cidr)
        self._cidr = cidr
        self._next = int(network.network_address) + 2  # the first is the node's
        self._end = int(network.broadcast_address)
        self._reserved = reserved
        self._freed: deque[str] = deque()
        self._held: set[str] = set()

    def acquire(self) -> str:
        """An address that nobody holds.

        Raises:
            AddressesExhaustedError: there is none.
        """
        while self._next < self._end:
            address = str(IPv4Address(self._next))
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
        """Give an address back; twice does no harm."""
        if address in self._held:
            self._held.remove(address)
            self._freed.append(address)
