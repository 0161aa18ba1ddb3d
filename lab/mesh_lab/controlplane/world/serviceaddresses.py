"""The addresses that a ServiceEntry's status says its hosts were given.

https://istio.io/latest/docs/reference/config/networking/service-entry/#ServiceEntryStatus
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from mesh_lab.controlplane.world.kubernetes import Object


def assigned(status: Any) -> dict[str, str]:
    """The first IPv4 address of each host; what is not of the form is left out, since any client may write it."""
    found: dict[str, str] = {}
    entries = status.get("addresses") if isinstance(status, Mapping) else None
    for entry in entries if isinstance(entries, list) else ():
        host, address = (entry.get("host"), entry.get("value")) if isinstance(entry, Mapping) else (None, None)
        if isinstance(host, str) and isinstance(address, str) and host and _is_ipv4(address):
            found.setdefault(host, address)
    return found


def written(addresses: Mapping[str, str]) -> list[Object]:
    """The part of a status that says so."""
    return [{"value": address, "host": host} for host, address in addresses.items()]


def _is_ipv4(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True
