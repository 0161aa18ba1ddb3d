"""The addresses that a ServiceEntry's status says its hosts were given.

https://istio.io/latest/docs/reference/config/networking/service-entry/#ServiceEntryStatus
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from mesh_lab.controlplane.world.kubernetes import Object


def assigned(status: Any) -> dict[str, tuple[str, ...]]:
    """The first address of each IP family of each host, IPv4 before IPv6.

    What is not of the form is left out, since any client may write it.
    """
    found: dict[str, dict[int, str]] = {}
    entries = status.get("addresses") if isinstance(status, Mapping) else None
    for entry in entries if isinstance(entries, list) else ():
        host, address = (entry.get("host"), entry.get("value")) if isinstance(entry, Mapping) else (None, None)
        if isinstance(host, str) and isinstance(address, str) and host and (version := _version(address)):
            found.setdefault(host, {}).setdefault(version, address)
    return {host: tuple(each[version] for version in sorted(each)) for host, each in found.items()}


def written(addresses: Mapping[str, tuple[str, ...]]) -> list[Object]:
    """The part of a status that says so."""
    return [{"value": address, "host": host} for host, given in addresses.items() for address in given]


def _version(text: str) -> int:
    """4 or 6; 0 for what is no address."""
    try:
        return ipaddress.ip_address(text).version
    except ValueError:
        return 0
