"""One fault in the kernel: made, counted, removed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from mesh_lab.kube.network.faults import text
from mesh_lab.kube.network.faults.line import Line, LineError, lay, lift, link_of
from mesh_lab.kube.network.faults.wanted import Wanted
from mesh_lab.kube.network.nft import Nft, NftError
from mesh_lab.networkfaults import Delay


@dataclass(frozen=True)
class Made:
    """A fault in force: what was wanted, its table and name, and the line of a delay."""

    wanted: Wanted
    table: str
    name: str
    line: Line | None = None


async def make(nft: Nft, name: str, wanted: Wanted, node: Sequence[str]) -> Made:
    """Put a fault in force under a name of its own. `node` are the node's addresses.

    Raises:
        NftError, LineError: the kernel refuses; nothing is left of it.
    """
    fault, table = wanted.fault, text.table_of(name, wanted.fault)
    if not isinstance(fault, Delay):
        await nft.apply(text.dropping(table, fault, wanted.addresses))
        return Made(wanted, table, name)
    device, mac = await asyncio.to_thread(link_of, wanted.addresses[0])
    await asyncio.to_thread(lay, name, mac)
    try:
        line = Line(name, fault.seconds, fault.jitter)
        try:
            await nft.apply(text.delaying(table, fault, wanted.addresses, device, name, node))
        except NftError:
            line.close()
            raise
    except (NftError, LineError):
        await asyncio.to_thread(lift, name)
        raise
    return Made(wanted, table, name, line)


async def remove(nft: Nft, made: Made) -> int:
    """Remove a fault; how many packets it was about.

    Raises:
        NftError, LineError: it cannot be removed.
    """
    packets = text.packets(await asyncio.to_thread(nft.run, text.listing(made.table)))
    await nft.apply(text.removal(made.table))
    if made.line is not None:
        made.line.close()
        await asyncio.to_thread(lift, made.name)
    return packets
