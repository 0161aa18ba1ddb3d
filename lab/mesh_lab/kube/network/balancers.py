"""The addresses of load balancers: which Service has which one. Pure: nothing is bound here.

Each Service of type LoadBalancer has one of its own, as clouds and MetalLB give them, so that two may have a port of
one number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network
from itertools import chain

from mesh_lab.kube.network.endpoints import Name


class Addresses:
    """Who has which address of a range. A reserved one is given only to the Service it is reserved for, or if asked."""

    def __init__(self, cidr: str, reserved: Mapping[str, Name]) -> None:
        """`reserved` are Services by their addresses."""
        self._range = IPv4Network(cidr)
        self._reserved = {int(IPv4Address(address)): name for address, name in reserved.items()}
        self._owners: dict[int, Name] = {}
        self._held: dict[Name, int] = {}
        self._avoided: set[int] = set()

    def of(self, name: Name) -> str:
        """The address that a Service has; empty while it has none."""
        found = self._held.get(name)
        return "" if found is None else str(IPv4Address(found))

    def problem(self, address: str, name: Name) -> str:
        """Why a Service cannot have the address that it asks for; empty when it can."""
        number = self._number(address)
        if number is None:
            return f"{address} is none of the lab's addresses for load balancers, {self._range}"
        owner = self._owners.get(number, name)
        return "" if owner == name else f"{address} is the address of Service {owner.namespace}/{owner.name}"

    def keep(self, address: str, name: Name) -> bool:
        """Give a Service the address it had before; False where that is another's now, or reserved for another."""
        number = self._number(address)
        if number is None or self.problem(address, name) or self._reserved.get(number, name) != name:
            return False
        self.give(address, name)
        return True

    def give(self, address: str, name: Name) -> None:
        """Give a Service an address of the range that nobody has, in place of the one it has."""
        self.free(name)
        number = int(IPv4Address(address))
        self._held[name] = number
        self._owners[number] = name

    def free(self, name: Name) -> None:
        """Take back the address of a Service, if it has one."""
        number = self._held.pop(name, None)
        if number is not None:
            del self._owners[number]

    def avoid(self, address: str) -> None:
        """Give an address only when asked for: another process of the host has a port there."""
        self._avoided.add(int(IPv4Address(address)))

    def candidates(self, name: Name) -> Iterator[str]:
        """The addresses that a Service may be given: the one reserved for it, the one it has, and then the lowest."""
        reserved = [number for number, owner in self._reserved.items() if owner == name]
        present = [self._held[name]] if name in self._held else []
        every = range(int(self._range.network_address) + 1, int(self._range.broadcast_address))
        others = (number for number in every if number not in self._reserved and number not in present)
        for number in chain(dict.fromkeys(reserved + present), others):
            if self._owners.get(number, name) == name and number not in self._avoided:
                yield str(IPv4Address(number))

    def _number(self, address: str) -> int | None:
        try:
            found = IPv4Address(address)
        except ValueError:
            return None
        inside = self._range.network_address < found < self._range.broadcast_address
        return int(found) if inside else None
