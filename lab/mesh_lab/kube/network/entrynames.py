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
_Hosts = Mapping[Labels, str]


class EntryNames:
    """The first address of each host; of entries for one host the oldest one's. `changed` is told of changes."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._entries: dict[str, tuple[str, _Hosts]] = {}
        self._addresses: dict[Labels, str] = {}

    def address(self, labels: Labels) -> str | None:
        """Return the address of a name, its labels from the root down; None when no entry gives it one."""
        if (found := self._addresses.get(labels)) is not None:
            return found
        above = ((*labels[:depth], "*") for depth in range(len(labels) - 1, 0, -1))
        return next((self._addresses[each] for each in above if each in self._addresses), None)

    def put(self, obj: Mapping[str, Any]) -> None:
        """Add or update a ServiceEntry."""
        meta = obj["metadata"]
        self._replace(meta["uid"], (meta.get("creationTimestamp") or "", dict(_hosts(obj.get("spec")))))

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


def _hosts(spec: Any) -> Iterator[tuple[Labels, str]]:
    """The hosts of a spec, which may be of any form where admission was away."""
    given = spec if isinstance(spec, Mapping) else {}
    address = next(filter(None, map(_address, given.get("addresses") or ())), "")
    for host in given.get("hosts") or () if address else ():
        if isinstance(host, str):
            yield labels_of(host.lower()), address


def _address(text: Any) -> str:
    """An address that stands for one host, and is no range."""
    try:
        return str(ipaddress.IPv4Address(str(text).removesuffix("/32")))
    except ValueError:
        return ""
