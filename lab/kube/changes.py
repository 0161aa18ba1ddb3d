"""What changed of late: a bounded log a resource, which all watchers of the resource read at their own pace.

A watcher is a position in the log, not a queue of its own, so a slow one costs no memory; when it falls off the end
it is told so and lists again, as with a real API server.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from typing import Any

from lab.kube.errors import gone

Object = dict[str, Any]

KEPT_CHANGES = 1000
_SLACK = 1.25


class Change:
    """One committed write. `object` is the state after it; of a removal, the last state with the removal's revision."""

    __slots__ = ("name", "namespace", "object", "old", "removed", "resource", "revision", "shared")

    def __init__(
        self, resource: str, namespace: str, name: str, obj: Object, old: Object | None, removed: bool
    ) -> None:
        self.resource = resource
        self.namespace = namespace
        self.name = name
        self.object = obj
        self.old = old
        self.removed = removed
        self.revision = int(obj["metadata"]["resourceVersion"])
        # What watchers make of the change, once for all of them.
        self.shared: dict[tuple[str, str], Any] = {}


class Log:
    """The latest changes of one resource, oldest first, `KEPT_CHANGES` of them and a little more."""

    def __init__(self, compacted: int) -> None:
        self.compacted = compacted
        self._changes: list[Change] = []
        self._revisions: list[int] = []
        self._dropped = 0
        self._waiters: list[asyncio.Future[None]] = []

    def append(self, change: Change) -> None:
        """Add a change and wake those who wait for one."""
        self._changes.append(change)
        self._revisions.append(change.revision)
        if len(self._changes) >= KEPT_CHANGES * _SLACK:
            excess = len(self._changes) - KEPT_CHANGES
            self.compacted = self._revisions[excess - 1]
            self._dropped += excess
            del self._changes[:excess], self._revisions[:excess]
        self.wake()

    def wake(self) -> None:
        """Let all who wait look again."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def position(self, revision: int) -> int:
        """Where the changes after `revision` begin.

        Raises:
            ApiError: 410, some of them are no longer kept.
        """
        if revision < self.compacted:
            raise gone(f"too old resource version: {revision} ({self.compacted})")
        return self._dropped + bisect_right(self._revisions, revision)

    def at(self, position: int) -> Change | None:
        """The change at `position`; None when it is yet to come.

        Raises:
            ApiError: 410, the reader was too slow and the change is no longer kept.
        """
        index = position - self._dropped
        if index < 0:
            raise gone(f"too old resource version: the watch fell more than {KEPT_CHANGES} changes behind")
        return self._changes[index] if index < len(self._changes) else None

    def after(self, revision: int) -> list[Change]:
        """All changes after `revision`. Raises `ApiError` 410 like `position`."""
        return self._changes[self.position(revision) - self._dropped :]

    async def grown(self) -> None:
        """Wait for the next change; may return early."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            if waiter.cancelled() and waiter in self._waiters:
                self._waiters.remove(waiter)
