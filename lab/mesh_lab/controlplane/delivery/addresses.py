"""Gives each host of a ServiceEntry without addresses one of 240.240.0.0/16, in `status.addresses`.

In a cluster of both IP families it has one of 2001:2::/48 beside. Only proxies that capture DNS use them: there the
name leads to the address, and the address tells services on one port apart. Source: pilot/pkg/controllers/ipallocate
of Istio 1.30, which gives both in any cluster.
https://istio.io/latest/docs/ops/configuration/traffic-management/dns-proxy/#address-auto-allocation
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence

from mesh_lab.controlplane.delivery.state import ClusterState
from mesh_lab.controlplane.kube.client import ApiError, KubeClient, Unreachable
from mesh_lab.controlplane.kube.kinds import FOLLOWED
from mesh_lab.controlplane.model import ServiceEntry
from mesh_lab.controlplane.world.kubernetes import ObjectKey
from mesh_lab.controlplane.world.serviceaddresses import written
from mesh_lab.controlplane.xds.entries import EntryConfig, address_alone, hosts_given_addresses

log = logging.getLogger(__name__)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

RANGE = ipaddress.IPv4Network("240.240.0.0/16")
RANGE_OF_IPV6 = ipaddress.IPv6Network("2001:2::/48")
_RETRY = 1.0
_NOT_FOUND = 404

Given = Mapping[str, tuple[str, ...]]
"""The addresses of each host, one for each family of the cluster."""


Kept = tuple[str | None, ...]
"""Of each pool the address that a host has already."""


class Pool:
    """The addresses of a range, each in turn: what was taken back is given again as late as can be."""

    def __init__(self, network: Network = RANGE) -> None:
        self.network = network
        self._hosts = network.num_addresses - 2
        self._next = 0

    def holds(self, address: str) -> bool:
        """Whether an address is of the range."""
        return ipaddress.ip_address(address) in self.network

    def take(self, taken: set[str]) -> str | None:
        """The next address that is not taken, and is then; None when all are."""
        for step in range(self._hosts):
            address = str(self.network[1 + (self._next + step) % self._hosts])
            if address not in taken:
                self._next += step + 1
                taken.add(address)
                return address
        return None


def plan(
    entries: Iterable[EntryConfig], held: Mapping[ObjectKey, Given], pools: Sequence[Pool]
) -> dict[ObjectKey, Given]:
    """What each entry's hosts are to have: what they have, unless an older entry, or a user, has that address.

    There is a pool for each family. A status comes before what is `held`, which is what was decided last: another
    istiod writes it, too.
    """
    configs = {_key(config): config for config in sorted(entries, key=lambda config: config.precedence)}
    taken = {address_alone(address) for config in configs.values() for address in config.spec.addresses}
    kept = {key: dict(_kept(config, held.get(key, {}), taken, pools)) for key, config in configs.items()}
    return {key: dict(_filled(config, kept[key], taken, pools)) for key, config in configs.items()}


def _kept(config: EntryConfig, decided: Given, taken: set[str], pools: Sequence[Pool]) -> Iterator[tuple[str, Kept]]:
    for host in hosts_given_addresses(config):
        known = (*config.assigned.get(host, ()), *decided.get(host, ()))
        found = []
        for pool in pools:
            address = next((each for each in known if each not in taken and pool.holds(each)), None)
            found.append(address)
            if address is not None:
                taken.add(address)
        yield host, tuple(found)


def _filled(
    config: EntryConfig, kept: Mapping[str, Kept], taken: set[str], pools: Sequence[Pool]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    for host in hosts_given_addresses(config):
        found = []
        for pool, before in zip(pools, kept[host], strict=True):
            address = before or pool.take(taken)
            if address is not None:
                found.append(address)
            else:
                log.error("%s/%s: no address of %s is left for %s", config.namespace, config.name, pool.network, host)
        if found:
            yield host, tuple(found)


def _key(config: EntryConfig) -> ObjectKey:
    return (config.namespace, config.name)


class AddressAllocator:
    """Writes what `plan` says whenever ServiceEntries have changed."""

    def __init__(self, api: KubeClient, state: ClusterState) -> None:
        self._api = api
        self._state = state
        self._pools = (Pool(RANGE), Pool(RANGE_OF_IPV6))
        self._held: dict[ObjectKey, Given] = {}

    async def run(self) -> None:
        """Allocate until cancelled."""
        seen: tuple[object, bool] = (None, False)
        done = True
        while True:
            table, dual = self._state.latest.of(ServiceEntry), self._state.latest.mesh.dual_stack
            if seen[0] is not table or seen[1] is not dual or not done:
                seen, done = (table, dual), await self._allocate(table.values(), self._pools[: 2 if dual else 1])
            await self._state.snapshotted.wait(None if done else _RETRY)

    async def _allocate(self, entries: Iterable[EntryConfig], pools: Sequence[Pool]) -> bool:
        """True when all has been written that differs."""
        configs = {_key(config): config for config in entries}
        self._held = plan(configs.values(), self._held, pools)
        written_all = True
        for key, given in self._held.items():
            if given != configs[key].assigned:
                written_all &= await self._write(key, given)
        return written_all

    async def _write(self, key: ObjectKey, given: Given) -> bool:
        namespace, name = key
        status = {"status": {"addresses": written(given) or None}}
        try:
            await self._api.merge(FOLLOWED["ServiceEntry"], name, status, namespace, "status")
        except (ApiError, Unreachable) as error:
            if isinstance(error, ApiError) and error.status == _NOT_FOUND:
                return True
            log.warning("writing the addresses of ServiceEntry %s/%s: %s", namespace, name, error)
            return False
        return True
