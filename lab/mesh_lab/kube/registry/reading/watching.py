"""Watches: the changes of one resource as a stream of events, filtered by namespace and selectors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Self

import orjson

from mesh_lab.kube.changes import Change, Log, Object

ADDED = "ADDED"
MODIFIED = "MODIFIED"
DELETED = "DELETED"
BOOKMARK = "BOOKMARK"
_STEP = 256
"""How many changes are looked through at a time for one that is selected."""
INITIAL_EVENTS_END = "k8s.io/initial-events-end"


class Event:
    """One event. `line` is its encoding for a watch response (JSON and a newline), made once for all watchers."""

    __slots__ = ("_line", "object", "type")

    def __init__(self, type_: str, obj: Object) -> None:
        self.type = type_
        self.object = obj
        self._line: bytes | None = None

    def __repr__(self) -> str:
        metadata = self.object.get("metadata", {})
        return f"Event({self.type} {metadata.get('namespace', '')}/{metadata.get('name', '')})"

    @property
    def line(self) -> bytes:
        """`{"type":...,"object":...}` and a newline."""
        if self._line is None:
            self._line = b'{"type":"%s","object":%s}\n' % (self.type.encode(), orjson.dumps(self.object))
        return self._line


class Watch(AsyncIterator[Event]):
    """Yields events until it is closed; then iteration ends.

    A watch without a start revision begins with the present objects as ADDED, followed by one BOOKMARK which says that
    the picture is complete (its object has no name, only a resourceVersion). All other bookmarks are the reader's own.

    Raises:
        ApiError: from iteration; 410, the reader fell behind more than the log keeps; it lists and watches again.
    """

    def __init__(
        self,
        log: Log,
        initial: list[Event],
        position: int,
        selects: Callable[[Change], bool],
        matches: Callable[[Object], bool],
        present: Callable[[Object], Object],
        version: str,
    ) -> None:
        self._log = log
        self._initial = initial[::-1]
        self._position = position
        self._selects = selects
        self._matches = matches
        self._present = present
        self._version = version
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the watch: a reader that waits stops with the end of iteration."""
        self._closed = True
        self._log.wake()

    async def __anext__(self) -> Event:
        while not self._closed:
            if (event := self.poll()) is not None:
                return event
            await self.changed()
        raise StopAsyncIteration

    def poll(self) -> Event | None:
        """The next event if it is there already.

        None means that there was none among the next `_STEP` changes; it is `complete` then if everything committed
        so far has been seen.
        """
        if self._initial:
            return self._initial.pop()
        for _ in range(_STEP):
            if (change := self._log.at(self._position)) is None:
                break
            self._position += 1
            if (event := self._event(change)) is not None:
                return event
        return None

    @property
    def complete(self) -> bool:
        """Whether everything committed so far has been seen."""
        return not self._initial and self._log.at(self._position) is None

    async def changed(self) -> None:
        """Wait until `poll` may find something; may return early."""
        if self.complete:
            await self._log.grown()
        else:
            # There is more to look through, and others have their turn first.
            await asyncio.sleep(0)

    def _event(self, change: Change) -> Event | None:
        """What the change means to this watcher: an object that leaves its selection is deleted to it."""
        if not self._selects(change):
            return None
        old, new = change.old, change.object
        before = old is not None and self._matches(old)
        after = not change.removed and self._matches(new)
        if not (before or after):
            return None
        kind = MODIFIED if before and after else ADDED if after else DELETED
        # Same kind and version make the same bytes, whatever the watcher's selectors are.
        event: Event = self._log.rendered(change, (kind, self._version), lambda: Event(kind, self._present(new)))
        return event


def bookmark(api_version: str, kind: str, revision: int, *, initial_end: bool = False) -> Event:
    """A bookmark at `revision`; `initial_end` marks the end of a WatchList's initial events."""
    metadata: Object = {"resourceVersion": str(revision), "creationTimestamp": None}
    if initial_end:
        metadata["annotations"] = {INITIAL_EVENTS_END: "true"}
    return Event(BOOKMARK, {"kind": kind, "apiVersion": api_version, "metadata": metadata})
