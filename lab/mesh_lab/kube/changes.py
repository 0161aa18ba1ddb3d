"""The watch cache: a bounded log of changes a resource, which all watchers of the resource read at their own pace.

A watcher is a position in the log, not a queue of its own, so a slow one costs no memory; when it falls off the end
it gets 410 (Gone) and lists again, as in Kubernetes. What most watchers read are the latest changes; older ones are
kept as JSON, which is a fifth of the memory, for watchers that reconnect after a while.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from typing import Any

import orjson

from mesh_lab.kube.errors import gone

Object = dict[str, Any]

KEPT_SECONDS = 300.0
"""For how long changes are kept: etcd's default at a real API server (`--etcd-compaction-interval`)."""
KEPT_CHANGES = 1000
"""How many are kept however old they are."""
KEPT_BYTES = 24 * 1024 * 1024
"""How much JSON the older changes of one resource may be, however young they are."""
KEPT_RENDERED = 16
"""Of how many changes of one resource that which watchers made of them is kept: an injected pod is 36 KB of JSON."""
_BATCH = 256


class Change:
    """One committed write. `object` is the state after it; of a removal, the last state with the removal's revision."""

    __slots__ = ("_object", "_old", "made", "name", "namespace", "removed", "resource", "revision", "shared", "size")

    def __init__(
        self, resource: str, namespace: str, name: str, obj: Object, old: Object | None, removed: bool
    ) -> None:
        self.resource = resource
        self.namespace = namespace
        self.name = name
        self._object: Object | bytes = obj
        self._old: Object | bytes | None = old
        self.removed = removed
        self.revision = int(obj["metadata"]["resourceVersion"])
        self.made = time.monotonic()
        self.size = 0
        """Its size as JSON in bytes; 0 before it is packed."""
        self.shared: dict[tuple[str, str], Any] = {}
        """What watchers made of the change, see `Log.rendered`."""

    @property
    def object(self) -> Object:
        """The state after the change."""
        return orjson.loads(self._object) if isinstance(self._object, bytes) else self._object

    @property
    def old(self) -> Object | None:
        """The state before it; None when there was none."""
        return orjson.loads(self._old) if isinstance(self._old, bytes) else self._old

    def pack(self, before: bytes | None) -> bytes:
        """Keep JSON from now on. `before` is that of the state before, where it is known. Returns that of the object.

        Nothing that watchers made of the change is kept.
        """
        body = self._object if isinstance(self._object, bytes) else orjson.dumps(self._object)
        self.size = len(body)
        if isinstance(self._old, dict):
            if before is None:
                before = orjson.dumps(self._old)
                self.size += len(before)
            self._old = before
        self._object, self.shared = body, {}
        return body


class Log:
    """The latest changes of one resource, oldest first: all of the last `KEPT_SECONDS`, `KEPT_CHANGES` at least."""

    def __init__(self, compacted: int) -> None:
        self.compacted = compacted
        self._changes: list[Change] = []
        self._revisions: list[int] = []
        self._dropped = 0
        self._packed = 0
        self._bytes = 0
        self._last: dict[tuple[str, str], tuple[int, bytes]] = {}
        """The JSON of each object's latest packed change, which the next one was made of."""
        self._waiters: list[asyncio.Future[None]] = []
        self._rendered: deque[Change] = deque()

    def append(self, change: Change) -> None:
        """Add a change and wake the watchers."""
        self._changes.append(change)
        self._revisions.append(change.revision)
        while len(self._changes) - self._packed > KEPT_CHANGES:
            self._pack(self._changes[self._packed])
        self._drop()
        self.wake()

    def wake(self) -> None:
        """Wake all watchers."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def position(self, revision: int) -> int:
        """Return the position of the changes after `revision`.

        Raises:
            ApiError: 410, some of them are no longer kept.
        """
        if revision < self.compacted:
            raise gone(f"too old resource version: {revision} ({self.compacted})")
        return self._dropped + bisect_right(self._revisions, revision)

    def at(self, position: int) -> Change | None:
        """Return the change at `position`; None when there is none yet.

        Raises:
            ApiError: 410, the reader was too slow and the change is no longer kept.
        """
        index = position - self._dropped
        if index < 0:
            raise gone(
                f"too old resource version: the watch is further behind than changes are kept ({KEPT_SECONDS:.0f} s)"
            )
        return self._changes[index] if index < len(self._changes) else None

    def after(self, revision: int) -> list[Change]:
        """Return all changes after `revision`.

        Raises:
            ApiError: 410, as for `position`.
        """
        return self._changes[self.position(revision) - self._dropped :]

    def rendered(self, change: Change, form: tuple[str, str], render: Callable[[], Any]) -> Any:
        """What watchers make of a change in one form: made once for all of them while it is among the latest.

        A watcher that is far behind makes its own, so that those who keep up still find theirs.
        """
        made = change.shared.get(form)
        if made is not None:
            return made
        made = render()
        full = len(self._rendered) >= KEPT_RENDERED
        if full and change.revision < self._rendered[0].revision:
            return made
        if full:
            self._rendered.popleft().shared.clear()
        change.shared[form] = made
        self._rendered.append(change)
        return made

    async def grown(self) -> None:
        """Wait for the next change; may return early."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            if waiter.cancelled() and waiter in self._waiters:
                self._waiters.remove(waiter)

    def _pack(self, change: Change) -> None:
        key = (change.namespace, change.name)
        _, before = self._last.get(key, (0, None))
        self._last[key] = change.revision, change.pack(before)
        if change.removed:
            del self._last[key]
        self._bytes += change.size
        self._packed += 1

    def _drop(self) -> None:
        """Drop packed changes that are too old or too many, in batches."""
        oldest = time.monotonic() - KEPT_SECONDS
        excess = bytes_left = 0
        while excess < self._packed:
            change = self._changes[excess]
            if change.made > oldest and self._bytes - bytes_left <= KEPT_BYTES:
                break
            bytes_left += change.size
            excess += 1
        if excess < min(_BATCH, KEPT_CHANGES):
            return
        for change in self._changes[:excess]:
            self._bytes -= change.size
            key = (change.namespace, change.name)
            if self._last.get(key, (0, b""))[0] == change.revision:
                del self._last[key]
        self.compacted = self._revisions[excess - 1]
        self._dropped += excess
        self._packed -= excess
        del self._changes[:excess], self._revisions[:excess]
