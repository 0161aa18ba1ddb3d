"""Writes the statuses of dialects' objects, as each dialect makes them of the latest snapshot."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from mesh_lab.controlplane.delivery.state import ClusterState
from mesh_lab.controlplane.dialects.table import Dialect
from mesh_lab.controlplane.kube.client import ApiError, Object, Unreachable
from mesh_lab.controlplane.kube.events import Key
from mesh_lab.controlplane.kube.kinds import FOLLOWED, Kind
from mesh_lab.controlplane.process.faults import Faults
from mesh_lab.controlplane.world.snapshot import Snapshot
from mesh_lab.rfc3339 import timestamp

log = logging.getLogger(__name__)

_NOT_FOUND = 404
_RETRY_SECONDS = 1.0


class Api(Protocol):
    """What this needs of the API."""

    async def merge(
        self, kind: Kind, name: str, patch: Mapping[str, Any], namespace: str = "", subresource: str = ""
    ) -> Object:
        """Patch an object."""


class DialectStatuses:
    """Keeps the statuses as the snapshots have them. A status is written when it says something new."""

    def __init__(
        self,
        api: Api,
        state: ClusterState,
        dialects: Sequence[Dialect],
        faults: Faults,
        remembering: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """`remembering` lends the memory of what was made of snapshots for proxies."""
        self._api = api
        self._state = state
        self._dialects = dialects
        self._faults = faults
        self._stored: dict[Key, Mapping[str, Any]] = {}
        self._remembering = remembering
        self._made: tuple[Snapshot, Mapping[Key, tuple[Dialect, Object]]] | None = None
        for dialect in dialects:
            for kind in dialect.kinds:
                state.hook(kind, self._hook(kind))

    def _hook(self, kind: str) -> Callable[[str, Object], None]:
        def observe(event: str, obj: Object) -> None:
            key = (kind, obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
            if event == "DELETED":
                self._stored.pop(key, None)
            else:
                status = obj.get("status")
                self._stored[key] = status if isinstance(status, Mapping) else {}

        return observe

    async def run(self) -> None:
        """Write until cancelled."""
        good, seen = True, -1
        while True:
            if seen == self._state.snapshotted.count:
                await self._moved(None if good else _RETRY_SECONDS)
            seen = self._state.snapshotted.count
            try:
                good = await self._write_all()
            except Exception as error:  # noqa: BLE001 - the next change may be the one that puts it right
                self._faults.record("writing the statuses of dialects", error)

    async def _moved(self, seconds: float | None) -> None:
        try:
            await asyncio.wait_for(self._state.snapshotted.wait(), seconds)
        except TimeoutError:
            return

    async def _write_all(self) -> bool:
        """Write what differs; False when not all could be."""
        if not self._stored:
            return True
        good = True
        for key, (dialect, wanted) in self._statuses().items():
            stored = self._stored.get(key)
            if stored is None or not self._state.reports_on(key[1]):
                continue
            status = dialect.written(stored, wanted, timestamp())
            if status is not None:
                good = await self._write(key, status) and good
        return good

    def _statuses(self) -> Mapping[Key, tuple[Dialect, Object]]:
        """The statuses of the latest snapshot."""
        latest = self._state.latest
        if self._made is None or self._made[0] is not latest:
            with self._remembering():
                found = {
                    key: (each, status) for each in self._dialects for key, status in each.statuses(latest).items()
                }
            self._made = (latest, found)
        return self._made[1]

    async def _write(self, key: Key, status: Object) -> bool:
        kind, namespace, name = key
        try:
            answer = await self._api.merge(FOLLOWED[kind], name, {"status": status}, namespace, "status")
        except (ApiError, Unreachable) as error:
            if isinstance(error, ApiError) and error.status == _NOT_FOUND:
                return True
            log.warning("writing the status of %s %s/%s: %s", *key, error)
            return False
        after = answer.get("status")
        if key in self._stored:
            self._stored[key] = after if isinstance(after, Mapping) else {}
        return True
