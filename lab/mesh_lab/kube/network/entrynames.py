"""Hosts of ServiceEntries that have addresses, for cluster DNS: names that exist nowhere else.

Istio's proxies answer for them where DNS is captured (`ISTIO_META_DNS_CAPTURE`); here the cluster's DNS does.
https://istio.io/latest/docs/ops/configuration/traffic-management/dns-proxy/
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mesh_lab.kube.network.outsidenames import labels_of
from mesh_lab.kube.reflector import BOOKMARK, DELETED, follow
from mesh_lab.kube.registry.registry import Registry
from mesh_lab.kube.resources import Resource

ENTRIES = Resource("networking.istio.io", "v1", "serviceentries", "ServiceEntry")
Labels = tuple[str, ...]
_Addresses = tuple[str, ...]
_Hosts = Mapping[Labels, _Addresses]


class EntryNames:
    """The first address of each host, and where the lab has both families (`dual`) the first of each.

    Of entries for one host the oldest one's. `changed` is told of changes.
    """

    def __init__(self, changed: Callable[[], None], *, dual: bool = False) -> None:
        self._changed = changed
        self._versions = (4, 6) if dual else (4,)
        self._entries: dict[str, tuple[str, _Hosts]] = {}
        self._addresses: dict[Labels, _Addresses] = {}

    def addresses(self, labels: Labels) -> _Addresses:
        """Return the addresses of a name, its labels from the root down; none when no entry gives it one."""
        if (found := self._addresses.get(labels)) is not None:
            return found
        above = ((*labels[:depth], "*") for depth in range(len(labels) - 1, 0, -1))
        return next((self._addresses[each] for each in above if each in self._addresses), ())

    def put(self, obj: Mapping[str, Any]) -> None:
        """Add or update a ServiceEntry."""
        meta = obj["metadata"]
        self._replace(meta["uid"], (meta.get("creationTimestamp") or "", dict(self._hosts(obj.get("spec")))))

    def drop(self, obj: Mapping[str, Any]) -> None:
        """Remove a ServiceEntry."""
        self._replace(obj["metadata"]["uid"], None)

    async def run(self, registry: Registry) -> None:
        """Follow the registry until cancelled. Of a kind that is not served there is nothing yet."""
        async for event in follow(registry, ENTRIES):
            if event.type == DELETED:
                self.drop(event.object)
            elif event.type != BOOKMARK:
                self.put(event.object)

    def _replace(self, uid: str, entry: tuple[str, _Hosts] | None) -> None:
        if self._entries.get(uid) == entry:
            return
        if entry is None:
            del self._entries[uid]
        else:
            self._entries[uid] = entry
        latest_first = sorted(self._entries.values(), key=lambda each: each[0], reverse=True)
        self._addresses = {labels: address for _, hosts in latest_first for labels, address in hosts.items()}
        self._changed()

    def _hosts(self, spec: Any) -> Iterator[tuple[Labels, _Addresses]]:
        """The hosts of a spec, which may be of any form where admission was away."""
        given = spec if isinstance(spec, Mapping) else {}
        known = [*filter(None, map(_address, given.get("addresses") or ()))]
        first = (next((each for each in known if each.version == version), None) for version in self._versions)
        addresses = tuple(str(each) for each in first if each is not None)
        for host in given.get("hosts") or () if addresses else ():
            if isinstance(host, str):
                yield labels_of(host.lower()), addresses


def _address(text: Any) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address that stands for one host, and is no range."""
    address, _, length = str(text).partition("/")
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return None
    return found if length in ("", str(found.max_prefixlen)) else None
