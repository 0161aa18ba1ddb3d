"""Writes the statuses of the Gateway API's objects: what `xds.gatewayapi.statuses` makes of the latest snapshot.

Of a route's parents only the entries of this controller are changed. A status is written when it says something new; a
condition keeps the time of its last transition.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from mesh_lab.conditions import TRANSITION
from mesh_lab.controlplane.delivery.state import ClusterState
from mesh_lab.controlplane.kube.client import ApiError, Object, Unreachable
from mesh_lab.controlplane.kube.definitions import Definitions
from mesh_lab.controlplane.kube.kinds import GATEWAY_API, Kind
from mesh_lab.controlplane.process.faults import Faults
from mesh_lab.controlplane.report.statuses import parts_of
from mesh_lab.controlplane.world.snapshot import Snapshot
from mesh_lab.controlplane.xds.gatewayapi.sources import CONTROLLER
from mesh_lab.controlplane.xds.gatewayapi.statuses import Key, Release, statuses
from mesh_lab.rfc3339 import timestamp

log = logging.getLogger(__name__)

_NOT_FOUND = 404
_PAUSE = 0.02  # proxies come first: what they are sent is made in the same loop, a proxy at a time
_RETRY_SECONDS = 1.0
# The lists with an entry for each controller, and what tells one entry of ours from another.
_SHARED = {"parents": "parentRef", "ancestors": "ancestorRef"}


class Api(Protocol):
    """What this needs of the API."""

    async def merge(
        self, kind: Kind, name: str, patch: Mapping[str, Any], namespace: str = "", subresource: str = ""
    ) -> Object:
        """Patch an object."""


class GatewayStatuses:
    """Keeps the statuses as the snapshots have them."""

    def __init__(
        self,
        api: Api,
        state: ClusterState,
        definitions: Definitions,
        faults: Faults,
        remembering: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """`remembering` lends the memory of what was made of snapshots for proxies."""
        self._api = api
        self._remembering = remembering
        self._state = state
        self._definitions = definitions
        self._faults = faults
        # The status of each object as it was last seen.
        self._stored: dict[Key, Mapping[str, Any]] = {}
        # What was written last, and the status that this led to: a definition may prune what it does not know.
        self._written: dict[Key, tuple[Object, Mapping[str, Any]]] = {}
        # Of each object the status that was wanted, and the one that was there, when both agreed.
        self._agreed: dict[Key, tuple[Object | None, Mapping[str, Any]]] = {}
        self._statuses: Mapping[Key, Object] = {}
        self._seen: tuple[Snapshot, Release] | None = None
        for kind in GATEWAY_API:
            state.hook(kind, self._hook(kind))

    def _hook(self, kind: str) -> Any:
        def observe(event: str, obj: Object) -> None:
            meta = obj["metadata"]
            key = Key(kind, meta.get("namespace", ""), meta["name"])
            if event == "DELETED":
                for known in (self._stored, self._written, self._agreed):
                    known.pop(key, None)
            else:
                status = obj.get("status")
                self._stored[key] = status if isinstance(status, Mapping) else {}

        return observe

    async def run(self) -> None:
        """Write until cancelled."""
        good, seen = True, (-1, -1)
        while True:
            if seen == (self._state.snapshotted.count, self._state.progress.count):
                await self._moved(None if good else _RETRY_SECONDS)
                await asyncio.sleep(_PAUSE)
            seen = (self._state.snapshotted.count, self._state.progress.count)
            try:
                good = await self._write_all()
            except Exception as error:  # noqa: BLE001 - the next change may be the one that puts it right
                self._faults.record("writing the Gateway API's statuses", error)

    async def _moved(self, seconds: float | None) -> None:
        """Wait for an event, or for the snapshot that follows it."""
        waits = [asyncio.ensure_future(each.wait()) for each in (self._state.snapshotted, self._state.progress)]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()

    async def _write_all(self) -> bool:
        """Write what differs; False when not all could be."""
        if not self._stored:
            return True
        found = self._definitions.found.get("GatewayClass")
        release = Release(found.version, found.channel) if found is not None else Release()
        made = self._made(release)
        good = True
        for key, stored in list(self._stored.items()):
            asked, agreed = made.get(key), self._agreed.get(key)
            if agreed is not None and agreed[0] is asked and agreed[1] is stored:
                continue
            wanted = merged(stored, asked)
            if wanted is None or self._written.get(key) == (_timeless(wanted), stored):
                self._agreed[key] = (asked, stored)
                continue
            good = await self._write(key, wanted) and good
        return good

    def _made(self, release: Release) -> Mapping[Key, Object]:
        """The statuses of the latest snapshot."""
        seen = (self._state.latest, release)
        if seen != self._seen:
            with self._remembering():
                self._statuses, self._seen = statuses(*seen), seen
        return self._statuses

    async def _write(self, key: Key, wanted: Object) -> bool:
        definition = self._definitions.found.get(key.kind)
        kind = definition.kind if definition is not None else GATEWAY_API[key.kind]
        try:
            answer = await self._api.merge(kind, key.name, {"status": wanted}, key.namespace, "status")
        except (ApiError, Unreachable) as error:
            if isinstance(error, ApiError) and error.status == _NOT_FOUND:
                return True
            log.warning("writing the status of %s %s/%s: %s", *key, error)
            return False
        status = answer.get("status")
        after: Mapping[str, Any] = status if isinstance(status, Mapping) else {}
        if key in self._stored:
            self._stored[key] = after
            self._written[key] = (_timeless(wanted), after)
        return True


def merged(present: Mapping[str, Any], wanted: Object | None) -> Object | None:
    """The status to write, with its times; None where the present one says the same already.

    Where nothing is wanted, only entries that were this controller's are taken away.
    """
    now = timestamp()
    made: Object = {}
    for field, shared in _SHARED.items():
        entries = parts_of(present.get(field))
        ours = [dict(each) for each in entries if each.get("controllerName") == CONTROLLER]
        if wanted is None and not ours:
            continue
        if wanted is None or field in wanted:
            others = [dict(each) for each in entries if each.get("controllerName") != CONTROLLER]
            kept = {repr(each.get(shared)): each for each in ours}
            asked = wanted[field] if wanted is not None else []
            made[field] = [*others, *(_timed(each, kept.get(repr(each[shared]), {}), now) for each in asked)]
    if wanted is not None:
        made |= {field: value for field, value in _timed(wanted, present, now).items() if field not in _SHARED}
    return made if any(made[field] != present.get(field) for field in made) else None


def _timed(wanted: Object, present: Mapping[str, Any], now: str) -> Object:
    """What is wanted, with times; those of the present conditions that say the same stay."""
    made = dict(wanted)
    if "conditions" in wanted:
        before = {str(each.get("type")): each for each in parts_of(present.get("conditions"))}
        made["conditions"] = [_since(each, before.get(each["type"], {}), now) for each in wanted["conditions"]]
    if "listeners" in wanted:
        known = {str(each.get("name")): each for each in parts_of(present.get("listeners"))}
        made["listeners"] = [_timed(each, known.get(each["name"], {}), now) for each in wanted["listeners"]]
    return made


def _since(condition: Object, before: Mapping[str, Any], now: str) -> Object:
    same = before.get("status") == condition["status"] and before.get(TRANSITION)
    return {**condition, TRANSITION: before[TRANSITION] if same else now}


def _timeless(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _timeless(each) for key, each in value.items() if key != TRANSITION}
    return [_timeless(each) for each in value] if isinstance(value, list) else value
