"""Applies the Services to the node's packet filter."""

from __future__ import annotations

import asyncio
import logging

from mesh_lab.backoff import Backoff
from mesh_lab.kube.network import conntrack
from mesh_lab.kube.network.endpoints import Catalogue, Name
from mesh_lab.kube.network.nft import Nft, NftError
from mesh_lab.kube.network.ruleset import (
    Backend,
    Places,
    VirtualPort,
    changes,
    counted,
    flows_may_go,
    virtual_ports,
    whole,
)

log = logging.getLogger(__name__)

GATHER_SECONDS = 0.003
"""Debounce: changes within this time are applied together."""

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 10.0


class ServiceNetwork:
    """Keeps the rules of all Services for one IP family; a change rewrites only those that it concerns."""

    def __init__(self, catalogue: Catalogue, nft: Nft, places: Places) -> None:
        self._catalogue = catalogue
        self._nft = nft
        self._places = places
        self._applied: dict[Name, list[VirtualPort]] = {}
        self._used: dict[str, int] = {}
        self._dirty: set[Name] = set()
        self._wake = asyncio.Event()
        self.settled = asyncio.Event()
        """Set while the rules of all known Services are applied."""
        self.trouble = "the rules of the Services are not applied yet"
        """Why the rules are not applied; empty when they are, or are about to be."""
        catalogue.listen(self._mark)

    def _mark(self, name: Name) -> None:
        self._dirty.add(name)
        self.settled.clear()
        self._wake.set()

    async def run(self) -> None:
        """Keep the rules up to date until cancelled. After an error all rules are applied again, with back-off."""
        backoff = Backoff(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
        fresh = True
        await self._catalogue.complete()
        while True:
            try:
                await self._apply(fresh=fresh)
            except NftError as error:
                pause, fresh = backoff.next(), True
                log.error("the rules of the Services were not applied (again in %.1f s): %s", pause, error)  # noqa: TRY400
                self.trouble = f"the rules of the Services were not applied: {error}"
                await asyncio.sleep(pause)
                continue
            backoff.reset()
            fresh, self.trouble = False, ""
            if not self._dirty:
                self.settled.set()
                await self._wake.wait()
                await asyncio.sleep(GATHER_SECONDS)

    async def _apply(self, *, fresh: bool) -> None:
        self._wake.clear()
        names = set(self._catalogue.services) | self._dirty if fresh else set(self._dirty)
        self._dirty -= names
        if fresh:
            self._applied, self._used = {}, {}
        before = {port.chain: port for name in names for port in self._applied.get(name, ())}
        wanted = {name: self._ports(name) for name in names}
        after = {port.chain: port for ports in wanted.values() for port in ports}
        family = self._places.family
        text = whole(self._places, after) if fresh else changes(before, after, self._used, family)
        if text:
            await self._nft.apply(text)
        await self._forget_stale_flows(flows_may_go(before, after, self._places.node_address))
        self._used |= counted(before, after, self._used)
        self._applied |= wanted
        for name in [name for name, ports in wanted.items() if not ports]:
            del self._applied[name]

    async def _forget_stale_flows(self, may_go: dict[Backend, frozenset[Backend]]) -> None:
        if not may_go:
            return
        try:
            await asyncio.to_thread(conntrack.forget_stale, may_go, self._places.family.name)
        except OSError as error:
            log.warning("UDP clients may go on being sent to endpoints that are gone: %s", error)

    def _ports(self, name: Name) -> list[VirtualPort]:
        service = self._catalogue.services.get(name)
        if service is None or service.spec.cluster_ip == self._places.dns_address:
            return []
        family = self._places.family
        return virtual_ports(service, self._catalogue.slices(name, family.name), self._places.balancers, family)
