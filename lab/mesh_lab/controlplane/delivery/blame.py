"""Which object makes a translation fail: found by leaving objects out until it succeeds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace

from mesh_lab.controlplane.istiokinds import KINDS
from mesh_lab.controlplane.kube.events import Key
from mesh_lab.controlplane.world.snapshot import Snapshot, Table

Attempt = Callable[[Snapshot], object]


async def culprit(attempt: Attempt, snapshot: Snapshot, first: Iterable[Key] = ()) -> Key | None:
    """An object without which the translation succeeds, all before it in the order of suspicion left out as well.

    Suspected are `first`, then the resources of Istio's kinds and the Gateway API's, then Services. None when the
    translation fails without all of them, too, or fails no more. It is tried as often as the logarithm of their number,
    and the loop goes on between two attempts.
    """
    there = _suspects(snapshot)
    suspects = list(dict.fromkeys([*(key for key in first if key in there), *there]))

    async def succeeds(number: int) -> bool:
        await asyncio.sleep(0)
        try:
            attempt(_without(snapshot, suspects[:number]))
        except Exception:  # noqa: BLE001 - whatever it is, it is what is looked for
            return False
        return True

    if await succeeds(0) or not await succeeds(len(suspects)):
        return None
    low, high = 0, len(suspects)  # it fails without the first `low`, and succeeds without the first `high`
    while high - low > 1:
        middle = (low + high) // 2
        if await succeeds(middle):
            high = middle
        else:
            low = middle
    return suspects[low]


def _suspects(snapshot: Snapshot) -> dict[Key, None]:
    return {
        **{(kind, *key): None for kind in KINDS for key in snapshot.configs[kind]},
        **{(kind, *key): None for kind, table in snapshot.gatewayapi.items() for key in table},
        **{("Service", *key): None for key in snapshot.services},
    }


def _without(snapshot: Snapshot, keys: Iterable[Key]) -> Snapshot:
    left_out = set(keys)
    configs = {
        kind: Table({key: config for key, config in table.items() if (kind, *key) not in left_out})
        for kind, table in snapshot.configs.items()
    }
    gatewayapi = {
        kind: Table({key: resource for key, resource in table.items() if (kind, *key) not in left_out})
        for kind, table in snapshot.gatewayapi.items()
    }
    services = {key: service for key, service in snapshot.services.items() if ("Service", *key) not in left_out}
    return replace(snapshot, configs=Table(configs), gatewayapi=Table(gatewayapi), services=Table(services))
